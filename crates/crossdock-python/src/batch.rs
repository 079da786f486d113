//! Batches from Python's arguments.

use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyMemoryView, PyString};

use crate::errors::{type_error, type_name};
use crate::object::Object;

/// The objects of a batch; a mistake in one says which.
pub(crate) fn objects<'py>(given: &Bound<'py, PyAny>) -> PyResult<Vec<Object<'py>>> {
    let is_one = given.is_instance_of::<PyBytes>()
        || given.is_instance_of::<PyByteArray>()
        || given.is_instance_of::<PyMemoryView>()
        || given.is_instance_of::<PyString>();
    if is_one {
        return Err(type_error(format!(
            "a batch is a sequence of objects, not one {}; use put for one",
            type_name(given)
        )));
    }
    let items = given
        .try_iter()
        .map_err(|_| type_error(format!("a batch is a sequence of objects, not {}", type_name(given))))?;
    let read = |(place, item): (usize, PyResult<Bound<'py, PyAny>>)| {
        Object::new(&item?).map_err(|raised| {
            let py = given.py();
            let (class, value) = (raised.get_type(py), raised.value(py).to_string());
            PyErr::from_type(class, format!("object {place} of the batch: {value}"))
        })
    };
    items.enumerate().map(read).collect()
}

pub(crate) fn all<'a, 'py>(objects: &'a [Object<'py>]) -> Vec<&'a Object<'py>> {
    objects.iter().collect()
}

/// The keys of a batch.
pub(crate) fn keys<'py>(given: &Bound<'py, PyAny>) -> PyResult<Vec<Bound<'py, PyAny>>> {
    let wrong = |_| type_error(format!("a batch is a sequence of keys, not {}", type_name(given)));
    given.try_iter().map_err(wrong)?.collect()
}

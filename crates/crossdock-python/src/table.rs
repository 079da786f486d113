//! Options of connectors: dictionaries in Python, tables in the library.

use crossdock::config::{Node, Table, Value};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};

use crate::errors::{type_error, type_name};

/// Options as a config would have them. The library judges what they mean.
pub(crate) fn from_python(options: &Bound<'_, PyDict>) -> PyResult<Table> {
    let mut table = Table::new();
    for (name, given) in options {
        let name: String = name.extract()?;
        let value = value(&given).map_err(|raised| named(&name, &raised, options.py()))?;
        table.set(name, value);
    }
    Ok(table)
}

fn named(option: &str, raised: &PyErr, py: Python<'_>) -> PyErr {
    PyErr::from_type(raised.get_type(py), format!("{option}: {}", raised.value(py)))
}

fn value(given: &Bound<'_, PyAny>) -> PyResult<Value> {
    if let Ok(flag) = given.cast::<PyBool>() {
        return Ok(Value::Bool(flag.is_true()));
    }
    if given.is_instance_of::<PyInt>() {
        return Ok(Value::Integer(given.extract()?));
    }
    if given.is_instance_of::<PyFloat>() {
        return Ok(Value::Float(given.extract()?));
    }
    if let Ok(text) = given.cast::<PyString>() {
        return Ok(Value::String(text.to_str()?.to_owned()));
    }
    if let Ok(options) = given.cast::<PyDict>() {
        return from_python(options).map(Value::Table);
    }
    if given.is_instance_of::<PyList>() || given.is_instance_of::<PyTuple>() {
        let items = given.try_iter()?.map(|item| value(&item?).map(Node::from));
        return items.collect::<PyResult<_>>().map(Value::List);
    }
    let class = type_name(given);
    Err(type_error(format!("must be a boolean, a number, a string or a list of such, not {class}")))
}

/// The same as Python's values, which JSON can hold.
pub(crate) fn to_python<'py>(py: Python<'py>, table: &Table) -> PyResult<Bound<'py, PyDict>> {
    let options = PyDict::new(py);
    for (name, node) in table.iter() {
        options.set_item(name, shown(py, &node.value)?)?;
    }
    Ok(options)
}

fn shown<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    match value {
        Value::Bool(flag) => Ok(PyBool::new(py, *flag).to_owned().into_any()),
        Value::Integer(number) => number.into_pyobject(py).map(Bound::into_any).map_err(Into::into),
        Value::Float(number) => Ok(PyFloat::new(py, *number).into_any()),
        Value::String(text) => Ok(PyString::new(py, text).into_any()),
        Value::List(items) => {
            let items = items.iter().map(|item| shown(py, &item.value)).collect::<PyResult<Vec<_>>>()?;
            PyList::new(py, items).map(Bound::into_any)
        }
        Value::Table(table) => to_python(py, table).map(Bound::into_any),
        _ => Ok(py.None().into_bound(py)),
    }
}

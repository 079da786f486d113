//! Our errors as exceptions, and the exceptions of Python connectors as our errors.

use std::fmt;

use crossdock::{Error, ErrorKind, Key};
use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyList, PyModule};

use crate::{keys, signals};

/// An exception that passes through our errors unchanged.
pub(crate) struct Raised(pub(crate) PyErr);

impl fmt::Debug for Raised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Raised")
    }
}

impl fmt::Display for Raised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an exception of Python")
    }
}

impl std::error::Error for Raised {}

/// An exception that explains one of ours.
#[derive(Debug)]
pub(crate) struct Cause(pub(crate) PyErr);

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Cause {}

/// The classes of `crossdock.exceptions`.
fn classes(py: Python<'_>) -> PyResult<&Bound<'_, PyModule>> {
    static MODULE: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
    MODULE.get_or_try_init(py, || py.import("crossdock.exceptions").map(Bound::unbind)).map(|module| module.bind(py))
}

/// What to raise for an error.
pub(crate) fn raise(py: Python<'_>, error: &Error) -> PyErr {
    if let Some(raised) = signals::take_raised(error) {
        return raised;
    }
    if let Some(Raised(raised)) = source(error) {
        return raised.clone_ref(py);
    }
    exception(py, error).unwrap_or_else(|failed| failed)
}

fn source<T: std::error::Error + 'static>(error: &Error) -> Option<&T> {
    std::error::Error::source(error).and_then(|source| source.downcast_ref())
}

fn exception(py: Python<'_>, error: &Error) -> PyResult<PyErr> {
    let class = classes(py)?.getattr("BY_KIND")?.get_item(error.kind().as_str())?;
    let details = PyDict::new(py);
    details.set_item(intern!(py, "connector"), error.connector())?;
    details.set_item(intern!(py, "operation"), error.operation())?;
    details.set_item(intern!(py, "retryable"), error.is_retryable())?;
    details.set_item(intern!(py, "keys"), keys_of(py, error.keys())?)?;
    let raised = PyErr::from_value(class.call((error.to_string(),), Some(&details))?);
    if let Some(Cause(cause)) = source(error) {
        raised.set_cause(py, Some(cause.clone_ref(py)));
    }
    Ok(raised)
}

fn keys_of<'py>(py: Python<'py>, keys: &[Key]) -> PyResult<Bound<'py, PyList>> {
    PyList::new(py, keys.iter().map(|key| keys::from_native(py, key)).collect::<PyResult<Vec<_>>>()?)
}

/// What a Python connector raised, as an error. Only our own exceptions say what was written; after any other the outcome
/// of a put is not known, so that it goes nowhere else.
pub(crate) fn from_python(py: Python<'_>, raised: PyErr) -> Error {
    let kind = kind_of(py, &raised).unwrap_or(ErrorKind::Ambiguous);
    Error::new(kind, raised.to_string()).with_source(Raised(raised))
}

fn kind_of(py: Python<'_>, raised: &PyErr) -> Option<ErrorKind> {
    let class = classes(py).ok()?.getattr("CrossdockError").ok()?;
    if !raised.is_instance(py, &class) {
        return None;
    }
    let kind: String = raised.value(py).getattr("kind").ok()?.extract().ok()?;
    ErrorKind::from_word(&kind)
}

/// An exception of ours on its way through our errors, such as a `TypeError`.
pub(crate) fn pass(raised: PyErr) -> Error {
    Error::new(ErrorKind::InvalidKey, "").with_source(Raised(raised))
}

pub(crate) fn type_error(message: impl Into<String>) -> PyErr {
    PyTypeError::new_err(message.into())
}

/// The type of an object, for messages.
pub(crate) fn type_name(object: &Bound<'_, PyAny>) -> String {
    object.get_type().qualname().map_or_else(|_| "an unknown type".to_owned(), |name| name.to_string())
}

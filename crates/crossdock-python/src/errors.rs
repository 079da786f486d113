//! Our errors as exceptions, and the exceptions of Python connectors as our errors.

use std::fmt;

use crossdock::{Error, ErrorKind, Key};
use pyo3::exceptions::{PyException, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyList, PyModule, PyString};

use crate::channel::Channel;
use crate::{keys, signals};

/// What an error of ours carries for Python.
#[derive(Default)]
struct Baggage {
    /// An exception that passes through unchanged.
    raised: Option<PyErr>,
    /// An exception that explains ours.
    cause: Option<PyErr>,
    /// Keys of objects that a failed batch has written and could not evict.
    leftovers: Vec<Py<PyAny>>,
}

impl Baggage {
    fn of(error: &Error) -> Option<&Self> {
        std::error::Error::source(error).and_then(|source| source.downcast_ref())
    }

    fn clone_of(py: Python<'_>, error: &Error) -> Self {
        let Some(own) = Self::of(error) else { return Self::default() };
        Self {
            raised: own.raised.as_ref().map(|raised| raised.clone_ref(py)),
            cause: own.cause.as_ref().map(|cause| cause.clone_ref(py)),
            leftovers: own.leftovers.iter().map(|key| key.clone_ref(py)).collect(),
        }
    }
}

impl fmt::Debug for Baggage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Baggage")
    }
}

impl fmt::Display for Baggage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an exception of Python")
    }
}

impl std::error::Error for Baggage {}

/// The classes of `crossdock.exceptions`.
fn classes(py: Python<'_>) -> PyResult<&Bound<'_, PyModule>> {
    static MODULE: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
    MODULE.get_or_try_init(py, || py.import("crossdock.exceptions").map(Bound::unbind)).map(|module| module.bind(py))
}

/// What to raise for an error that names no keys.
pub(crate) fn raise(py: Python<'_>, error: &Error) -> PyErr {
    raise_with(py, error, |key| Err(keys::no_form(key)))
}

/// What to raise for an error of a call to that channel, whose keys it may name.
pub(crate) fn raise_in(py: Python<'_>, channel: &dyn Channel, error: Error, operation: &'static str) -> PyErr {
    raise_with(py, &error.during(operation), |key| channel.shown_key(py, key))
}

fn raise_with<'py>(py: Python<'py>, error: &Error, shown: impl Fn(&Key) -> PyResult<Bound<'py, PyAny>>) -> PyErr {
    let left = match left_behind(py, error, shown) {
        Ok(left) => left,
        Err(failed) => return failed,
    };
    let passing = || Baggage::of(error)?.raised.as_ref().map(|raised| raised.clone_ref(py));
    let outcome = match signals::take_raised(error).or_else(passing) {
        Some(raised) => noted(py, &raised, error, &left).map(|()| raised),
        None => exception(py, error, left),
    };
    outcome.unwrap_or_else(|failed| failed)
}

/// The keys of objects that may have been written although the call failed.
fn left_behind<'py>(
    py: Python<'py>,
    error: &Error,
    shown: impl Fn(&Key) -> PyResult<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyList>> {
    let keys = PyList::new(py, error.keys().iter().map(shown).collect::<PyResult<Vec<_>>>()?)?;
    let leftovers = Baggage::of(error).map_or(&[][..], |baggage| &baggage.leftovers);
    leftovers.iter().try_for_each(|key| keys.append(key))?;
    Ok(keys)
}

/// An exception that passes through stays as it is, but for notes about what else has failed, and what is left behind.
fn noted(py: Python<'_>, raised: &PyErr, error: &Error, left: &Bound<'_, PyList>) -> PyResult<()> {
    let note = |text: String| raised.value(py).call_method1(intern!(py, "add_note"), (text,)).map(drop);
    let others = error.message().strip_prefix(&raised.to_string()).and_then(|others| others.strip_prefix("; "));
    others.map_or(Ok(()), |others| note(format!("crossdock: {others}")))?;
    if left.is_empty() {
        return Ok(());
    }
    note(format!("crossdock: these objects may have been written and could not be evicted: {}", left.repr()?))
}

fn exception(py: Python<'_>, error: &Error, left: Bound<'_, PyList>) -> PyResult<PyErr> {
    let class = classes(py)?.getattr("BY_KIND")?.get_item(error.kind().as_str())?;
    let details = PyDict::new(py);
    details.set_item(intern!(py, "connector"), error.connector())?;
    details.set_item(intern!(py, "operation"), error.operation())?;
    details.set_item(intern!(py, "retryable"), error.is_retryable())?;
    details.set_item(intern!(py, "keys"), left)?;
    let raised = PyErr::from_value(class.call((error.to_string(),), Some(&details))?);
    let cause = Baggage::of(error).and_then(|baggage| baggage.cause.as_ref());
    if let Some(cause) = cause {
        raised.set_cause(py, Some(cause.clone_ref(py)));
    }
    Ok(raised)
}

/// What a Python connector raised, as an error. Only our own exceptions say what was written; after any other the put goes
/// nowhere else.
pub(crate) fn from_python(py: Python<'_>, raised: PyErr) -> Error {
    let kind = kind_of(py, &raised).unwrap_or_else(|| kind_of_foreign(py, &raised));
    let message = raised.to_string();
    Error::new(kind, message).with_source(Baggage { raised: Some(raised), ..Baggage::default() })
}

fn kind_of(py: Python<'_>, raised: &PyErr) -> Option<ErrorKind> {
    let class = classes(py).ok()?.getattr("CrossdockError").ok()?;
    if !raised.is_instance(py, &class) {
        return None;
    }
    let kind: String = raised.value(py).getattr("kind").ok()?.extract().ok()?;
    ErrorKind::from_word(&kind)
}

/// The outcome is not known, which counts against the health of the connector; but not what its caller has done wrong, or
/// wanted.
fn kind_of_foreign(py: Python<'_>, raised: &PyErr) -> ErrorKind {
    if is_final(py, raised) {
        ErrorKind::Interrupted
    } else if raised.is_instance_of::<PyTypeError>(py) || raised.is_instance_of::<PyValueError>(py) {
        ErrorKind::InvalidKey
    } else {
        ErrorKind::Ambiguous
    }
}

/// Whether nobody may hold this up: Ctrl-C and its like.
pub(crate) fn is_final(py: Python<'_>, raised: &PyErr) -> bool {
    !raised.is_instance_of::<PyException>(py)
}

/// The exception in an error, if nobody may hold it up.
pub(crate) fn final_exception(py: Python<'_>, error: &Error) -> Option<PyErr> {
    let raised = Baggage::of(error)?.raised.as_ref()?;
    is_final(py, raised).then(|| raised.clone_ref(py))
}

/// An exception of ours on its way through our errors, such as a `TypeError`.
pub(crate) fn pass(raised: PyErr) -> Error {
    Error::new(ErrorKind::InvalidKey, "").with_source(Baggage { raised: Some(raised), ..Baggage::default() })
}

/// The error with the exception that explains it.
pub(crate) fn because(error: Error, cause: PyErr) -> Error {
    error.with_source(Baggage { cause: Some(cause), ..Baggage::default() })
}

/// The error of a batch, with the keys of what it has written and could not evict.
pub(crate) fn with_leftovers(py: Python<'_>, error: Error, keys: Vec<Bound<'_, PyAny>>) -> Error {
    if keys.is_empty() {
        return error;
    }
    let mut baggage = Baggage::clone_of(py, &error);
    let message = format!("{} objects that were already written could not be evicted", keys.len());
    baggage.leftovers.extend(keys.into_iter().map(Bound::unbind));
    error.context(message).with_source(baggage)
}

/// The error of one connector of a multi-connector: the keys in it get that connector's name.
pub(crate) fn in_slot(py: Python<'_>, error: Error, name: &Bound<'_, PyString>) -> Error {
    let mut baggage = Baggage::clone_of(py, &error);
    if baggage.leftovers.is_empty() {
        return error;
    }
    let named = |key: Py<PyAny>| {
        let items = [name.clone().into_any(), key.into_bound(py)];
        keys::multi_key(py).and_then(|class| keys::new_tuple(class, items)).map(Bound::unbind)
    };
    match baggage.leftovers.into_iter().map(named).collect() {
        Ok(leftovers) => {
            baggage.leftovers = leftovers;
            error.with_source(baggage)
        }
        Err(raised) => pass(raised),
    }
}

pub(crate) fn type_error(message: impl Into<String>) -> PyErr {
    PyTypeError::new_err(message.into())
}

/// The type of an object, for messages.
pub(crate) fn type_name(object: &Bound<'_, PyAny>) -> String {
    object.get_type().qualname().map_or_else(|_| "an unknown type".to_owned(), |name| name.to_string())
}

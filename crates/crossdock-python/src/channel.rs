//! What every connector is to a multi-connector here: objects and keys of Python in, objects and keys of Python out.

use crossdock::{Checkup, Error, Key, PutOptions, Result};
use pyo3::prelude::*;

use crate::errors::{final_exception, pass, with_leftovers};
use crate::keys::no_form;
use crate::object::Object;

/// One way for objects. Each decides by itself when it lets go of the interpreter lock.
pub(crate) trait Channel {
    fn put<'py>(&self, py: Python<'py>, object: &Object<'py>, options: &PutOptions) -> Result<Bound<'py, PyAny>>;

    /// All or none.
    fn put_batch<'py>(
        &self,
        py: Python<'py>,
        objects: &[&Object<'py>],
        options: &PutOptions,
    ) -> Result<Vec<Bound<'py, PyAny>>>;

    /// `view`: a read-only view rather than `bytes`; `None` is what the connector was built with.
    fn get<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
        view: Option<bool>,
    ) -> Result<Option<Bound<'py, PyAny>>>;

    fn get_batch<'py>(
        &self,
        py: Python<'py>,
        keys: &[Bound<'py, PyAny>],
        view: Option<bool>,
    ) -> Result<Vec<Option<Bound<'py, PyAny>>>>;

    fn exists(&self, py: Python<'_>, key: &Bound<'_, PyAny>) -> Result<bool>;

    fn evict(&self, py: Python<'_>, key: &Bound<'_, PyAny>) -> Result<()>;

    /// `None` if this connector cannot make a key before its object.
    fn new_key<'py>(
        &self,
        py: Python<'py>,
        object: Option<&Object<'py>>,
        options: &PutOptions,
    ) -> Result<Option<Bound<'py, PyAny>>>;

    fn set<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
        object: &Object<'py>,
        options: &PutOptions,
    ) -> Result<()>;

    /// A key of ours that an error names, as this channel hands out its keys. Channels of Python objects make none.
    fn shown_key<'py>(&self, _py: Python<'py>, key: &Key) -> PyResult<Bound<'py, PyAny>> {
        Err(no_form(key))
    }

    /// Whether it works now, and how.
    fn check(&self, py: Python<'_>) -> Result<Checkup>;

    /// Whether its calls are so short that looking at a clock would count.
    fn is_instant(&self) -> bool {
        false
    }
}

/// The error of a batch that has failed, once what it had written is evicted; what resists is named in it.
pub(crate) fn undo<'py>(
    channel: &dyn Channel,
    py: Python<'py>,
    written: Vec<Bound<'py, PyAny>>,
    error: Error,
) -> Error {
    evict_all(py, written, error, |key| channel.evict(py, key))
}

/// Evicts every key; those that resist are named in the error. Ctrl-C in between comes out, once all were tried.
pub(crate) fn evict_all<'py>(
    py: Python<'py>,
    written: Vec<Bound<'py, PyAny>>,
    error: Error,
    evict: impl Fn(&Bound<'py, PyAny>) -> Result<()>,
) -> Error {
    let mut raised = None;
    let mut resists = |key: &Bound<'py, PyAny>| match evict(key) {
        Ok(()) => false,
        Err(failed) => {
            raised = raised.take().or_else(|| final_exception(py, &failed));
            true
        }
    };
    let stuck: Vec<_> = written.into_iter().filter(|key| resists(key)).collect();
    with_leftovers(py, raised.map_or(error, pass), stuck)
}

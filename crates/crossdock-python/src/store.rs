//! Where a `LocalConnector` keeps its objects: a dictionary, or something of the caller's that is like one.

use pyo3::exceptions::PyKeyError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use pyo3::{PyTraverseError, PyVisit};

use crate::object::size_of;

pub(crate) enum Store {
    /// Plain, so that nobody has changed what it does.
    Dict(Py<PyDict>),
    Mapping(Py<PyAny>),
}

impl Store {
    pub(crate) fn new(given: &Bound<'_, PyAny>) -> Self {
        match given.cast_exact::<PyDict>() {
            Ok(dict) => Self::Dict(dict.clone().unbind()),
            Err(_) => Self::Mapping(given.clone().unbind()),
        }
    }

    pub(crate) fn get<'py>(&self, py: Python<'py>, key: &Bound<'py, PyTuple>) -> PyResult<Option<Bound<'py, PyAny>>> {
        match self {
            Self::Dict(dict) => dict.bind(py).get_item(key),
            Self::Mapping(mapping) => found(py, mapping.bind(py).get_item(key)),
        }
    }

    pub(crate) fn set<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
        object: &Bound<'py, PyAny>,
    ) -> PyResult<()> {
        match self {
            Self::Dict(dict) => dict.bind(py).set_item(key, object),
            Self::Mapping(mapping) => mapping.bind(py).set_item(key, object),
        }
    }

    /// Whether there was something to remove.
    pub(crate) fn remove(&self, py: Python<'_>, key: &Bound<'_, PyTuple>) -> PyResult<bool> {
        let removed = match self {
            Self::Dict(dict) => dict.bind(py).del_item(key),
            Self::Mapping(mapping) => mapping.bind(py).del_item(key),
        };
        Ok(found(py, removed)?.is_some())
    }

    /// The bytes of all objects together.
    pub(crate) fn size(&self, py: Python<'_>) -> PyResult<u64> {
        let all = match self {
            Self::Dict(dict) => dict.bind(py).values().into_any(),
            Self::Mapping(mapping) => mapping.bind(py).call_method0("values")?,
        };
        all.try_iter()?.map(|object| Ok(size_of(&object?))).sum()
    }

    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self {
            Self::Dict(dict) => visit.call(dict),
            Self::Mapping(mapping) => visit.call(mapping),
        }
    }
}

fn found<T>(py: Python<'_>, outcome: PyResult<T>) -> PyResult<Option<T>> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(raised) if raised.is_instance_of::<PyKeyError>(py) => Ok(None),
        Err(raised) => Err(raised),
    }
}

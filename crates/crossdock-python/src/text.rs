//! Configs as text: read and checked by the library, handed to Python in the shape that ProxyStore's `config()` has.

use std::path::PathBuf;

use crossdock::config::Config;
use crossdock::{Flavor, Registry};
use pyo3::prelude::*;

use crate::errors::raise;

/// A config as JSON in ProxyStore's shape, with our class paths where it names connectors of ours.
#[pyfunction]
#[pyo3(signature = (*, path=None, text=None))]
pub(crate) fn read_config(py: Python<'_>, path: Option<PathBuf>, text: Option<&str>) -> PyResult<String> {
    let read = || {
        let config = match (path, text) {
            (Some(path), _) => Config::from_file(path)?,
            (None, text) => Config::from_text(text.unwrap_or_default())?,
        };
        Ok(Registry::builtin().to_proxystore_json(&config, Flavor::Crossdock)?.text)
    };
    read().map_err(|error: crossdock::Error| raise(py, &error))
}

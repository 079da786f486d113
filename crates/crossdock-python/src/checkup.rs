//! What a check has found, for Python.

use crossdock::{Checkup, Durability};
use pyo3::prelude::*;

/// A `crossdock.checkup.Checkup`.
pub(crate) fn to_python<'py>(py: Python<'py>, checkup: &Checkup) -> PyResult<Bound<'py, PyAny>> {
    let seconds = [checkup.put, checkup.get, checkup.evict].map(|took| took.as_secs_f64());
    let fields = (
        checkup.server.as_deref(),
        checkup.durability.map(Durability::as_str),
        seconds[0],
        seconds[1],
        seconds[2],
        &checkup.warnings,
    );
    py.import("crossdock.checkup")?.getattr("Checkup")?.call1(fields)
}

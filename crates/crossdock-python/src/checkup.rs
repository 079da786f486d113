//! What a check has found, for Python.

use std::time::Instant;

use crossdock::{Checkup, Durability, Error, ErrorKind, PutOptions, Result};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::channel::Channel;
use crate::errors::pass;
use crate::object::Object;

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

/// Puts, gets and evicts an object of a few bytes, and looks at the clock: for connectors that are not the library's.
pub(crate) fn of(channel: &dyn Channel, py: Python<'_>) -> Result<Checkup> {
    let object = Object::new(PyBytes::new(py, b"crossdock").as_any()).map_err(pass)?;
    let started = Instant::now();
    let key = channel.put(py, &object, &PutOptions::new())?;
    let put = started.elapsed();
    let found = channel.get(py, &key, None);
    let got = started.elapsed();
    channel.evict(py, &key)?;
    if found?.is_none() {
        let message = "an object was put and is not there; look for what deletes objects there";
        return Err(Error::new(ErrorKind::Unavailable, message));
    }
    let mut checkup = Checkup::default();
    (checkup.put, checkup.get, checkup.evict) = (put, got.saturating_sub(put), started.elapsed().saturating_sub(got));
    Ok(checkup)
}

/// What several connectors need together, and what they warn of, each with its name.
///
/// # Errors
/// The first error.
pub(crate) fn sum(found: impl IntoIterator<Item = (String, Result<Checkup>)>) -> Result<Checkup> {
    let mut sum = Checkup::default();
    for (name, one) in found {
        let one = one?;
        sum.durability = sum.durability.max(one.durability);
        sum.put += one.put;
        sum.get += one.get;
        sum.evict += one.evict;
        sum.warnings.extend(one.warnings.into_iter().map(|warning| format!("{name}: {warning}")));
    }
    Ok(sum)
}

//! What went through one connector of a multi-connector, and how it fares.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crossdock::{Health, Result};
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// Of calls that take less time than looking at the clock, one in so many is timed.
const SAMPLE: u64 = 64;

/// The operations that are counted.
#[derive(Clone, Copy)]
pub(crate) enum Operation {
    Put,
    PutBatch,
    Get,
    GetBatch,
    Exists,
    Evict,
    NewKey,
    Set,
}

const NAMES: [&str; 8] = ["put", "put_batch", "get", "get_batch", "exists", "evict", "new_key", "set"];

#[derive(Default)]
pub(crate) struct Stats([Counter; NAMES.len()]);

#[derive(Default)]
struct Counter {
    operations: AtomicU64,
    objects: AtomicU64,
    bytes: AtomicU64,
    errors: AtomicU64,
    nanoseconds: AtomicU64,
}

/// Only ever called with the interpreter lock held, so that no addition is lost.
fn add(counter: &AtomicU64, more: u64) -> u64 {
    let before = counter.load(Ordering::Relaxed);
    counter.store(before.wrapping_add(more), Ordering::Relaxed);
    before
}

impl Stats {
    /// Does and counts `work`; `amount` says how many objects, and bytes of them, went through.
    pub(crate) fn count<'py, T>(
        &self,
        _py: Python<'py>,
        operation: Operation,
        is_instant: bool,
        work: impl FnOnce() -> Result<T>,
        amount: impl FnOnce(&T) -> (u64, u64),
    ) -> Result<T> {
        let counter = &self.0[operation as usize];
        let weight = if is_instant { SAMPLE } else { 1 };
        let started = add(&counter.operations, 1).is_multiple_of(weight).then(Instant::now);
        let done = work();
        if let Some(started) = started {
            let elapsed = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
            add(&counter.nanoseconds, elapsed.saturating_mul(weight));
        }
        match &done {
            Ok(value) => {
                let (objects, bytes) = amount(value);
                add(&counter.objects, objects);
                add(&counter.bytes, bytes);
            }
            Err(_) => {
                add(&counter.errors, 1);
            }
        }
        done
    }

    pub(crate) fn to_python<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let all = PyDict::new(py);
        for (name, counter) in NAMES.iter().zip(&self.0) {
            let value = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
            let each = PyDict::new(py);
            each.set_item("operations", value(&counter.operations))?;
            each.set_item("objects", value(&counter.objects))?;
            each.set_item("bytes", value(&counter.bytes))?;
            each.set_item("errors", value(&counter.errors))?;
            each.set_item("seconds", value(&counter.nanoseconds) as f64 / 1e9)?;
            all.set_item(name, each)?;
        }
        Ok(all)
    }
}

pub(crate) fn health_to_python<'py>(py: Python<'py>, health: &Health) -> PyResult<Bound<'py, PyDict>> {
    let shown = PyDict::new(py);
    shown.set_item("state", health.state.as_str())?;
    shown.set_item("failures", health.failures)?;
    shown.set_item("last_error", health.last_error.as_deref())?;
    shown.set_item("retry_in", health.retry_in.map(|wait| wait.as_secs_f64()))?;
    Ok(shown)
}

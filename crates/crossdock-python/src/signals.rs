//! Letting go of the interpreter lock around work that takes time, and giving the work up when a signal says so.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use crossdock::{Error, ErrorKind, Result, interrupt};
use pyo3::prelude::*;

/// How often the interpreter is asked for signals: it has to be taken hold of for that.
const EVERY: Duration = Duration::from_millis(20);

thread_local! {
    static ASKED: Cell<Option<Instant>> = const { Cell::new(None) };
    static RAISED: RefCell<Option<PyErr>> = const { RefCell::new(None) };
}

/// Does `work` without the interpreter lock. What a signal handler raises meanwhile comes out of
/// [`take_raised`] once the work has ended with `Interrupted`.
pub(crate) fn blocking<T: Send>(py: Python<'_>, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    py.detach(|| interrupt::scope(ask, work))
}

/// The exception that interrupted the work of this thread.
pub(crate) fn take_raised(error: &Error) -> Option<PyErr> {
    if error.kind() == ErrorKind::Interrupted { RAISED.take() } else { None }
}

fn ask() -> bool {
    if RAISED.with_borrow(Option::is_some) {
        return true;
    }
    let now = Instant::now();
    if ASKED.get().is_some_and(|last| now.duration_since(last) < EVERY) {
        return false;
    }
    ASKED.set(Some(now));
    Python::attach(|py| match py.check_signals() {
        Ok(()) => false,
        Err(raised) => {
            RAISED.set(Some(raised));
            true
        }
    })
}

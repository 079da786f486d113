//! Letting go of the interpreter lock around work that takes time, and giving the work up when a signal says so.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use crossdock::{Error, ErrorKind, Result, interrupt};
use pyo3::prelude::*;

/// How often the interpreter is asked for signals: it has to be taken hold of for that.
const EVERY: Duration = Duration::from_millis(20);

thread_local! {
    static IS_CLEANING_UP: Cell<bool> = const { Cell::new(false) };
    static ASKED: Cell<Option<Instant>> = const { Cell::new(None) };
    static RAISED: RefCell<Option<PyErr>> = const { RefCell::new(None) };
}

/// Does `work` without the interpreter lock. What a signal handler raises meanwhile comes out of
/// [`take_raised`] once the work has ended.
pub(crate) fn blocking<T: Send>(py: Python<'_>, work: impl FnOnce() -> T + Send) -> T {
    py.detach(|| interrupt::scope(ask, work))
}

/// Does what must be done to its end: signals wait.
pub(crate) fn cleaning_up<T>(work: impl FnOnce() -> T) -> T {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            IS_CLEANING_UP.set(self.0);
        }
    }
    let _restore = Restore(IS_CLEANING_UP.replace(true));
    work()
}

/// The exception that interrupted the work of this thread, whatever the work has met besides.
pub(crate) fn take_raised() -> Option<PyErr> {
    RAISED.take()
}

/// Threads that work for this one may have ended before they heard of it.
///
/// # Errors
/// `Interrupted`, where a signal handler has raised something.
pub(crate) fn require_none_raised() -> Result<()> {
    if RAISED.with_borrow(Option::is_some) {
        return Err(Error::new(ErrorKind::Interrupted, "the call was interrupted"));
    }
    Ok(())
}

fn ask() -> bool {
    if IS_CLEANING_UP.get() {
        return false;
    }
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

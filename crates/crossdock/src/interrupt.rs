//! Giving up a long call because its caller wants so, as a person at a terminal does with Ctrl-C.
//!
//! The caller says how to ask him; connectors ask between the parts of a call that takes long.
//!
//! ```
//! use crossdock::{ErrorKind, interrupt};
//! assert!(interrupt::check().is_ok());
//! let error = interrupt::scope(|| true, interrupt::check).unwrap_err();
//! assert_eq!(error.kind(), ErrorKind::Interrupted);
//! ```

use std::cell::Cell;

use crate::error::{Error, ErrorKind, Result};

/// Whether the caller wants the call to end. It is asked often, and decides itself how often to look.
pub type Ask = fn() -> bool;

thread_local! {
    static ASK: Cell<Option<Ask>> = const { Cell::new(None) };
}

/// Does `work`, during which connectors called by this thread ask `ask` now and then.
pub fn scope<T>(ask: Ask, work: impl FnOnce() -> T) -> T {
    struct Restore(Option<Ask>);
    impl Drop for Restore {
        fn drop(&mut self) {
            ASK.set(self.0);
        }
    }
    let _restore = Restore(ASK.replace(Some(ask)));
    work()
}

/// For connectors, between the parts of a call: undo what was done, then hand this error on.
///
/// # Errors
/// `Interrupted`, where the caller wants the call to end.
pub fn check() -> Result<()> {
    match ASK.get() {
        Some(ask) if ask() => {
            let message = "the call was interrupted; nothing was written, call again to have it done";
            Err(Error::new(ErrorKind::Interrupted, message))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_ends_with_its_work() {
        scope(
            || false,
            || {
                assert!(scope(|| true, check).is_err());
                assert!(check().is_ok());
            },
        );
        let unwound = std::panic::catch_unwind(|| scope(|| true, || panic!("in the middle")));
        assert!(unwound.is_err() && check().is_ok());
    }
}

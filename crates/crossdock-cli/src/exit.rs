//! Exit codes: what a script may rely on.

use std::process::ExitCode;

use crossdock::ErrorKind;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done; the answer is yes.
    Done,
    /// The answer is no: there is no such object, or no route.
    No,
    /// The call, a key or the config is wrong: the same call fails again.
    Wrong,
    /// A connector, an object or the output cannot be used now.
    Unavailable,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl From<ErrorKind> for Exit {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::NoRoute => Self::No,
            ErrorKind::InvalidConfig
            | ErrorKind::InvalidKey
            | ErrorKind::UnknownConnector
            | ErrorKind::AlreadyExists
            | ErrorKind::Unsupported => Self::Wrong,
            // Corrupt, Unavailable, Timeout, Ambiguous, Full, TooLarge, Dormant, Closed, and kinds yet to come.
            _ => Self::Unavailable,
        }
    }
}

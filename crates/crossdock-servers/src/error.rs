use std::fmt;

use crate::program::Program;

/// The result of whatever starts or controls a server.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a server does not do what was asked.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The program is not installed.
    Missing(Program),
    /// Anything else, in one sentence.
    Failed(String),
}

impl Error {
    pub(crate) fn failed(what: impl Into<String>) -> Self {
        Self::Failed(what.into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(program) => {
                write!(
                    f,
                    "{} is not installed: {}, or name it in {}",
                    program.name(),
                    program.how(),
                    program.variable()
                )
            }
            Self::Failed(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for Error {}

/// Says what was tried where an operation of the system fails.
pub(crate) trait Context<T> {
    fn context(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: fmt::Display> Context<T> for std::result::Result<T, E> {
    fn context(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| Error::Failed(format!("{}: {error}", what())))
    }
}

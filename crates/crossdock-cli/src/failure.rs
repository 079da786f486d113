//! Why a command failed, as one line of text or as JSON.

use std::fmt;
use std::io;
use std::path::Path;

use crossdock::MultiKey;
use serde::Serialize;

use crate::exit::Exit;

/// Boxed, so that results stay small.
#[derive(Debug)]
pub(crate) struct Failure(Box<Report>);

#[derive(Debug, Serialize)]
struct Report {
    #[serde(skip)]
    exit: Exit,
    kind: String,
    message: String,
    connector: Option<String>,
    operation: Option<&'static str>,
    retryable: bool,
    /// The keys of objects that may have been written all the same.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    keys: Vec<String>,
}

impl Failure {
    fn new(exit: Exit, kind: &str, message: String) -> Self {
        let kind = kind.to_owned();
        let (connector, operation, keys) = (None, None, Vec::new());
        Self(Box::new(Report { exit, kind, message, connector, operation, retryable: false, keys }))
    }

    /// The command was called in a way that cannot work.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Wrong, "usage", message.into())
    }

    /// A file that is to be read cannot be.
    pub(crate) fn input(name: &Path, cause: &io::Error) -> Self {
        let advice = match cause.kind() {
            io::ErrorKind::OutOfMemory => "it does not fit in memory; split it",
            _ => "name a file that you may read",
        };
        Self::new(Exit::Wrong, "input", format!("cannot read {}: {cause}; {advice}", name.display()))
    }

    /// What the command says cannot be written.
    pub(crate) fn output(name: &Path, cause: &io::Error) -> Self {
        let advice = "choose another place for the output";
        Self::new(Exit::Unavailable, "output", format!("cannot write {}: {cause}; {advice}", name.display()))
    }

    /// There is no object under this key.
    pub(crate) fn not_found(key: &MultiKey) -> Self {
        let message = format!("there is no object {key}; it was evicted, or never put with this config");
        let mut failure = Self::new(Exit::No, "not_found", message);
        failure.0.connector = Some(key.connector_name.to_string());
        failure.0.operation = Some("get");
        failure
    }

    /// The same failure, with words added to its message.
    pub(crate) fn context(mut self, more: impl fmt::Display) -> Self {
        self.0.message = format!("{}; {more}", self.0.message);
        self
    }

    pub(crate) fn exit(&self) -> Exit {
        self.0.exit
    }

    /// `{"error": {…}}`.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        serde_json::json!({ "error": self.0 })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { operation, connector, message, keys, .. } = &*self.0;
        match (operation, connector) {
            (Some(operation), Some(name)) => write!(f, "{operation}, connector {name:?}: {message}")?,
            (Some(operation), None) => write!(f, "{operation}: {message}")?,
            (None, Some(name)) => write!(f, "connector {name:?}: {message}")?,
            (None, None) => f.write_str(message)?,
        }
        f.write_str(&to_be_safe(keys))
    }
}

/// What to do about objects that may have been written; nothing where there are none.
pub(crate) fn to_be_safe<T: fmt::Display>(keys: &[T]) -> String {
    let keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
    if keys.is_empty() { String::new() } else { format!("; to be safe, run: crossdock evict {}", keys.join(" ")) }
}

impl From<crossdock::Error> for Failure {
    fn from(error: crossdock::Error) -> Self {
        Self(Box::new(Report {
            exit: error.kind().into(),
            kind: error.kind().as_str().to_owned(),
            message: error.message().to_owned(),
            connector: error.connector().map(str::to_owned),
            operation: error.operation(),
            retryable: error.is_retryable(),
            keys: error.keys().iter().map(ToString::to_string).collect(),
        }))
    }
}

//! The one public error: what kind, where, during which operation, and whether a retry could help.

use std::fmt;
use std::io;
use std::sync::Arc;

use crate::key::{Key, MultiKey, ParseKeyError};

/// The result of an operation of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong. A missing object is no error: it is `None`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Bytes were found that are not the object: their size or checksum differs from the key's.
    Corrupt,
    /// The backend cannot be reached or used now. A put wrote nothing.
    Unavailable,
    /// The deadline passed before the backend was asked to write. A put wrote nothing.
    Timeout,
    /// The outcome is not known. The error carries the key: writing the same bytes again under it, or evicting it, are
    /// both safe.
    Ambiguous,
    /// No space or quota is left. A put wrote nothing.
    Full,
    /// The object is larger than the backend takes. A put wrote nothing.
    TooLarge,
    /// The key's connector is known but not active on this host.
    Dormant,
    /// The key names a connector that the config does not have.
    UnknownConnector,
    /// The key cannot be one of this connector's.
    InvalidKey,
    /// The config, a policy or an option is wrong.
    InvalidConfig,
    /// No policy accepts the object.
    NoRoute,
    /// The key holds another object already.
    AlreadyExists,
    /// The connector does not offer what was asked of it, such as a durability level. A put wrote nothing.
    Unsupported,
    /// The connector was closed. A put wrote nothing.
    Closed,
    /// The caller wanted the call to end ([`interrupt`](crate::interrupt)). A put wrote nothing but what the error's keys list.
    Interrupted,
}

impl ErrorKind {
    /// Whether a put that failed so may go to the next valid connector, where the policy says `fallback = true`.
    ///
    /// These kinds promise that nothing was written but what [`Error::keys`] lists. [`Ambiguous`](Self::Ambiguous) does
    /// not. `NoRoute` is among them for nested multi-connectors.
    #[must_use]
    pub fn allows_fallback(self) -> bool {
        matches!(
            self,
            Self::Unavailable
                | Self::Timeout
                | Self::Full
                | Self::TooLarge
                | Self::NoRoute
                | Self::Unsupported
                | Self::Closed
        )
    }

    const ALL: [Self; 15] = [
        Self::Corrupt,
        Self::Unavailable,
        Self::Timeout,
        Self::Ambiguous,
        Self::Full,
        Self::TooLarge,
        Self::Dormant,
        Self::UnknownConnector,
        Self::InvalidKey,
        Self::InvalidConfig,
        Self::NoRoute,
        Self::AlreadyExists,
        Self::Unsupported,
        Self::Closed,
        Self::Interrupted,
    ];

    /// The kind of that word.
    ///
    /// ```
    /// use crossdock::ErrorKind;
    /// assert_eq!(ErrorKind::from_word("no_route"), Some(ErrorKind::NoRoute));
    /// assert_eq!(ErrorKind::from_word("no route"), None);
    /// ```
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// The word for this kind in JSON, such as `"no_route"`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Corrupt => "corrupt",
            Self::Unavailable => "unavailable",
            Self::Timeout => "timeout",
            Self::Ambiguous => "ambiguous",
            Self::Full => "full",
            Self::TooLarge => "too_large",
            Self::Dormant => "dormant",
            Self::UnknownConnector => "unknown_connector",
            Self::InvalidKey => "invalid_key",
            Self::InvalidConfig => "invalid_config",
            Self::NoRoute => "no_route",
            Self::AlreadyExists => "already_exists",
            Self::Unsupported => "unsupported",
            Self::Closed => "closed",
            Self::Interrupted => "interrupted",
        }
    }

    fn is_retryable(self) -> bool {
        matches!(self, Self::Unavailable | Self::Timeout | Self::Ambiguous)
    }
}

/// An error: one clear sentence, its kind, the connector, the operation, the cause.
///
/// ```
/// use crossdock::{Error, ErrorKind};
/// let error = Error::new(ErrorKind::Full, "no space is left in /scratch").in_connector("disk").during("put");
/// assert_eq!(error.to_string(), "put, connector \"disk\": no space is left in /scratch");
/// assert!(!error.is_retryable());
/// ```
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    retryable: bool,
    operation: Option<&'static str>,
    connector: Option<Arc<str>>,
    message: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
    keys: Vec<Key>,
}

impl Error {
    /// An error whose message says what is wrong, where, and what to do.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            retryable: kind.is_retryable(),
            operation: None,
            connector: None,
            message: message.into(),
            source: None,
            keys: Vec::new(),
        }))
    }

    /// The error of a system call on `what` (a path or an address).
    ///
    /// The kind follows from the cause: no space or quota is [`Full`](ErrorKind::Full), a file over its limit is
    /// [`TooLarge`](ErrorKind::TooLarge), anything else [`Unavailable`](ErrorKind::Unavailable). All of these promise that
    /// a put wrote nothing: where it may have, undo it first, or say [`Ambiguous`](ErrorKind::Ambiguous) with the key.
    ///
    /// The message contains the cause, which is the [`source`](std::error::Error::source) as well, for programs.
    pub fn from_io(action: &str, what: impl fmt::Display, cause: impl Into<io::Error>) -> Self {
        let cause = cause.into();
        let (kind, retryable, advice) = match cause.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                (ErrorKind::Full, false, "free some space or choose another connector")
            }
            io::ErrorKind::OutOfMemory => (ErrorKind::Unavailable, false, "free some memory, or read it as a view"),
            io::ErrorKind::FileTooLarge => (ErrorKind::TooLarge, false, "choose a connector for larger objects"),
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                (ErrorKind::Unavailable, false, "check who owns it and its mode")
            }
            io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory | io::ErrorKind::InvalidFilename => {
                (ErrorKind::Unavailable, false, "correct the path")
            }
            _ => (ErrorKind::Unavailable, true, "check that it is there and works"),
        };
        let mut error = Self::new(kind, format!("cannot {action} {what}: {cause}; {advice}"));
        error.0.retryable = retryable;
        error.0.source = Some(Box::new(cause));
        error
    }

    /// The key holds another object already: `AlreadyExists`.
    #[must_use]
    pub fn already_exists(id: &crate::key::ObjectId) -> Self {
        let message = format!(
            "the key {id:?} stands for other bytes, and objects are written once; make a new key, or build the connector \
             with write_once = false"
        );
        Self::new(ErrorKind::AlreadyExists, message)
    }

    /// The connector cannot name an object before it has it: `Unsupported`.
    #[must_use]
    pub fn not_deferrable() -> Self {
        Self::new(ErrorKind::Unsupported, "this connector cannot make a key before its object; use put")
    }

    /// `size` bytes more than a quota allows: `Full`, or `TooLarge` where they alone are more.
    #[must_use]
    pub fn over_quota(size: u64, used: u64, max_total_bytes: u64) -> Self {
        let message = format!(
            "{size} bytes do not fit: {used} of max_total_bytes = {max_total_bytes} are in use; evict objects or raise it"
        );
        Self::new(if size > max_total_bytes { ErrorKind::TooLarge } else { ErrorKind::Full }, message)
    }

    /// The caller gave less memory than an object of `size` bytes takes: `Unsupported`.
    #[must_use]
    pub fn too_little_memory(size: usize) -> Self {
        Self::new(ErrorKind::Unsupported, format!("the memory for the object is smaller than its {size} bytes"))
    }

    /// The key of an object in the memory of another process: `InvalidKey`.
    #[must_use]
    pub fn made_elsewhere() -> Self {
        let message = "the key was made in another process, whose memory this one cannot read; use a connector that both \
                       processes share, such as \"file\"";
        Self::new(ErrorKind::InvalidKey, message)
    }

    /// The same error, with the connector that it happened in. The outermost name is put in front, of its keys too.
    #[must_use]
    pub fn in_connector(mut self, name: impl Into<Arc<str>>) -> Self {
        let name = name.into();
        for key in &mut self.0.keys {
            *key = MultiKey::new(name.clone(), key.clone()).into();
        }
        self.0.connector = Some(match self.0.connector.take() {
            None => name,
            Some(inner) => format!("{name}/{inner}").into(),
        });
        self
    }

    /// The same error, with the operation during which it happened. The innermost stays.
    #[must_use]
    pub fn during(mut self, operation: &'static str) -> Self {
        self.0.operation.get_or_insert(operation);
        self
    }

    /// The same error, with its cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The same error, with keys whose objects may have been written: evicting them is safe.
    #[must_use]
    pub fn with_keys(mut self, keys: impl IntoIterator<Item = Key>) -> Self {
        self.0.keys.extend(keys);
        self
    }

    /// The same error, once it is known that nothing of what it spoke of is there.
    #[cfg(feature = "redis")]
    pub(crate) fn settled(mut self) -> Self {
        self.0.keys.clear();
        if self.0.kind == ErrorKind::Ambiguous {
            self.0.kind = ErrorKind::Unavailable;
        }
        self
    }

    /// The same error, once it is known that no more than this may be there of what was written.
    #[cfg(feature = "redis")]
    pub(crate) fn with_only(mut self, keys: Vec<Key>) -> Self {
        self.0.keys = keys;
        self
    }

    /// The same error, where a retry cannot help although its kind suggests it.
    #[must_use]
    pub fn permanent(mut self) -> Self {
        self.0.retryable = false;
        self
    }

    /// The same error, with the line of the config put in front of its message, unless one is there already.
    pub(crate) fn at_line(mut self, line: usize) -> Self {
        if line > 0 && !self.0.message.starts_with("line ") {
            self.0.message = format!("line {line}: {}", self.0.message);
        }
        self
    }

    /// The same error, with the option that it is about put in front of its message.
    #[cfg(any(feature = "disk", feature = "remote"))]
    pub(crate) fn of_field(mut self, field: &str) -> Self {
        self.0.message = format!("{field}: {}", self.0.message);
        self
    }

    /// The same error, with words added to its message.
    #[must_use]
    pub fn context(mut self, more: impl fmt::Display) -> Self {
        self.0.message = format!("{}; {more}", self.0.message);
        self
    }

    /// The kind.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether the same call could succeed later without anybody changing anything.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.0.retryable
    }

    /// The connector's name; `outer/inner` in nested multi-connectors.
    #[must_use]
    pub fn connector(&self) -> Option<&str> {
        self.0.connector.as_deref()
    }

    /// The operation, such as `"put"`.
    #[must_use]
    pub fn operation(&self) -> Option<&'static str> {
        self.0.operation
    }

    /// What is wrong, without the operation and the connector's name.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The keys whose objects may have been written although the call failed.
    #[must_use]
    pub fn keys(&self) -> &[Key] {
        &self.0.keys
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.operation(), self.connector()) {
            (Some(operation), Some(name)) => write!(f, "{operation}, connector {name:?}: ")?,
            (Some(operation), None) => write!(f, "{operation}: ")?,
            (None, Some(name)) => write!(f, "connector {name:?}: ")?,
            (None, None) => {}
        }
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({:?}: {self})", self.0.kind)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

impl From<ParseKeyError> for Error {
    fn from(cause: ParseKeyError) -> Self {
        Self::new(ErrorKind::InvalidKey, cause.to_string())
    }
}

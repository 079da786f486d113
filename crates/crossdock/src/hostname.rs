//! The name of this host, as policies see it.

/// The environment variable that overrides the hostname, for containers, which have random ones.
pub const HOSTNAME_VARIABLE: &str = "CROSSDOCK_HOSTNAME";

/// Where the hostname comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hostname {
    /// This name, whatever the host is called.
    Fixed(String),
    /// The operating system, asked at every routing that needs it: its answer can change.
    System,
}

impl Hostname {
    /// `$CROSSDOCK_HOSTNAME` if it is set and not empty, else the operating system. Bytes that are no UTF-8 count as
    /// U+FFFD, in either.
    #[must_use]
    pub fn from_environment() -> Self {
        match std::env::var_os(HOSTNAME_VARIABLE) {
            Some(name) if !name.is_empty() => Self::Fixed(name.to_string_lossy().into_owned()),
            _ => Self::System,
        }
    }

    /// The name now.
    #[must_use]
    pub fn get(&self) -> String {
        match self {
            Self::Fixed(name) => name.clone(),
            Self::System => rustix::system::uname().nodename().to_string_lossy().into_owned(),
        }
    }

    /// Whether the name is still `known`. Allocates nothing.
    pub(crate) fn is_still(&self, known: &str) -> bool {
        match self {
            // Fixed for good, and `known` came from here.
            Self::Fixed(_) => true,
            Self::System => rustix::system::uname().nodename().to_bytes() == known.as_bytes(),
        }
    }
}

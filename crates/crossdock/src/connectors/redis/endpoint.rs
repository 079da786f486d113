//! Where a server listens.

use std::fmt;
use std::path::PathBuf;

/// A TCP port or a unix socket.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Endpoint {
    Tcp(String, u16),
    Unix(PathBuf),
}

impl Endpoint {
    /// `host:port`, `[v6]:port`, or `host` with the port that is usual.
    pub(super) fn parse(text: &str, usual_port: u16) -> Option<Self> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, rest) = rest.split_once(']')?;
                (host, rest.strip_prefix(':').or(rest.is_empty().then_some(""))?)
            }
            // More than one colon: an address of IPv6 without brackets.
            None if text.matches(':').count() > 1 => (text, ""),
            None => text.split_once(':').unwrap_or((text, "")),
        };
        let port = if port.is_empty() { usual_port } else { port.parse().ok()? };
        (!host.is_empty() && port > 0).then(|| Self::Tcp(host.to_owned(), port))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(host, port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp(host, port) => write!(f, "{host}:{port}"),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_read_as_they_are_shown() {
        for (text, shown) in [
            ("cache", "cache:6379"),
            ("cache:1", "cache:1"),
            ("10.0.0.1:7000", "10.0.0.1:7000"),
            ("[::1]:7000", "[::1]:7000"),
            ("[::1]", "[::1]:6379"),
            ("::1", "[::1]:6379"),
        ] {
            assert_eq!(
                Endpoint::parse(text, 6379).map(|endpoint| endpoint.to_string()).as_deref(),
                Some(shown),
                "{text}"
            );
        }
        for text in ["", ":1", "cache:x", "cache:0", "cache:65536", "[::1", "[]:1", "[::1]x"] {
            assert_eq!(Endpoint::parse(text, 6379), None, "{text}");
        }
    }
}

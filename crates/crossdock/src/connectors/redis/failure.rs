//! Why an attempt failed, and what to do about it.

use std::fmt;
use std::io;

use crate::error::{Error, ErrorKind};

/// An attempt at a call has failed.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) cause: Cause,
    /// Whether the server may have carried out what it was asked for.
    pub(super) sent: bool,
}

#[derive(Debug)]
pub(super) enum Cause {
    /// The connection could not be made, or broke.
    Io(io::Error),
    /// The time is up.
    Deadline,
    /// The time is up, and the server has not even begun to encrypt.
    #[cfg_attr(not(feature = "redis-tls"), expect(dead_code, reason = "nothing is encrypted then"))]
    Handshake,
    /// The server said what no server says.
    Protocol(&'static str),
    /// The server said no.
    Refused(Refusal),
    /// It would be the same at the next attempt, and everywhere: no reason to go on.
    Final(Error),
}

/// What to do after a failed attempt.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The same again, after a while.
    Retry,
    /// At once, over there.
    Redirect { to: String, asking: bool },
    /// Nothing helps.
    Stop,
}

impl Failure {
    pub(super) fn before_sending(cause: Cause) -> Self {
        Self { cause, sent: false }
    }

    pub(super) fn after_sending(cause: Cause) -> Self {
        Self { cause, sent: true }
    }

    pub(super) fn io(cause: io::Error) -> Self {
        Self::before_sending(Cause::Io(cause))
    }

    /// The same failure of a call that the server was asked for.
    pub(super) fn when_sent(self) -> Self {
        Self { sent: true, ..self }
    }

    pub(super) fn next(&self) -> Next {
        match &self.cause {
            Cause::Io(_) | Cause::Protocol(_) => Next::Retry,
            Cause::Deadline | Cause::Handshake | Cause::Final(_) => Next::Stop,
            Cause::Refused(refusal) => refusal.next(),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::before_sending(Cause::Final(error))
    }
}

impl Cause {
    /// What a person can do where no answer came that makes sense, over a connection with TLS or without.
    pub(super) fn advice(&self, tls: bool) -> &'static str {
        use io::ErrorKind::{ConnectionReset, UnexpectedEof};
        match self {
            Self::Io(cause) if cause.to_string().contains("certificate") => {
                "trust its authority with tls_ca_file, and reach it by a name that is in its certificate"
            }
            Self::Io(cause) if !tls && matches!(cause.kind(), ConnectionReset | UnexpectedEof) => {
                "check that it runs, and whether it wants TLS (tls = true)"
            }
            Self::Protocol(_) => "check that this is its port, and whether it wants TLS (tls = true)",
            _ => "check that it runs and can be reached from this host",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(cause) if cause.kind() == io::ErrorKind::UnexpectedEof => f.write_str("it closed the connection"),
            Self::Io(cause) => cause.fmt(f),
            Self::Deadline => f.write_str("it does not answer"),
            Self::Handshake => f.write_str("it does not answer to TLS"),
            Self::Protocol(what) => write!(f, "it does not speak as Redis does: {what}"),
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Final(error) => f.write_str(error.message()),
        }
    }
}

/// An error that the server answered, such as `OOM command not allowed`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal(String);

/// What no server says more than this of.
const LONGEST: usize = 300;
/// What stands before words of ours that are repeated.
const ECHO: &str = ", with args beginning with";

impl Refusal {
    pub(super) fn new(text: &[u8]) -> Self {
        let text: String = String::from_utf8_lossy(text).chars().take(LONGEST).collect();
        // A server repeats what it does not know: that may be a password, or a part of an object.
        let own = text.split(ECHO).next().unwrap_or_default();
        Self(own.to_owned())
    }

    /// The same of a request with secrets in it.
    pub(super) fn without(self, secrets: &[&str]) -> Self {
        let start = |secret: &str| secret.chars().take(8).collect::<String>();
        let repeats = secrets.iter().any(|secret| !secret.is_empty() && self.0.contains(&start(secret)));
        if repeats { Self(self.code().to_owned()) } else { self }
    }

    fn code(&self) -> &str {
        self.0.split(' ').next().unwrap_or_default()
    }

    pub(super) fn next(&self) -> Next {
        match self.code() {
            // It loads its data, fails over, or moves slots about.
            "LOADING" | "READONLY" | "MASTERDOWN" | "CLUSTERDOWN" | "TRYAGAIN" | "NOREPLICAS" | "BUSY" => Next::Retry,
            code @ ("MOVED" | "ASK") => match self.0.split(' ').nth(2) {
                Some(to) => Next::Redirect { to: to.to_owned(), asking: code == "ASK" },
                None => Next::Stop,
            },
            // How many connections it takes is said without a code of its own.
            _ if self.0.contains("max number of clients") => Next::Retry,
            _ => Next::Stop,
        }
    }

    /// Whether the server does not know the command, or does not allow it to us.
    pub(super) fn is_about_the_command(&self) -> bool {
        self.code() == "NOPERM" || self.0.contains("unknown command") || self.0.contains("unknown subcommand")
    }

    pub(super) fn kind(&self) -> ErrorKind {
        match self.code() {
            "OOM" => ErrorKind::Full,
            "WRONGTYPE" => ErrorKind::InvalidKey,
            _ => ErrorKind::Unavailable,
        }
    }

    /// Whether the same call could succeed later without anybody changing anything.
    pub(super) fn may_pass(&self) -> bool {
        self.next() == Next::Retry || self.code() == "MISCONF"
    }

    /// What a person can do about it.
    pub(super) fn advice(&self) -> &'static str {
        match self.code() {
            "OOM" => "evict objects, raise its maxmemory, or choose another connector",
            "NOAUTH" => "give the connector a password: password = \"${env:NAME}\"",
            "WRONGPASS" => "correct the username and password",
            "NOPERM" => "give the user that permission",
            "WRONGTYPE" => "the key holds something that is no object; use keys as put returned them",
            "MISCONF" => "it cannot write to its disk: look into its log",
            "READONLY" => "it is a replica: name the primary, or its sentinels",
            "MOVED" | "ASK" | "CLUSTERDOWN" | "CROSSSLOT" => "set cluster = true for a cluster, and look at its state",
            "LOADING" => "wait until it has loaded its data",
            _ => self.advice_on_text(),
        }
    }
}

impl Refusal {
    /// What has no code of its own.
    fn advice_on_text(&self) -> &'static str {
        let says = |text: &str| self.0.contains(text);
        if says("DB index is out of range") {
            "choose a lower database: it has no more (16 unless its setting databases says otherwise)"
        } else if says("cluster support disabled") {
            "it is no node of a cluster: leave cluster out"
        } else if says("unknown command 'SENTINEL'") {
            "it is no sentinel: name those in sentinels, and a server as url or hostname"
        } else {
            "look into its log"
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it answers {:?}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_say_what_to_do_next() {
        let next = |text: &str| Refusal::new(text.as_bytes()).next();
        assert_eq!(next("LOADING Redis is loading the dataset in memory"), Next::Retry);
        assert_eq!(next("ERR max number of clients reached"), Next::Retry);
        assert_eq!(next("WRONGPASS invalid username-password pair"), Next::Stop);
        assert_eq!(next("MOVED 3999 10.0.0.1:6381"), Next::Redirect { to: "10.0.0.1:6381".to_owned(), asking: false });
        assert_eq!(next("ASK 3999 :6381"), Next::Redirect { to: ":6381".to_owned(), asking: true });
        assert_eq!(next("MOVED"), Next::Stop);
        assert_eq!(next(""), Next::Stop);
        assert_eq!(Refusal::new(b"OOM command not allowed when used memory > 'maxmemory'.").kind(), ErrorKind::Full);
        assert!(Refusal::new(&[b'x'; 10_000]).to_string().len() < 400);
        assert_eq!(Refusal::new(b"ERR what else there is").advice(), "look into its log");
    }

    #[test]
    fn what_servers_repeat_is_not_shown() {
        let repeated = Refusal::new(b"ERR unknown command 'AUTH', with args beginning with: 's3cret' ");
        assert_eq!(repeated, Refusal::new(b"ERR unknown command 'AUTH'"));
        let other = Refusal::new(b"ERR I do not take s3cret from you").without(&["s3cret"]);
        assert_eq!(other, Refusal::new(b"ERR"));
    }
}

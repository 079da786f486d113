//! What a server says of itself: version, persistence, eviction, limits.

use super::connection::Connection;
use super::failure::{Cause, Failure};
use super::resp::Reply;
use crate::config::format_size;
use crate::deadline::Deadline;
use crate::options::Durability;

/// The longest value that a server takes unless it was told otherwise, in bytes.
const USUAL_MAX_VALUE: u64 = 512 << 20;

/// A server as it was when the connection was made. What it does not tell is unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Server {
    /// "redis" or "valkey", and the version.
    pub(super) version: String,
    /// "master" or "slave".
    pub(super) role: String,
    /// Whether it writes an append-only file.
    aof: Option<bool>,
    /// When it has that on its disk: "always", "everysec" or "no".
    appendfsync: Option<String>,
    /// Whether it does so while it rewrites that file, too.
    always_syncs: bool,
    eviction: Option<String>,
    max_memory: Option<u64>,
    max_value: Option<u64>,
}

/// A connection as the server knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Client {
    id: String,
    /// After a restart, the id may be another's.
    address: String,
}

impl Client {
    fn from_info(info: &str) -> Option<Self> {
        let field = |name: &str| Some(info.split(' ').find_map(|field| field.strip_prefix(name))?.to_owned());
        Some(Self { id: field("id=")?, address: field("addr=")? })
    }

    /// The request that ends it, whatever it still has to say. It is no error if it has ended.
    pub(super) fn to_kill(&self) -> [&[u8]; 6] {
        [b"CLIENT", b"KILL", b"ID", self.id.as_bytes(), b"ADDR", self.address.as_bytes()]
    }
}

impl Server {
    /// Asks, in one round trip, for itself and for what the connection is to it.
    pub(super) fn ask(connection: &mut Connection, deadline: &Deadline) -> Result<(Self, Option<Client>), Failure> {
        connection.push(&[b"INFO"]);
        for name in ["appendfsync", "no-appendfsync-on-rewrite", "proto-max-bulk-len"] {
            connection.push(&[b"CONFIG", b"GET", name.as_bytes()]);
        }
        connection.push(&[b"CLIENT", b"INFO"]);
        connection.send(deadline)?;
        let info = told(connection.any_reply(deadline)?)?;
        let appendfsync = told(connection.any_reply(deadline)?)?;
        let pauses = told(connection.any_reply(deadline)?)?;
        let max_value = told(connection.any_reply(deadline)?)?;
        // Older servers refuse that in their own ways.
        let client = connection.any_reply(deadline)?;
        let mut server = Self::from_info(info.as_ref().and_then(Reply::text).unwrap_or_default());
        server.appendfsync = appendfsync.as_ref().and_then(setting).map(str::to_owned);
        server.always_syncs = pauses.as_ref().and_then(setting) == Some("no");
        server.max_value = max_value.as_ref().and_then(setting).and_then(|value| value.parse().ok());
        Ok((server, client.text().and_then(Client::from_info)))
    }

    fn from_info(info: &str) -> Self {
        let field = |name: &str| {
            info.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
                .map(|value| value.trim().to_owned())
        };
        let version = match (field("valkey_version"), field("redis_version")) {
            (Some(version), _) => format!("valkey {version}"),
            (None, Some(version)) => format!("redis {version}"),
            (None, None) => "a server of unknown version".to_owned(),
        };
        Self {
            version,
            role: field("role").unwrap_or_default(),
            aof: field("aof_enabled").map(|value| value == "1"),
            appendfsync: None,
            always_syncs: false,
            eviction: field("maxmemory_policy"),
            max_memory: field("maxmemory").and_then(|value| value.parse().ok()),
            max_value: None,
        }
    }

    /// The longest value that it takes, in bytes.
    pub(super) fn max_value(&self) -> u64 {
        self.max_value.unwrap_or(USUAL_MAX_VALUE)
    }

    /// Whether it may remove objects when its memory is full; those with a time to live only, or others too.
    fn evicts(&self, with_ttl: bool) -> bool {
        let bounded = self.max_memory.is_some_and(|bytes| bytes > 0);
        let policy = self.eviction.as_deref().unwrap_or("noeviction");
        bounded && (policy.starts_with("allkeys") || (with_ttl && policy.starts_with("volatile")))
    }

    /// What an object survives once the server has said yes.
    pub(super) fn durability(&self, with_ttl: bool) -> Option<Durability> {
        match self.appendfsync.as_deref() {
            _ if self.aof != Some(true) || self.evicts(with_ttl) => None,
            Some("always") if self.always_syncs => Some(Durability::Host),
            _ => Some(Durability::Process),
        }
    }

    /// What its operator may not know.
    pub(super) fn warnings(&self, with_ttl: bool) -> Vec<String> {
        let mut warnings = Vec::new();
        let persistence = match (self.aof, self.appendfsync.as_deref()) {
            (Some(true), Some(_)) => None,
            (Some(true), None) => Some("it does not tell appendfsync, so at most \"process\" is promised"),
            (Some(false), _) => {
                Some("it writes no append-only file: objects may be lost when the server restarts; set appendonly yes")
            }
            (None, _) => Some("it does not tell whether its objects survive a restart of the server"),
        };
        warnings.extend(persistence.map(str::to_owned));
        if self.appendfsync.as_deref() == Some("always") && !self.always_syncs {
            let pauses = "it syncs nothing while it rewrites its append-only file; set no-appendfsync-on-rewrite no";
            warnings.push(pauses.to_owned());
        }
        if self.evicts(with_ttl) {
            warnings.push(format!(
                "its maxmemory-policy {} removes objects when more than {} are in use; set noeviction",
                self.eviction.as_deref().unwrap_or_default(),
                format_size(self.max_memory.unwrap_or_default()),
            ));
        }
        if self.role == "slave" {
            warnings.push("it is a replica, which takes no objects; name the primary, or its sentinels".to_owned());
        }
        warnings
    }
}

/// What it tells, if it wants to. What stands against everything, such as a missing password, is a failure.
fn told(reply: Reply) -> Result<Option<Reply>, Failure> {
    match reply {
        Reply::Refused(refusal) if refusal.is_about_the_command() => Ok(None),
        Reply::Refused(refusal) => Err(Failure::before_sending(Cause::Refused(refusal))),
        reply => Ok(Some(reply)),
    }
}

/// The value in the answer to `CONFIG GET`.
fn setting(reply: &Reply) -> Option<&str> {
    reply.items()?.get(1)?.text()
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: &str = "# Server\r\nredis_version:7.0.15\r\nrole:master\r\naof_enabled:1\r\nmaxmemory:1000\r\n\
                        maxmemory_policy:volatile-lru\r\n";

    #[test]
    fn a_connection_is_known_by_number_and_address() {
        let client = Client::from_info("id=17 addr=127.0.0.1:5000 laddr=127.0.0.1:6379 fd=8 name= age=0\n").unwrap();
        let words: [&[u8]; 6] = [b"CLIENT", b"KILL", b"ID", b"17", b"ADDR", b"127.0.0.1:5000"];
        assert_eq!(client.to_kill(), words);
        assert_eq!(Client::from_info("OK"), None);
    }

    #[test]
    fn durability_follows_from_the_settings() {
        let mut server = Server::from_info(INFO);
        assert_eq!(server.version, "redis 7.0.15");
        assert_eq!(server.durability(false), Some(Durability::Process));
        assert_eq!(server.durability(true), None, "what has a time to live can be evicted");
        server.appendfsync = Some("always".to_owned());
        assert_eq!(server.durability(false), Some(Durability::Process), "it may pause");
        server.always_syncs = true;
        assert_eq!(server.durability(false), Some(Durability::Host));
        server.eviction = Some("allkeys-lru".to_owned());
        assert_eq!(server.durability(false), None);
        server.max_memory = Some(0);
        assert_eq!(server.durability(false), Some(Durability::Host));
        server.aof = Some(false);
        assert_eq!(server.durability(false), None);
        assert_eq!(Server::from_info("").durability(false), None);
    }
}

//! Hazards of Redis, on real servers: what the files of this folder share.

pub(super) mod clear;
pub(super) mod deadlines;
pub(super) mod fallback;
pub(super) mod keys;
pub(super) mod kill;
mod ledger;
pub(super) mod replies;
pub(super) mod secrets;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crossdock::connectors::{RedisConnector, RedisOptions};
use crossdock::{ErrorKind, Key};
use crossdock_servers::{Redis, Reply};

use crate::run::Outcome;

/// How servers are to be, as opposed to connectors.
type Servers = crossdock_servers::RedisOptions;

/// Against hangs only.
const LIMIT: Duration = Duration::from_secs(60);

/// What callers may hear when a server or the way to it is at fault.
const AT_FAULT: [ErrorKind; 3] = [ErrorKind::Unavailable, ErrorKind::Timeout, ErrorKind::Ambiguous];

fn options(address: SocketAddr) -> RedisOptions {
    RedisOptions::new("127.0.0.1", address.port())
}

/// One that no hazard hurries.
fn calm(server: &Redis, prefix: &str) -> Outcome<RedisConnector> {
    Ok(RedisConnector::open(&options(server.address()).prefix(prefix).deadline(LIMIT))?)
}

/// The names on the server that begin so, without that beginning.
fn names(server: &Redis, prefix: &str) -> Outcome<BTreeSet<String>> {
    match server.command(&["KEYS", &format!("{prefix}*")])? {
        Reply::Array(names) => {
            let strip = |name: &Reply| name.text().strip_prefix(prefix).map(str::to_owned);
            names
                .iter()
                .map(|name| strip(name).ok_or_else(|| format!("{name:?} is not below {prefix}").into()))
                .collect()
        }
        other => Err(format!("KEYS is answered with {other:?}").into()),
    }
}

/// The id within, whatever multi-connectors it is the key of.
fn id(key: &Key) -> String {
    match key {
        Key::Object(key) => key.id.to_string(),
        Key::Multi(key) => id(&key.connector_key),
        _ => String::new(),
    }
}

/// Calls again while the error says that it may help: a connector recovers by itself.
fn eventually<T>(mut call: impl FnMut() -> crossdock::Result<T>) -> crossdock::Result<T> {
    let end = Instant::now() + LIMIT;
    loop {
        match call() {
            Err(error) if error.is_retryable() && Instant::now() < end => {
                std::thread::sleep(Duration::from_millis(5));
            }
            outcome => return outcome,
        }
    }
}

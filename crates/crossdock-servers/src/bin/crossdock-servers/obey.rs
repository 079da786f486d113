//! Commands, each a line of words.

use crossdock_servers::{Error, Redis, Result, Server};
use serde_json::{Map, Value, json};

use crate::describe::{of_redis, of_reply};
use crate::proxied;
use crate::started::Started;

/// What a command answers besides that it was done.
pub(crate) type Answer = Result<Map<String, Value>>;

impl Started {
    pub(crate) fn obey(&self, words: &[&str]) -> Answer {
        match (self, words) {
            (Self::Redis(_, Some(proxy)) | Self::S3(_, Some(proxy)), ["proxy", rest @ ..]) => {
                proxied::obey(proxy, rest)
            }
            (Self::Redis(redis, _), _) => obey_redis(redis, words),
            (Self::S3(s3, _), _) => obey_server(s3, words),
            (Self::Cluster(cluster), ["settle"]) => cluster.settle().map(|()| Map::new()),
            (Self::Cluster(cluster), [command, number, rest @ ..]) => {
                obey_redis(node(cluster.nodes().iter(), number)?, &[&[*command], rest].concat())
            }
            (Self::Sentinel(sentinel), ["promote"]) => sentinel.promote().map(of_primary),
            (Self::Sentinel(sentinel), ["primary"]) => sentinel.primary().map(of_primary),
            (Self::Sentinel(sentinel), ["rejoin"]) => sentinel.rejoin().map(|()| Map::new()),
            (Self::Sentinel(sentinel), ["settle"]) => sentinel.settle().map(|()| Map::new()),
            (Self::Sentinel(sentinel), [command, number, rest @ ..]) => {
                let all = sentinel.nodes().iter().chain(sentinel.sentinels());
                obey_redis(node(all, number)?, &[&[*command], rest].concat())
            }
            _ => Err(unknown(words)),
        }
    }
}

pub(crate) fn unknown(words: &[&str]) -> Error {
    Error::Failed(format!("no such command: {:?}; crossdock-servers --help has the list", words.join(" ")))
}

fn node<'a>(mut nodes: impl Iterator<Item = &'a Redis>, number: &str) -> Result<&'a Redis> {
    let found = number.parse().ok().and_then(|number| nodes.nth(number));
    found.ok_or_else(|| Error::Failed(format!("no node has the number {number:?}")))
}

fn of_primary(primary: &Redis) -> Map<String, Value> {
    Map::from_iter([("primary".to_owned(), of_redis(primary))])
}

fn obey_redis(redis: &Redis, words: &[&str]) -> Answer {
    match words {
        ["command", rest @ ..] => Ok(Map::from_iter([("reply".to_owned(), of_reply(&redis.command(rest)?))])),
        _ => obey_server(redis, words),
    }
}

fn obey_server(server: &Server, words: &[&str]) -> Answer {
    match words {
        ["kill"] => server.kill()?,
        ["stop"] => server.stop()?,
        ["cont"] => server.cont()?,
        ["terminate"] => server.terminate()?,
        ["restart"] => server.restart()?,
        ["pid"] => {}
        _ => return Err(unknown(words)),
    }
    Ok(Map::from_iter([("pid".to_owned(), json!(server.pid()))]))
}

//! What these tests share.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use crossdock::connectors::{RedisConnector, RedisOptions};
use crossdock::{Connector, ConnectorConfig, ErrorKind, Registry, Result};
use crossdock_servers::{ClusterOptions, Program, Redis, RedisCluster, trial};
use libtest_mimic::Trial;

pub(crate) type Outcome = std::result::Result<(), libtest_mimic::Failed>;

/// A test and its name.
pub(crate) type Named = (&'static str, fn() -> Outcome);

/// What runs a test by its name, where the servers are there.
pub(crate) fn trials(tests: &[Named]) -> Vec<Trial> {
    tests.iter().map(|(name, test)| trial(name, REDIS, *test)).collect()
}

pub(crate) fn kind_of<T: std::fmt::Debug>(outcome: Result<T>) -> ErrorKind {
    outcome.expect_err("this fails").kind()
}

pub(crate) const REDIS: &[Program] = &[Program::Redis];

/// One server for all tests that neither change nor stop it. It ends with the process.
pub(crate) static SHARED: LazyLock<Redis> = LazyLock::new(|| start(&crossdock_servers::RedisOptions::new()));

/// Three nodes, likewise.
pub(crate) static CLUSTER: LazyLock<RedisCluster> =
    LazyLock::new(|| RedisCluster::start(&ClusterOptions::new()).expect("a cluster starts"));

pub(crate) fn start(options: &crossdock_servers::RedisOptions) -> Redis {
    Redis::start(options).expect("redis-server starts")
}

pub(crate) fn options(redis: &Redis) -> RedisOptions {
    RedisOptions::new("127.0.0.1", redis.address().port())
}

/// With a deadline that a test can wait for.
pub(crate) fn hurried(redis: &Redis) -> RedisOptions {
    options(redis).deadline(Duration::from_secs(2))
}

pub(crate) fn open(options: &RedisOptions) -> RedisConnector {
    RedisConnector::attach(options).expect("the options are right")
}

pub(crate) fn reopen(config: &ConnectorConfig) -> Result<Arc<dyn Connector>> {
    Registry::builtin().open(config)
}

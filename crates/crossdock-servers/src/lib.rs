//! Real servers for tests and benchmarks: Redis (alone, as a cluster, behind Sentinel) and an S3 server over files, on free
//! ports of 127.0.0.1.
//!
//! A server answers when `start` returns, keeps its port over every `kill` and `restart`, and ends with its owner: when it
//! is dropped, and also when the process that started it is killed. What it stores is in a private directory, which is
//! removed with it.
//!
//! ```no_run
//! use crossdock_servers::{Redis, RedisOptions};
//!
//! # fn main() -> crossdock_servers::Result<()> {
//! let redis = Redis::start(&RedisOptions::new().password("s3cret"))?;
//! println!("{}", redis.url()); // redis://:s3cret@127.0.0.1:40123/0
//! redis.command(&["SET", "name", "value"])?;
//! redis.kill()?;
//! redis.restart()?; // the same port; without `aof` an empty server
//! # Ok(())
//! # }
//! ```
//!
//! Errors are sentences for whoever reads the output of a failed test. That a program is not installed is
//! [`Error::Missing`]; [`trial`] makes a test out of that which is ignored by name.

mod cluster;
mod error;
mod place;
mod port;
mod program;
mod proxy;
mod redis;
mod resp;
mod s3;
mod sentinel;
mod server;
mod spawn;
mod tls;
mod wait;

pub use cluster::{ClusterOptions, RedisCluster};
pub use error::{Error, Result};
pub use program::{Program, missing, skip, trial};
pub use proxy::{Counts, Fault, LossyProxy, Rule, Then};
pub use redis::{Aof, Redis, RedisOptions, Tls};
pub use resp::Reply;
pub use s3::{S3, S3Options};
pub use sentinel::{RedisSentinel, SentinelOptions};
pub use server::Server;
pub use tls::Certificates;

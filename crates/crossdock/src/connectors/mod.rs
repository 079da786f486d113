//! The connectors, one module each, behind a feature each. They never import each other, nor the multi-connector.

#[cfg(feature = "file")]
mod file;
#[cfg(feature = "local")]
mod local;
#[cfg(feature = "redis")]
mod redis;

#[cfg(feature = "file")]
pub use file::{FileConnector, FileOptions};
#[cfg(feature = "local")]
pub use local::{LocalConnector, LocalOptions};
#[cfg(feature = "redis")]
pub use redis::{RedisConnector, RedisOptions};

//! The connectors, one module each, behind a feature each. They never import each other, nor the multi-connector.

#[cfg(feature = "file")]
mod file;
#[cfg(feature = "local")]
mod local;
#[cfg(feature = "object-store")]
mod object_store;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "shm")]
mod shm;

#[cfg(feature = "object-store")]
pub use self::object_store::{ObjectStoreConnector, ObjectStoreOptions};
#[cfg(feature = "file")]
pub use file::{FileConnector, FileOptions};
#[cfg(feature = "local")]
pub use local::{LocalConnector, LocalOptions};
#[cfg(feature = "redis")]
pub use redis::{RedisConnector, RedisOptions};
#[cfg(feature = "shm")]
pub use shm::{ShmConnector, ShmOptions};

//! crossdock moves byte objects between tasks, processes and hosts through whichever channel a policy picks.
//!
//! A producer calls `put`; the policies pick the connector (process memory, shared memory, files, Redis, object stores); the key that comes back says where
//! the object landed, so that any consumer with the key and the config gets it from there. The routing contract, the
//! files and the configs are those of ProxyStore's `MultiConnector`, so both can work on the same objects.
//!
//! ```
//! use crossdock::config::Config;
//! use crossdock::{PutOptions, Registry};
//!
//! let text = r#"
//!     [connectors.fast]
//!     type = "file"
//!     dir = "/dev/shm/crossdock-example"
//!     policy = { max_size_bytes = "64 KiB", priority = 10 }
//!
//!     [connectors.checkpoints]
//!     type = "file"
//!     dir = "${env:SCRATCH}/checkpoints"
//!     durability = "host"
//!     policy = { subset_tags = ["checkpoint"] }
//! "#;
//! let multi = Registry::builtin().connect(&Config::from_text(text)?)?;
//!
//! let key = multi.put("a small object", &PutOptions::new())?;
//! assert_eq!(&*key.connector_name, "fast");
//!
//! // In any process on any host that has the same config:
//! let line = key.to_string();
//! assert_eq!(multi.get(&line.parse()?)?.as_deref(), Some(&b"a small object"[..]));
//!
//! // Where would it go, and why?
//! let explanation = multi.explain(Some(3_000_000), &PutOptions::new().subset_tags(["checkpoint"]));
//! assert_eq!(explanation.route.as_deref(), Some("checkpoints"));
//! assert_eq!(explanation.verdicts[0].accepts, false);
//! # multi.evict(&key)?;
//! # let _ = std::fs::remove_dir("/dev/shm/crossdock-example");
//! # Ok::<(), crossdock::Error>(())
//! ```
//!
//! # Where to look
//! - [`MultiConnector`]: put, get, exists, evict, batches, keys before their objects, `explain`.
//! - [`Policy`] and [`HostPattern`]: which connector takes what, and where. [`Router`]: the same without any I/O.
//!   [`dispatch`]: what a put does with it.
//! - [`Connector`]: the contract of a channel. [`connectors`]: those of this crate. `testing` (a feature): its tests, for
//!   yours.
//! - [`config`] and [`Registry`]: TOML, JSON, ProxyStore's JSON, types of your own.
//! - [`Error`]: one type; [`ErrorKind`] says what happened. A missing object is `None`.
//!
//! # Features
//! - `local` (default): objects in the memory of this process.
//! - `file` (default): objects as files.
//! - `shm`: objects in shared memory, for the processes of one user on one Linux host.
//! - `redis`: objects in Redis or Valkey; `redis-tls`: the same, with TLS.
//! - `s3`, `gcs`, `azure`, `http`: objects in S3, Google Cloud Storage, Azure Blob Storage, on WebDAV servers.
//! - `testing`: the conformance suite and a connector that injects faults.
//!
//! The library is synchronous and keeps no threads, no runtime and no global state but a per-process random token; only an
//! object store connector has a runtime of its own, from its first call on. After `fork()` a child works on.

pub mod config;
mod connector;
pub mod connectors;
#[cfg(feature = "remote")]
mod deadline;
pub mod dispatch;
mod error;
mod health;
mod hostname;
mod integrity;
pub mod interrupt;
mod key;
pub mod memory;
mod multi;
mod options;
pub mod pattern;
mod policy;
#[cfg(feature = "disk")]
mod posix;
#[cfg(any(feature = "local", feature = "disk", feature = "remote"))]
pub mod process;
mod registry;
pub mod router;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(feature = "disk")]
mod usage;

pub use bytes::Bytes;
pub use config::ConnectorConfig;
pub use connector::{Checkup, Connector, ConnectorExt, Deferrable, Opener, Properties, undo_batch};
pub use error::{Error, ErrorKind, Result};
pub use health::{Health, HealthState, Skipped};
pub use hostname::{HOSTNAME_VARIABLE, Hostname};
pub use key::{Key, MultiKey, ObjectId, ObjectKey, ParseKeyError};
pub use multi::{MultiConnector, MultiConnectorBuilder};
pub use options::{CloseOptions, Durability, GcOptions, GcReport, GetOptions, Integrity, KeyHint, PutOptions};
pub use pattern::HostPattern;
pub use policy::{HostPatterns, MAX_SIZE_BYTES, Policy, PolicyBuilder, Reason, Request};
pub use registry::{ConnectorType, Flavor, ProxystoreJson, Registry};
pub use router::{Explanation, Router, Verdict};

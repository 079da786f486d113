//! Configs: named connectors with their policies, in TOML or in the JSON shape of ProxyStore.
//!
//! ```toml
//! [connectors.fast]
//! type = "file"
//! dir = "/dev/shm/my-run-${env:USER}"
//! policy = { max_size_bytes = "64 MiB", host_pattern = 'nid\d+', priority = 10 }
//!
//! [connectors.shared]
//! type = "file"
//! dir = "${env:SCRATCH}/objects"
//! ```
//!
//! The same as JSON, either with the same fields (`{"connectors": {"fast": {"type": "file", …}}}`) or as ProxyStore
//! writes it (`{"fast": ["proxystore.connectors.file.FileConnector", {options}, {policy}], …}`). The order of the
//! connectors breaks ties of priority; every reader and writer keeps it.

#[cfg(feature = "disk")]
mod directory;
mod duration;
mod embedded;
mod envelope;
mod fields;
mod json;
mod policy;
mod reference;
mod size;
mod toml;
mod value;

#[cfg(feature = "disk")]
pub(crate) use directory::resolve_directory;
pub use duration::{format_duration, parse_duration};
pub use envelope::{Config, Entry, Format};
pub(crate) use fields::with_nearest;
pub use fields::{FieldKind, FieldSpec, Fields};
pub(crate) use json::write as write_json;
pub use policy::POLICY_FIELDS;
pub use reference::Reference;
pub use size::{format_size, parse_size};
pub use value::{ConnectorConfig, Node, Table, Value};

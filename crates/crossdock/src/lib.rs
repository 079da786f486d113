//! crossdock
pub mod config;
mod connector;
pub mod connectors;
mod error;
mod hostname;
#[cfg(any(feature = "local", feature = "file"))]
mod integrity;
mod key;
mod multi;
pub mod pattern;
mod policy;
#[cfg(any(feature = "local", feature = "file"))]
mod process;
mod registry;
mod router;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use config::ConnectorConfig;
pub use connector::{
    CloseOptions, Connector, ConnectorExt, Deferrable, Durability, GcOptions, GcReport, GetOptions, Integrity, KeyHint,
    Opener, Properties, PutOptions, undo_batch,
};
pub use error::{Error, ErrorKind, Result};
pub use hostname::{HOSTNAME_VARIABLE, Hostname};
pub use key::{Key, MultiKey, ObjectId, ObjectKey, ParseKeyError};
pub use multi::{MultiConnector, MultiConnectorBuilder};
pub use pattern::HostPattern;
pub use policy::{HostPatterns, MAX_SIZE, Policy, PolicyBuilder, Reason, Request};
pub use registry::{ConnectorType, Flavor, ProxystoreJson, Registry};
pub use router::{Candidate, Explanation, HostTable, Lane, Router, Verdict};

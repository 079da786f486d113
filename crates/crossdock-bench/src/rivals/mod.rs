//! Other crates that do the same, where this program was built with the feature `rivals`. Both files have the same functions.

#[cfg(not(feature = "rivals"))]
mod absent;
#[cfg(feature = "rivals")]
mod present;

#[cfg(not(feature = "rivals"))]
pub(crate) use absent::*;
#[cfg(feature = "rivals")]
pub(crate) use present::*;

/// Their names, and those of their packages.
pub(crate) const RIVALS: [(&str, &str); 3] =
    [("object_store", "object_store"), ("opendal", "opendal"), ("redis-rs", "redis")];

//! What calls can be told: how to put, how to get, what to collect, how to close.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What survives what, once a put has returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Durability {
    /// The object survives the process that put it.
    Process,
    /// The object survives a power cut of the host that stores it.
    Host,
    /// The object survives what the service's documentation says it survives.
    Backend,
}

impl Durability {
    /// The word for this level in configs and on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Host => "host",
            Self::Backend => "backend",
        }
    }
}

/// What is checked of an object before it is handed out, as far as its key tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Integrity {
    /// The size.
    Size,
    /// The size and the checksum.
    #[default]
    Checksum,
}

impl Integrity {
    /// The word for this level in configs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Size => "size",
            Self::Checksum => "checksum",
        }
    }
}

/// How an object is to be put. Tags count in multi-connectors, at every level of nesting; others ignore them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PutOptions {
    /// Tags that must all be among a policy's `subset_tags`.
    pub subset_tags: Vec<String>,
    /// Tags among which all of a policy's `superset_tags` must be.
    pub superset_tags: Vec<String>,
    /// The durability to reach; `None` is the connector's own default.
    pub durability: Option<Durability>,
}

impl PutOptions {
    /// No tags, the connector's own durability.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same options, with more subset tags.
    #[must_use]
    pub fn subset_tags<T: Into<String>>(mut self, tags: impl IntoIterator<Item = T>) -> Self {
        self.subset_tags.extend(tags.into_iter().map(Into::into));
        self
    }

    /// The same options, with more superset tags.
    #[must_use]
    pub fn superset_tags<T: Into<String>>(mut self, tags: impl IntoIterator<Item = T>) -> Self {
        self.superset_tags.extend(tags.into_iter().map(Into::into));
        self
    }

    /// The same options, with a durability to reach.
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = Some(durability);
        self
    }
}

/// How an object is to be got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct GetOptions {
    /// Hand out a view of the stored bytes (a memory map) where the connector can, instead of a copy. A view's
    /// checksum is checked only where `integrity` asks for it here.
    pub view: bool,
    /// What to check; `None` is the connector's own level for copies, and the size for views.
    pub integrity: Option<Integrity>,
}

impl GetOptions {
    /// A view rather than a copy, where the connector can.
    #[must_use]
    pub fn view() -> Self {
        Self { view: true, ..Self::default() }
    }

    /// The same options, with what to check.
    #[must_use]
    pub fn integrity(mut self, integrity: Integrity) -> Self {
        self.integrity = Some(integrity);
        self
    }
}

/// What is known of an object before it exists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyHint {
    /// Its size in bytes. `None`: connectors that take every size come first, then the others.
    pub size: Option<u64>,
    /// Its tags, and the durability that it will ask for.
    pub options: PutOptions,
}

/// What to collect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GcOptions {
    /// Leave what is younger than this: somebody may still be writing it.
    pub min_age: Duration,
    /// Only count.
    pub dry_run: bool,
}

impl KeyHint {
    /// Nothing is known.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same hint, with the size in bytes.
    #[must_use]
    pub fn size(mut self, bytes: u64) -> Self {
        self.size = Some(bytes);
        self
    }

    /// The same hint, with the options of the put to come.
    #[must_use]
    pub fn options(mut self, options: PutOptions) -> Self {
        self.options = options;
        self
    }
}

impl GcOptions {
    /// The same options, leaving what is younger than this.
    #[must_use]
    pub fn min_age(mut self, age: Duration) -> Self {
        self.min_age = age;
        self
    }

    /// The same options, only counting.
    #[must_use]
    pub fn dry_run(mut self, dry_run: bool) -> Self {
        self.dry_run = dry_run;
        self
    }
}

impl CloseOptions {
    /// The same options, saying whether to delete all objects.
    #[must_use]
    pub fn clear(mut self, clear: bool) -> Self {
        self.clear = Some(clear);
        self
    }
}

impl Default for GcOptions {
    /// One hour, for real.
    fn default() -> Self {
        Self { min_age: Duration::from_secs(3600), dry_run: false }
    }
}

/// What was collected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct GcReport {
    /// How many leftovers were removed (or, in a dry run, would be).
    pub removed: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How many were left because they are too young or in use.
    pub kept: u64,
}

impl std::ops::AddAssign for GcReport {
    fn add_assign(&mut self, other: Self) {
        self.removed += other.removed;
        self.bytes += other.bytes;
        self.kept += other.kept;
    }
}

/// How to close.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CloseOptions {
    /// Whether to delete all objects; `None` is what the connector was built with.
    pub clear: Option<bool>,
}

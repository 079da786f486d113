//! The options that say which policies an object suits; `put` and `explain` share them.

use clap::{Args, ValueEnum};
use crossdock::{Durability, PutOptions};

/// The tags of an object.
#[derive(Args, Debug)]
pub(crate) struct Tags {
    /// A tag that must be among the `subset_tags` of the policy; give it again for more tags
    #[arg(long = "subset-tag", value_name = "TAG")]
    subset: Vec<String>,
    /// A tag that the `superset_tags` of the policy may ask for; give it again for more tags
    #[arg(long = "superset-tag", value_name = "TAG")]
    superset: Vec<String>,
}

impl Tags {
    pub(crate) fn options(&self) -> PutOptions {
        PutOptions::new().subset_tags(&self.subset).superset_tags(&self.superset)
    }
}

/// What an object is to survive.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Level {
    /// The end of this command
    Process,
    /// A power cut of the host that stores the object
    Host,
    /// What the documentation of the service promises
    Backend,
}

impl From<Level> for Durability {
    fn from(level: Level) -> Self {
        match level {
            Level::Process => Self::Process,
            Level::Host => Self::Host,
            Level::Backend => Self::Backend,
        }
    }
}

//! Policy sets of a given size.

use crossdock::connectors::LocalConnector;
use crossdock::{Hostname, MultiConnector, Policy};

/// A multi-connector of `count` policies of which only the last takes an object of 1,000 bytes: the worst case.
///
/// # Panics
/// Never: the policies are valid.
#[must_use]
pub fn last_of(count: u64, kind: Kind) -> MultiConnector {
    let connector = LocalConnector::new;
    let mut builder = MultiConnector::builder().hostname(Hostname::Fixed("nid0042".to_owned()));
    for n in 1..count {
        let policy = Policy::builder().priority(1);
        let policy = match kind {
            Kind::Sizes => policy.min_size_bytes(1_000_000 + n),
            Kind::Tags => policy.subset_tags(["other"]).superset_tags([format!("demanded-{n}")]),
            Kind::Hosts => policy.host_pattern(&format!(r"login\d+-{n}")),
        };
        builder = builder.connector(format!("no-{n}"), connector(), policy.build().expect("a valid policy"));
    }
    let last = Policy::builder().subset_tags(["mine"]).build().expect("a valid policy");
    builder.connector("last", connector(), last).build().expect("names are distinct")
}

/// By what the policies refuse the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// By its size.
    Sizes,
    /// By its tags.
    Tags,
    /// By the host's name.
    Hosts,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Sizes, Self::Tags, Self::Hosts];

    /// The word for it in tables.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sizes => "sizes",
            Self::Tags => "tags",
            Self::Hosts => "hosts",
        }
    }
}

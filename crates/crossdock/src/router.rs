//! The router: policies in the order of the asking, from a request to a route and its verdicts. Pure: no I/O, no clock.

use std::fmt;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use crate::health::Skipped;
use crate::policy::{Policy, Reason, Request};

/// Policies in the order in which connectors are asked: from the highest priority down, ties as they were given.
///
/// ```
/// use crossdock::router::Lane;
/// use crossdock::{Policy, Request, Router};
///
/// let small = Policy::builder().max_size_bytes(1_000).priority(1).build()?;
/// let router = Router::new([Lane::new("rest", Policy::any()), Lane::new("small", small)]);
/// assert_eq!(router.route(&Request::new().size(999), "nid0042"), Some("small"));
/// let explanation = router.explain(&Request::new().size(2_000), "nid0042");
/// assert_eq!(explanation.to_string(), "small: too large: 2000 bytes, the maximum is 1000 bytes; rest: accepts");
/// # Ok::<(), crossdock::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Router {
    entries: Vec<Entry>,
    needs_host: bool,
}

#[derive(Clone, Debug)]
struct Entry {
    policy: Policy,
    /// The place in the order in which the connectors were given.
    index: usize,
    dormant: bool,
    name: Arc<str>,
}

/// One connector, as the router knows it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Lane {
    /// The connector's name.
    pub name: Arc<str>,
    /// Its policy.
    pub policy: Policy,
    /// Whether it is dormant: explained, but never a route.
    pub dormant: bool,
}

impl Lane {
    /// A connector that is awake.
    pub fn new(name: impl Into<Arc<str>>, policy: Policy) -> Self {
        Self { name: name.into(), policy, dormant: false }
    }

    /// The same connector, dormant or not.
    #[must_use]
    pub fn dormant(mut self, dormant: bool) -> Self {
        self.dormant = dormant;
        self
    }
}

/// Which policies hold on one host: what a router remembers between requests, as host patterns are slow to match.
#[derive(Clone, Debug)]
pub struct HostTable {
    hostname: String,
    holds: Vec<bool>,
}

impl HostTable {
    /// The host that this table is about.
    #[must_use]
    pub fn hostname(&self) -> &str {
        &self.hostname
    }
}

/// A connector that takes the request: where it was given, and where it stands in the order of the asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Candidate {
    /// The connector's place in the order in which the connectors were given.
    pub index: usize,
    /// Its place in the order of the asking.
    pub position: usize,
}

impl Router {
    /// A router over connectors in the order in which they were given.
    #[must_use]
    pub fn new(lanes: impl IntoIterator<Item = Lane>) -> Self {
        let mut entries: Vec<Entry> = lanes
            .into_iter()
            .enumerate()
            .map(|(index, Lane { name, policy, dormant })| Entry { policy, index, dormant, name })
            .collect();
        // Stable, so ties stay as they were given.
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.policy.priority()));
        let needs_host = entries.iter().any(|entry| !entry.dormant && entry.policy.host_pattern().is_some());
        Self { entries, needs_host }
    }

    /// The places, in the order in which they were given, of the connectors in the order of the asking.
    pub fn order(&self) -> impl Iterator<Item = usize> {
        self.entries.iter().map(|entry| entry.index)
    }

    /// Whether a route can depend on the hostname at all.
    #[must_use]
    pub fn needs_host(&self) -> bool {
        self.needs_host
    }

    /// Which policies hold on the host of that name.
    #[must_use]
    pub fn host_table(&self, hostname: impl Into<String>) -> HostTable {
        let hostname = hostname.into();
        let holds = self.entries.iter().map(|entry| entry.policy.is_valid_on_host(&hostname) == Ok(true)).collect();
        HostTable { hostname, holds }
    }

    /// The first connector that takes the request, from `position` on in the order of the asking.
    ///
    /// `hosts` must come from this router; policies with a host pattern are not valid without it.
    #[must_use]
    pub fn next(&self, request: &Request<'_>, hosts: Option<&HostTable>, position: usize) -> Option<Candidate> {
        let on_host = |position: usize| hosts.and_then(|hosts| hosts.holds.get(position)).copied().unwrap_or(false);
        let asked = self.entries.iter().enumerate().skip(position);
        asked
            .filter(|(_, entry)| !entry.dormant)
            .find(|(position, entry)| entry.policy.accepts_where(request, || on_host(*position)))
            .map(|(position, entry)| Candidate { index: entry.index, position })
    }

    /// The connector that takes the request on the host of that name.
    ///
    /// For many requests on one host, make a [`HostTable`] once and ask [`next`](Self::next).
    #[must_use]
    pub fn route(&self, request: &Request<'_>, hostname: &str) -> Option<&str> {
        let found = self.next(request, Some(&self.host_table(hostname)), 0)?;
        self.entries.get(found.position).map(|entry| &*entry.name)
    }

    /// What every policy says to the request on the host of that name.
    #[must_use]
    pub fn explain(&self, request: &Request<'_>, hostname: &str) -> Explanation {
        let verdicts: Vec<Verdict> = self.entries.iter().map(|entry| entry.verdict(request, hostname)).collect();
        let route = verdicts.iter().find(|verdict| verdict.accepts).map(|verdict| verdict.connector.clone());
        Explanation { route, verdicts }
    }
}

impl Entry {
    fn verdict(&self, request: &Request<'_>, hostname: &str) -> Verdict {
        let mut reasons = self.policy.reasons(request, hostname);
        // The host's reason says more; without one, the host has changed since the config was loaded.
        let says_so = reasons.iter().any(|reason| matches!(reason, Reason::Host { .. } | Reason::HostUndecided { .. }));
        reasons.extend((self.dormant && !says_so).then_some(Reason::Dormant));
        Verdict { connector: self.name.clone(), accepts: reasons.is_empty(), reasons, skipped: None }
    }
}

/// What one connector's policy says to a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// The connector's name.
    #[serde(serialize_with = "as_str")]
    pub connector: Arc<str>,
    /// Whether it takes the object.
    pub accepts: bool,
    /// Why not; empty if it does.
    #[serde(serialize_with = "with_messages")]
    pub reasons: Vec<Reason>,
    /// Why puts skip it for now, although it accepts. Only a [`Dispatcher`](crate::dispatch::Dispatcher) knows; a router
    /// says `None`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skipped: Option<Skipped>,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.connector)?;
        match &self.skipped {
            Some(skipped) if self.accepts => return write!(f, "accepts, but is being skipped: {skipped}"),
            None if self.accepts => return f.write_str("accepts"),
            _ => {}
        }
        for (n, reason) in self.reasons.iter().enumerate() {
            let comma = if n == 0 { "" } else { ", " };
            write!(f, "{comma}{reason}")?;
        }
        Ok(())
    }
}

/// A route and how it came about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The connector that would take the object, if one does.
    #[serde(serialize_with = "as_optional_str")]
    pub route: Option<Arc<str>>,
    /// A verdict per connector, in the order of the asking.
    pub verdicts: Vec<Verdict>,
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, verdict) in self.verdicts.iter().enumerate() {
            let semicolon = if n == 0 { "" } else { "; " };
            write!(f, "{semicolon}{verdict}")?;
        }
        Ok(())
    }
}

fn as_str<S: Serializer>(name: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(name)
}

fn as_optional_str<S: Serializer>(name: &Option<Arc<str>>, serializer: S) -> Result<S::Ok, S::Error> {
    name.as_deref().serialize(serializer)
}

fn with_messages<S: Serializer>(reasons: &[Reason], serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct WithMessage<'a> {
        #[serde(flatten)]
        reason: &'a Reason,
        message: String,
    }
    serializer.collect_seq(reasons.iter().map(|reason| WithMessage { reason, message: reason.to_string() }))
}

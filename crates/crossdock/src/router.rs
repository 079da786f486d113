//! The router: policies in the order of the asking, from a request to a route and its verdicts. Pure: no I/O, no clock.

use std::fmt;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use crate::policy::{Policy, Reason, Request};

/// Policies in the order in which connectors are asked: from the highest priority down, ties as they were given.
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
pub struct Lane {
    /// The connector's name.
    pub name: Arc<str>,
    /// Its policy.
    pub policy: Policy,
    /// Whether it is dormant: explained, but never a route.
    pub dormant: bool,
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
        reasons.extend(self.dormant.then_some(Reason::Dormant));
        Verdict { connector: self.name.clone(), accepts: reasons.is_empty(), reasons }
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
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.connector)?;
        if self.accepts {
            return f.write_str("accepts");
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

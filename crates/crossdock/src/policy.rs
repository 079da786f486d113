//! Policies: which objects a connector takes. Pure: no I/O, no clock.
//!
//! The rules are those of ProxyStore's `Policy`; the fields, their defaults and their meaning are the same.

use std::fmt;
use std::ops::ControlFlow;
use std::time::Duration;

use serde::Serialize;

use crate::error::{Error, ErrorKind, Result};
use crate::options::PutOptions;
use crate::pattern::{HostPattern, StepLimitExceeded};

/// The largest `max_size_bytes` by default: Python's `sys.maxsize`.
pub const MAX_SIZE_BYTES: u64 = i64::MAX as u64;
/// `max_failures` by default.
const MAX_FAILURES: u32 = 5;
/// `cooldown` by default.
const COOLDOWN: Duration = Duration::from_secs(10);

/// Which objects a connector takes, and in which order it is asked.
///
/// ```
/// use crossdock::{Policy, Request};
/// let policy = Policy::builder().max_size_bytes(1_000).subset_tags(["scratch"]).build()?;
/// assert!(policy.accepts(&Request::new().size(1_000), "nid0042"));
/// assert!(!policy.accepts(&Request::new().size(1_001), "nid0042"));
/// # Ok::<(), crossdock::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    priority: i64,
    host_pattern: Option<HostPatterns>,
    min_size_bytes: u64,
    max_size_bytes: u64,
    subset_tags: Vec<String>,
    superset_tags: Vec<String>,
    fallback: bool,
    max_failures: u32,
    cooldown: Duration,
}

/// The host patterns of a policy. One pattern and a list of one mean the same, but remain what they were written as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostPatterns {
    /// One pattern.
    One(HostPattern),
    /// Several, of which one must match. An empty list matches no host.
    AnyOf(Vec<HostPattern>),
}

impl HostPatterns {
    /// The patterns.
    #[must_use]
    pub fn as_slice(&self) -> &[HostPattern] {
        match self {
            Self::One(pattern) => std::slice::from_ref(pattern),
            Self::AnyOf(patterns) => patterns,
        }
    }

    /// Whether one of the patterns matches the whole hostname.
    ///
    /// # Errors
    /// The limit of steps was reached before one matched.
    pub fn matches(&self, hostname: &str) -> Result<bool, StepLimitExceeded> {
        let mut limit = None;
        for pattern in self.as_slice() {
            match pattern.is_match(hostname) {
                Ok(true) => return Ok(true),
                Ok(false) => {}
                Err(exceeded) => limit = Some(exceeded),
            }
        }
        limit.map_or(Ok(false), Err)
    }

    fn texts(&self) -> Vec<String> {
        self.as_slice().iter().map(|pattern| pattern.as_str().to_owned()).collect()
    }
}

impl Policy {
    /// A policy that takes everything everywhere, with priority 0.
    #[must_use]
    pub fn any() -> Self {
        Self {
            priority: 0,
            host_pattern: None,
            min_size_bytes: 0,
            max_size_bytes: MAX_SIZE_BYTES,
            subset_tags: Vec::new(),
            superset_tags: Vec::new(),
            fallback: false,
            max_failures: MAX_FAILURES,
            cooldown: COOLDOWN,
        }
    }

    /// Starts from [`Policy::any`].
    pub fn builder() -> PolicyBuilder {
        PolicyBuilder { policy: Self::any(), problem: None }
    }

    /// Connectors with a higher priority are asked first.
    #[must_use]
    pub fn priority(&self) -> i64 {
        self.priority
    }

    /// The hosts on which the policy holds; `None` is every host.
    #[must_use]
    pub fn host_pattern(&self) -> Option<&HostPatterns> {
        self.host_pattern.as_ref()
    }

    /// The smallest object that is taken, in bytes.
    #[must_use]
    pub fn min_size_bytes(&self) -> u64 {
        self.min_size_bytes
    }

    /// The largest object that is taken, in bytes.
    #[must_use]
    pub fn max_size_bytes(&self) -> u64 {
        self.max_size_bytes
    }

    /// Whether objects of every size are taken, as far as their size counts.
    #[must_use]
    pub fn takes_every_size(&self) -> bool {
        self.min_size_bytes == 0 && self.max_size_bytes >= MAX_SIZE_BYTES
    }

    /// The tags that an object may have as its subset tags.
    #[must_use]
    pub fn subset_tags(&self) -> &[String] {
        &self.subset_tags
    }

    /// The tags that an object must have among its superset tags.
    #[must_use]
    pub fn superset_tags(&self) -> &[String] {
        &self.superset_tags
    }

    /// Whether a put that fails here without having written anything goes on to the next valid connector.
    #[must_use]
    pub fn fallback(&self) -> bool {
        self.fallback
    }

    /// How many puts in a row may fail here before the connector is skipped for a while; 0: it never is.
    #[must_use]
    pub fn max_failures(&self) -> u32 {
        self.max_failures
    }

    /// How long the connector is skipped then, before one put tries it again.
    #[must_use]
    pub fn cooldown(&self) -> Duration {
        self.cooldown
    }

    /// Whether the policy takes the request on the host of that name. A host pattern that cannot be decided within
    /// its limit of steps does not match.
    #[must_use]
    pub fn accepts(&self, request: &Request<'_>, hostname: &str) -> bool {
        self.accepts_where(request, || self.is_valid_on_host(hostname) == Ok(true))
    }

    /// Whether the policy holds on the host of that name.
    ///
    /// # Errors
    /// The host pattern could not be decided within its limit of steps.
    pub fn is_valid_on_host(&self, hostname: &str) -> Result<bool, StepLimitExceeded> {
        self.host_pattern.as_ref().map_or(Ok(true), |patterns| patterns.matches(hostname))
    }

    /// [`accepts`](Self::accepts), with the question of the host answered by the caller, last and only if need be.
    pub(crate) fn accepts_where(&self, request: &Request<'_>, on_host: impl FnOnce() -> bool) -> bool {
        self.objections(request, |_| ControlFlow::Break(())).is_continue() && (self.host_pattern.is_none() || on_host())
    }

    /// Why the policy does not take the request on the host of that name; empty if it does.
    #[must_use]
    pub fn reasons(&self, request: &Request<'_>, hostname: &str) -> Vec<Reason> {
        let mut reasons = Vec::new();
        let (mut not_allowed, mut missing) = (Vec::new(), Vec::new());
        let _ = self.objections(request, |objection| {
            match objection {
                Objection::TooSmall(size) => {
                    reasons.push(Reason::TooSmall { size_bytes: size, min_size_bytes: self.min_size_bytes });
                }
                Objection::TooLarge(size) => {
                    reasons.push(Reason::TooLarge { size_bytes: size, max_size_bytes: self.max_size_bytes });
                }
                Objection::SubsetTag(tag) => not_allowed.push(tag.to_owned()),
                Objection::SupersetTag(tag) => missing.push(tag.to_owned()),
            }
            ControlFlow::Continue(())
        });
        if !not_allowed.is_empty() {
            reasons.push(Reason::SubsetTags { not_allowed, subset_tags: self.subset_tags.clone() });
        }
        if !missing.is_empty() {
            reasons.push(Reason::SupersetTags { missing });
        }
        reasons.extend(self.host_reason(hostname));
        reasons
    }

    /// Why the policy does not hold on the host of that name.
    pub(crate) fn host_reason(&self, hostname: &str) -> Option<Reason> {
        let patterns = self.host_pattern.as_ref()?;
        let (host_pattern, hostname) = (patterns.texts(), hostname.to_owned());
        match patterns.matches(&hostname) {
            Ok(true) => None,
            Ok(false) => Some(Reason::Host { host_pattern, hostname }),
            Err(limit) => Some(Reason::HostUndecided { host_pattern, hostname, limit: limit.to_string() }),
        }
    }

    /// The one place where sizes and tags are judged: calls `object` with each objection until it breaks.
    fn objections<'a>(
        &self,
        request: &Request<'a>,
        mut object: impl FnMut(Objection<'_>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        if let Some(size) = request.size {
            if size < self.min_size_bytes {
                object(Objection::TooSmall(size))?;
            }
            if size > self.max_size_bytes {
                object(Objection::TooLarge(size))?;
            }
        }
        for tag in request.subset_tags.into_iter().flatten().filter(|tag| !self.subset_tags.contains(tag)) {
            object(Objection::SubsetTag(tag))?;
        }
        if let Some(tags) = request.superset_tags {
            for tag in self.superset_tags.iter().filter(|tag| !tags.contains(tag)) {
                object(Objection::SupersetTag(tag))?;
            }
        }
        ControlFlow::Continue(())
    }
}

enum Objection<'a> {
    TooSmall(u64),
    TooLarge(u64),
    SubsetTag(&'a str),
    SupersetTag(&'a str),
}

/// Builds a [`Policy`]; the first problem is reported by [`build`](Self::build).
#[derive(Debug)]
#[must_use]
pub struct PolicyBuilder {
    policy: Policy,
    problem: Option<Error>,
}

impl PolicyBuilder {
    /// Connectors with a higher priority are asked first; ties in the order in which they were given. Default 0.
    pub fn priority(mut self, priority: i64) -> Self {
        self.policy.priority = priority;
        self
    }

    /// The policy holds on hosts whose whole name matches this pattern, as Python's `re.fullmatch` would.
    pub fn host_pattern(mut self, pattern: &str) -> Self {
        if let Some(pattern) = self.compile(pattern) {
            self.policy.host_pattern = Some(HostPatterns::One(pattern));
        }
        self
    }

    /// The policy holds on hosts that one of these patterns matches. No pattern matches no host.
    pub fn host_patterns<T: AsRef<str>>(mut self, patterns: impl IntoIterator<Item = T>) -> Self {
        let patterns = patterns.into_iter().filter_map(|pattern| self.compile(pattern.as_ref())).collect();
        self.policy.host_pattern = Some(HostPatterns::AnyOf(patterns));
        self
    }

    fn compile(&mut self, pattern: &str) -> Option<HostPattern> {
        let refuse = |why| {
            let message = format!("{why}; correct the host pattern");
            Error::new(ErrorKind::InvalidConfig, message)
        };
        match HostPattern::new(pattern) {
            Ok(pattern) => Some(pattern),
            Err(why) => {
                self.problem.get_or_insert_with(|| refuse(why));
                None
            }
        }
    }

    /// The smallest object that is taken, in bytes. Default 0.
    pub fn min_size_bytes(mut self, bytes: u64) -> Self {
        self.policy.min_size_bytes = bytes;
        self
    }

    /// The largest object that is taken, in bytes. Default [`MAX_SIZE_BYTES`].
    pub fn max_size_bytes(mut self, bytes: u64) -> Self {
        self.policy.max_size_bytes = bytes;
        self
    }

    /// Adds tags among which all of an object's subset tags must be. Default none: only objects without subset tags are
    /// taken.
    pub fn subset_tags<T: Into<String>>(mut self, tags: impl IntoIterator<Item = T>) -> Self {
        self.policy.subset_tags.extend(tags.into_iter().map(Into::into));
        self
    }

    /// Adds tags that an object's superset tags must all contain. Default none.
    pub fn superset_tags<T: Into<String>>(mut self, tags: impl IntoIterator<Item = T>) -> Self {
        self.policy.superset_tags.extend(tags.into_iter().map(Into::into));
        self
    }

    /// Whether a put that fails here without having written anything goes on to the next valid connector. Default not.
    pub fn fallback(mut self, fallback: bool) -> Self {
        self.policy.fallback = fallback;
        self
    }

    /// How many puts in a row may fail here before the connector is skipped for a while; 0: it never is. Default 5.
    ///
    /// A skipped connector is passed over where the policy says [`fallback`](Self::fallback); where it does not, puts fail
    /// at once. What counts is a connector that could not be reached in time, or whose outcome is not known; not one that
    /// has answered, such as that it is full. A set counts as a put. What fails in a nested multi-connector counts there;
    /// here too where this policy says `fallback`.
    pub fn max_failures(mut self, failures: u32) -> Self {
        self.policy.max_failures = failures;
        self
    }

    /// How long the connector is skipped then, before one put tries it again. Default 10 seconds.
    pub fn cooldown(mut self, cooldown: Duration) -> Self {
        self.policy.cooldown = cooldown;
        self
    }

    /// The policy.
    ///
    /// # Errors
    /// `InvalidConfig` for a pattern that does not compile, and where the smallest size is above the largest.
    pub fn build(self) -> Result<Policy> {
        let Policy { min_size_bytes: min, max_size_bytes: max, .. } = self.policy;
        match self.problem {
            Some(problem) => Err(problem),
            None if min > max => Err(Error::new(
                ErrorKind::InvalidConfig,
                format!("min_size_bytes ({min}) is above max_size_bytes ({max}): no object fits; swap or change them"),
            )),
            None => Ok(self.policy),
        }
    }
}

/// What a put asks of the policies. What is `None` is not checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Request<'a> {
    /// The object's size in bytes.
    pub size: Option<u64>,
    /// Tags that must all be among a policy's subset tags.
    pub subset_tags: Option<&'a [String]>,
    /// Tags among which all of a policy's superset tags must be.
    pub superset_tags: Option<&'a [String]>,
    /// The name of the host, where a [`Dispatcher`](crate::dispatch::Dispatcher) is to believe this one rather than its
    /// own source. Whoever asks a policy or a router gives it apart.
    pub hostname: Option<&'a str>,
}

impl<'a> Request<'a> {
    /// A request that checks the host only.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same request, with the object's size in bytes.
    #[must_use]
    pub fn size(mut self, bytes: u64) -> Self {
        self.size = Some(bytes);
        self
    }

    /// The same request, with the tags that must all be among a policy's subset tags.
    #[must_use]
    pub fn subset_tags(mut self, tags: &'a [String]) -> Self {
        self.subset_tags = Some(tags);
        self
    }

    /// The same request, with the tags among which all of a policy's superset tags must be.
    #[must_use]
    pub fn superset_tags(mut self, tags: &'a [String]) -> Self {
        self.superset_tags = Some(tags);
        self
    }

    /// The same request, with the name of the host.
    #[must_use]
    pub fn hostname(mut self, hostname: &'a str) -> Self {
        self.hostname = Some(hostname);
        self
    }

    /// The request of a put: its tags are checked also where it has none.
    #[must_use]
    pub fn for_put(size: Option<u64>, options: &'a PutOptions) -> Self {
        Self {
            size,
            subset_tags: Some(&options.subset_tags),
            superset_tags: Some(&options.superset_tags),
            hostname: None,
        }
    }
}

/// Why a connector does not take an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reason {
    /// The object is smaller than the policy's minimum.
    TooSmall {
        /// The object's size.
        size_bytes: u64,
        /// The policy's minimum.
        min_size_bytes: u64,
    },
    /// The object is larger than the policy's maximum.
    TooLarge {
        /// The object's size.
        size_bytes: u64,
        /// The policy's maximum.
        max_size_bytes: u64,
    },
    /// The object has subset tags that the policy does not list.
    SubsetTags {
        /// Those tags.
        not_allowed: Vec<String>,
        /// The tags that the policy lists.
        subset_tags: Vec<String>,
    },
    /// The object lacks superset tags that the policy demands.
    SupersetTags {
        /// Those tags.
        missing: Vec<String>,
    },
    /// The policy does not hold on this host.
    Host {
        /// The policy's patterns.
        host_pattern: Vec<String>,
        /// The name of the host.
        hostname: String,
    },
    /// Whether the policy holds on this host could not be decided within the limit of steps.
    HostUndecided {
        /// The policy's patterns.
        host_pattern: Vec<String>,
        /// The name of the host.
        hostname: String,
        /// What to do about it.
        limit: String,
    },
    /// The connector is dormant: its host pattern did not match when the config was loaded.
    Dormant,
    /// The connector cannot make a key before its object.
    NotDeferrable,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooSmall { size_bytes, min_size_bytes } => {
                write!(f, "too small: {size_bytes} bytes, the minimum is {min_size_bytes} bytes")
            }
            Self::TooLarge { size_bytes, max_size_bytes } => {
                write!(f, "too large: {size_bytes} bytes, the maximum is {max_size_bytes} bytes")
            }
            Self::SubsetTags { not_allowed, subset_tags } if subset_tags.is_empty() => {
                write!(f, "subset tags not allowed: {not_allowed:?}, the policy lists none")
            }
            Self::SubsetTags { not_allowed, subset_tags } => {
                write!(f, "subset tags not allowed: {not_allowed:?}, allowed are {subset_tags:?}")
            }
            Self::SupersetTags { missing } => write!(f, "superset tags missing: {missing:?}"),
            Self::Host { host_pattern, hostname } => {
                write!(f, "host {hostname:?} does not match {}", Patterns(host_pattern))
            }
            Self::HostUndecided { host_pattern, hostname, limit } => {
                write!(f, "host {hostname:?} could not be matched against {}: {limit}", Patterns(host_pattern))
            }
            Self::Dormant => f.write_str("dormant on this host"),
            Self::NotDeferrable => f.write_str("cannot make a key before its object"),
        }
    }
}

struct Patterns<'a>(&'a [String]);

impl fmt::Display for Patterns<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => f.write_str("an empty list of patterns"),
            [pattern] => write!(f, "{pattern:?}"),
            patterns => write!(f, "any of {patterns:?}"),
        }
    }
}

//! Dispatching: which connector gets what, and where it goes when one fails; but not how a connector stores.
//!
//! [`MultiConnector`](crate::MultiConnector) is a dispatcher and its connectors. Whoever holds objects in another form than
//! [`Bytes`](crate::Bytes), as a binding to another language does, has a dispatcher of its own.

mod batch;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::{ArcSwap, Guard};

pub use batch::Share;

use crate::error::{Error, ErrorKind, Result};
use crate::hostname::Hostname;
use crate::policy::{Policy, Request};
use crate::router::{Candidate, Explanation, HostTable, Lane, Router};

/// Named policies, the host they are asked on, and the rules of a put: first valid connector, fallback, batches.
///
/// Connectors are known by their place in the order in which they were given.
///
/// ```
/// use crossdock::dispatch::Dispatcher;
/// use crossdock::router::Lane;
/// use crossdock::{Error, ErrorKind, Hostname, Policy, Request};
///
/// let tiny = Policy::builder().max_size_bytes(3).priority(1).fallback(true).build()?;
/// let lanes = vec![Lane::new("rest", Policy::any()), Lane::new("tiny", tiny)];
/// let dispatcher = Dispatcher::new(lanes, Hostname::System)?;
/// assert_eq!(dispatcher.find("tiny")?, 1);
/// // "tiny" is asked first, fails, and lets the put go on.
/// let request = Request::new().size(2);
/// let (place, key) = dispatcher.put(&request, |place| match place {
///     1 => Some(Err(Error::new(ErrorKind::Full, "no space is left"))),
///     _ => Some(Ok("the key")),
/// })?;
/// assert_eq!((place, key), (0, "the key"));
/// # Ok::<(), Error>(())
/// ```
pub struct Dispatcher {
    lanes: Vec<Lane>,
    by_name: HashMap<Arc<str>, usize>,
    router: Router,
    hostname: Hostname,
    hosts: ArcSwap<HostTable>,
    closed: AtomicBool,
}

impl Dispatcher {
    /// A dispatcher over connectors in the order in which they are given.
    ///
    /// # Errors
    /// `InvalidConfig` if two have the same name.
    pub fn new(lanes: Vec<Lane>, hostname: Hostname) -> Result<Self> {
        let mut by_name = HashMap::new();
        for (place, lane) in lanes.iter().enumerate() {
            if by_name.insert(lane.name.clone(), place).is_some() {
                let message = format!("two connectors are called {:?}; give each a name of its own", lane.name);
                return Err(Error::new(ErrorKind::InvalidConfig, message));
            }
        }
        let router = Router::new(lanes.iter().cloned());
        let hosts = ArcSwap::from_pointee(router.host_table(hostname.get()));
        Ok(Self { lanes, by_name, router, hostname, hosts, closed: AtomicBool::new(false) })
    }

    /// The connectors in the order in which they were given.
    #[must_use]
    pub fn lanes(&self) -> &[Lane] {
        &self.lanes
    }

    /// The places of the connectors in the order in which they are asked.
    pub fn order(&self) -> impl Iterator<Item = usize> {
        self.router.order()
    }

    /// The name of the host now.
    #[must_use]
    pub fn hostname(&self) -> String {
        self.hostname.get()
    }

    /// Whether a route can depend on the hostname at all.
    #[must_use]
    pub fn needs_host(&self) -> bool {
        self.router.needs_host()
    }

    /// Refuses everything from now on. Whether it did not do so before.
    pub fn close(&self) -> bool {
        !self.closed.swap(true, Ordering::AcqRel)
    }

    /// # Errors
    /// `Closed`.
    pub fn require_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Relaxed) {
            return Err(Error::new(
                ErrorKind::Closed,
                "the multi-connector is closed; build a new one from its config",
            ));
        }
        Ok(())
    }

    /// The place of the connector of that name, for whoever has a key of it.
    ///
    /// # Errors
    /// `UnknownConnector`, `Dormant`, `Closed`.
    pub fn find(&self, name: &str) -> Result<usize> {
        self.require_open()?;
        match self.by_name.get(name).copied() {
            Some(place) if self.lanes[place].dormant => Err(self.dormant_error(&self.lanes[place])),
            Some(place) => Ok(place),
            None => {
                let names: Vec<&str> = self.lanes.iter().map(|lane| &*lane.name).collect();
                let shown: String = name.chars().take(80).collect();
                let message = format!(
                    "the connector {shown:?} that the key names does not exist in this config, which knows {names:?}; \
                     use the config that the key was made with"
                );
                Err(Error::new(ErrorKind::UnknownConnector, message))
            }
        }
    }

    fn dormant_error(&self, lane: &Lane) -> Error {
        let why = match lane.policy.host_reason(&self.hostname.get()) {
            Some(reason) => format!("{reason}; read it on a host that does"),
            None => "its host pattern did not match when the config was loaded; load it again".to_owned(),
        };
        Error::new(ErrorKind::Dormant, format!("the connector is dormant on this host: {why}"))
            .in_connector(lane.name.clone())
    }

    /// Asks the connectors whose policies take the request, one after the other, until one has done it. `attempt` may
    /// pass (`None`); after a failure it goes on only where the policy says `fallback` and nothing was written.
    ///
    /// # Errors
    /// `NoRoute` with every verdict, `Closed`, or what the attempts said.
    pub fn put<T>(
        &self,
        request: &Request<'_>,
        mut attempt: impl FnMut(usize) -> Option<Result<T>>,
    ) -> Result<(usize, T)> {
        self.require_open()?;
        let hosts = self.hosts(request);
        let mut failed: Option<Error> = None;
        let mut position = 0;
        while let Some(candidate) = self.next(request, hosts.as_ref(), position) {
            position = candidate.position + 1;
            let lane = &self.lanes[candidate.index];
            let error = match attempt(candidate.index) {
                None => continue,
                Some(Ok(done)) => return Ok((candidate.index, done)),
                Some(Err(error)) => error.in_connector(lane.name.clone()),
            };
            let may_go_on = may_go_on(&lane.policy, &error);
            failed = Some(also_failed(failed, error));
            if !may_go_on {
                break;
            }
        }
        Err(failed.unwrap_or_else(|| self.no_route(request)))
    }

    /// A key for an object to come. As [`put`](Self::put), but where the object's size is not known, connectors that take
    /// every size are asked before those that do not: the object may turn out to be one that these would refuse.
    ///
    /// # Errors
    /// As there.
    pub fn new_key<T>(
        &self,
        request: &Request<'_>,
        mut attempt: impl FnMut(usize) -> Option<Result<T>>,
    ) -> Result<(usize, T)> {
        if request.size.is_some() {
            return self.put(request, attempt);
        }
        let takes_every_size = |place: usize| self.lanes[place].policy.takes_every_size();
        let mut was_asked = false;
        let first = self.put(request, |place| {
            let made = if takes_every_size(place) { attempt(place) } else { None };
            was_asked |= made.is_some();
            made
        });
        if was_asked {
            return first;
        }
        self.put(request, |place| if takes_every_size(place) { None } else { attempt(place) })
    }

    /// What every policy says to the request on this host now.
    #[must_use]
    pub fn explain(&self, request: &Request<'_>) -> Explanation {
        let hostname = request.hostname.map_or_else(|| self.hostname.get(), str::to_owned);
        self.router.explain(request, &hostname)
    }

    fn no_route(&self, request: &Request<'_>) -> Error {
        let size = request.size.map_or_else(|| "any".to_owned(), |size| format!("{size} bytes"));
        Error::new(
            ErrorKind::NoRoute,
            format!(
                "no connector policy was suitable for the constraints size={size}, subset_tags={:?}, \
                 superset_tags={:?}: {}",
                request.subset_tags.unwrap_or_default(),
                request.superset_tags.unwrap_or_default(),
                if self.lanes.is_empty() {
                    "there are no connectors".to_owned()
                } else {
                    self.explain(request).to_string()
                },
            ),
        )
    }

    /// Which policies hold here, or `None` where no policy asks. The hostname is looked up each time, the patterns are
    /// matched only when it has changed.
    fn hosts(&self, request: &Request<'_>) -> Option<Guard<Arc<HostTable>>> {
        if !self.router.needs_host() {
            return None;
        }
        let known = self.hosts.load();
        let is_still = match request.hostname {
            Some(hostname) => hostname == known.hostname(),
            None => self.hostname.is_still(known.hostname()),
        };
        if is_still {
            return Some(known);
        }
        let hostname = request.hostname.map_or_else(|| self.hostname.get(), str::to_owned);
        let now = Arc::new(self.router.host_table(hostname));
        self.hosts.store(now.clone());
        Some(Guard::from_inner(now))
    }

    /// The next connector that takes the request, on the host that `hosts` is about.
    fn next(&self, request: &Request<'_>, hosts: Option<&Guard<Arc<HostTable>>>, position: usize) -> Option<Candidate> {
        self.router.next(request, hosts.map(|table| &***table), position)
    }
}

/// Whether a put that failed here may go to the next connector. An error that names keys has left objects behind,
/// which nobody would hear of if the put then succeeded.
fn may_go_on(policy: &Policy, error: &Error) -> bool {
    policy.fallback() && error.kind().allows_fallback() && error.keys().is_empty()
}

/// The first error leads; the later ones follow in its message.
pub(crate) fn also_failed(first: Option<Error>, next: Error) -> Error {
    match first {
        None => next,
        // An unknown outcome must stay visible whatever came before it.
        Some(first) if next.kind() == ErrorKind::Ambiguous => {
            let keys = first.keys().to_vec();
            next.context(first).with_keys(keys)
        }
        Some(first) => first.with_keys(next.keys().iter().cloned()).context(next),
    }
}

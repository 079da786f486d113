//! Dispatching: which connector gets what, and where it goes when one fails; but not how a connector stores.
//!
//! [`MultiConnector`](crate::MultiConnector) is a dispatcher and its connectors. Whoever holds objects in another form than
//! [`Bytes`](crate::Bytes), as a binding to another language does, has a dispatcher of its own.

mod batch;
mod way;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, Guard};

pub use batch::Share;

use crate::error::{Error, ErrorKind, Result};
use crate::health::{Breaker, Health, Work};
use crate::hostname::Hostname;
use crate::policy::Request;
use crate::router::{Candidate, Explanation, HostTable, Lane, Router};
use way::{Order, Step, Way};

/// Named policies, the host they are asked on, the health of their connectors, and the rules of a put: first valid
/// connector, fallback, batches.
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
/// let (place, key) = dispatcher.put(&request, |place, _| match place {
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
    /// One for each lane.
    breakers: Vec<Breaker>,
    clock: Clock,
    closed: AtomicBool,
}

/// How long ago some moment was, always the same one.
pub type Clock = Arc<dyn Fn() -> Duration + Send + Sync>;

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
        let breaker = |lane: &Lane| Breaker::new(lane.policy.max_failures(), lane.policy.cooldown());
        let breakers = lanes.iter().map(breaker).collect();
        let start = Instant::now();
        let clock: Clock = Arc::new(move || start.elapsed());
        Ok(Self { lanes, by_name, router, hostname, hosts, breakers, clock, closed: AtomicBool::new(false) })
    }

    /// The same dispatcher with another clock, by which cool-downs end: for tests. Default: that of the system.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
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

    /// Asks the connectors whose policies take the request, one after the other, until one has done it.
    ///
    /// `attempt` is told the connector's place, and whether another may be asked after it. It may pass (`None`); after a
    /// failure it goes on only where the policy says `fallback` and nothing was written. Connectors that have failed
    /// [too often](crate::PolicyBuilder::max_failures) are skipped, and tried after all where no other has done it; where the
    /// policy does not say `fallback`, the put fails at once instead.
    ///
    /// # Errors
    /// `NoRoute` with every verdict, `Closed`, what the attempts said, or `Unavailable` where there was to be none.
    pub fn put<T>(
        &self,
        request: &Request<'_>,
        attempt: impl FnMut(usize, bool) -> Option<Result<T>>,
    ) -> Result<(usize, T)> {
        self.ask(Work::Put, Order::Usual, request, attempt)
    }

    /// A key for an object to come. As [`put`](Self::put), but where the object's size is not known, connectors that take
    /// every size are asked before those that do not: the object may turn out to be one that these would refuse.
    ///
    /// # Errors
    /// As there.
    pub fn new_key<T>(
        &self,
        request: &Request<'_>,
        attempt: impl FnMut(usize, bool) -> Option<Result<T>>,
    ) -> Result<(usize, T)> {
        let order = if request.size.is_some() { Order::Usual } else { Order::EverySizeFirst };
        self.ask(Work::NewKey, order, request, attempt)
    }

    /// Stores an object under a key of [`new_key`](Self::new_key), which has decided for the connector at that place. How it
    /// ends counts as the end of a put does: keys of a connector in which this fails too often are not made for a while.
    ///
    /// # Errors
    /// What `set` said.
    pub fn set<T>(&self, place: usize, set: impl FnOnce() -> Result<T>) -> Result<T> {
        let done = set().map_err(|error| self.judged(place, Work::Set, error))?;
        self.breakers[place].succeeded(Work::Set);
        Ok(done)
    }

    #[inline]
    fn ask<T>(
        &self,
        work: Work,
        order: Order,
        request: &Request<'_>,
        mut attempt: impl FnMut(usize, bool) -> Option<Result<T>>,
    ) -> Result<(usize, T)> {
        self.require_open()?;
        let hosts = self.hosts(request);
        let hosts = hosts.as_ref().map(|table| &***table);
        // Nearly always the first that takes the object is well, and does it.
        let first = self.router.next(request, hosts, 0).filter(|_| order == Order::Usual);
        let first =
            first.map(|Candidate { index, position }| (index, position, &self.lanes[index], &self.breakers[index]));
        let Some((place, position, lane, breaker)) = first.filter(|(.., breaker)| !breaker.is_open()) else {
            return self.ask_on(work, Way::new(order), request, hosts, None, &mut attempt);
        };
        let mut way = Way::starting_at(position + 1);
        match attempt(place, lane.policy.fallback()) {
            Some(Ok(done)) => {
                breaker.succeeded(work);
                Ok((place, done))
            }
            Some(Err(error)) => {
                let error = self.judged(place, work, error);
                if !way.goes_on_after(&lane.policy, &error) {
                    return Err(error);
                }
                self.ask_on(work, way, request, hosts, Some(error), &mut attempt)
            }
            None => self.ask_on(work, way, request, hosts, None, &mut attempt),
        }
    }

    /// The rest of the way of an object.
    #[cold]
    fn ask_on<T>(
        &self,
        work: Work,
        mut way: Way,
        request: &Request<'_>,
        hosts: Option<&HostTable>,
        mut failed: Option<Error>,
        attempt: &mut impl FnMut(usize, bool) -> Option<Result<T>>,
    ) -> Result<(usize, T)> {
        loop {
            let place = match self.step(&mut way, request, hosts, |place| self.lets_through(place, work)) {
                Step::Ask(place) => place,
                Step::Refuse(place) => return Err(self.refusal(place)),
                Step::End => break,
            };
            let policy = &self.lanes[place].policy;
            let error = match attempt(place, way.may_go_on(policy)) {
                None => continue,
                Some(Ok(done)) => {
                    self.breakers[place].succeeded(work);
                    return Ok((place, done));
                }
                Some(Err(error)) => self.judged(place, work, error),
            };
            let goes_on = way.goes_on_after(policy, &error);
            failed = Some(also_failed(failed, error));
            if !goes_on {
                break;
            }
        }
        let error = failed.unwrap_or_else(|| self.no_route(request));
        Err(self.with_left_out(error, way.left_out()))
    }

    /// Whether the connector at that place is to be tried now.
    fn lets_through(&self, place: usize, work: Work) -> bool {
        self.breakers[place].lets_through(work, || (self.clock)())
    }

    /// The error with the connector's name, once its breaker has heard of it.
    #[cold]
    fn judged(&self, place: usize, work: Work, error: Error) -> Error {
        let breaker = &self.breakers[place];
        let is_nested = error.connector().is_some();
        match error.kind() {
            // A nested multi-connector, which has named its connector, judges that one itself. It is skipped as a whole only
            // where another takes over: one of its connectors may work.
            _ if is_nested && !self.lanes[place].policy.fallback() => {}
            ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::Ambiguous => {
                breaker.failed(work, error.message(), (self.clock)());
            }
            // It is there, and has answered.
            ErrorKind::Full => breaker.succeeded(work),
            _ => {}
        }
        error.in_connector(self.lanes[place].name.clone())
    }

    /// The error of a put that is not tried, as the connector has failed too often and its policy lets nothing go past it.
    #[cold]
    fn refusal(&self, place: usize) -> Error {
        let advice = "wait, or set fallback = true in its policy so that another connector takes over";
        let message = match self.breakers[place].skipped((self.clock)()) {
            Some(skipped) => format!("it was not tried: {skipped}; {advice}"),
            // It has changed this very moment.
            None => format!("it was not tried, as too many puts had failed; {advice}"),
        };
        Error::new(ErrorKind::Unavailable, message).in_connector(self.lanes[place].name.clone())
    }

    /// The error, with those connectors that were not even tried.
    fn with_left_out(&self, error: Error, left_out: &[usize]) -> Error {
        left_out.iter().fold(error, |error, place| {
            let name = &self.lanes[*place].name;
            match self.breakers[*place].skipped((self.clock)()) {
                Some(skipped) => error.context(format_args!("{name} was not tried: {skipped}")),
                None => error.context(format_args!("{name} was not tried")),
            }
        })
    }

    /// How each connector fares with puts, in the order in which they were given.
    pub fn health(&self) -> impl Iterator<Item = Health> {
        let now = (self.clock)();
        self.breakers.iter().map(move |breaker| breaker.health(now))
    }

    /// What every policy says to the request on this host now, and which connectors puts skip for a while.
    #[must_use]
    pub fn explain(&self, request: &Request<'_>) -> Explanation {
        let hostname = request.hostname.map_or_else(|| self.hostname.get(), str::to_owned);
        let mut explanation = self.router.explain(request, &hostname);
        if self.breakers.iter().any(Breaker::is_open) {
            self.explain_skipped(&mut explanation);
        }
        explanation
    }

    /// Adds what is skipped, and sends the route past it as [`put`](Self::put) would.
    fn explain_skipped(&self, explanation: &mut Explanation) {
        let now = (self.clock)();
        for (place, verdict) in self.router.order().zip(&mut explanation.verdicts) {
            verdict.skipped = self.breakers[place].skipped(now).filter(|_| verdict.accepts);
        }
        let mut last_resort = None;
        explanation.route = None;
        for (place, verdict) in self.router.order().zip(&explanation.verdicts).filter(|(_, verdict)| verdict.accepts) {
            if verdict.skipped.is_none() {
                explanation.route = Some(verdict.connector.clone());
                return;
            }
            if !self.lanes[place].policy.fallback() {
                break;
            }
            last_resort.get_or_insert_with(|| verdict.connector.clone());
        }
        explanation.route = last_resort;
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
}

/// The first error leads; the later ones follow in its message.
pub(crate) fn also_failed(first: Option<Error>, next: Error) -> Error {
    match first {
        None => next,
        // An unknown outcome must stay visible whatever came before it, then what the caller wants.
        Some(first) if leads(next.kind()) > leads(first.kind()) => {
            let keys = first.keys().to_vec();
            next.context(first).with_keys(keys)
        }
        Some(first) => first.with_keys(next.keys().iter().cloned()).context(next),
    }
}

fn leads(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::Ambiguous => 2,
        ErrorKind::Interrupted => 1,
        _ => 0,
    }
}

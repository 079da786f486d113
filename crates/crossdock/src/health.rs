//! The health of one connector: how often in a row puts have failed there, and whether the next one is to try it.
//!
//! ```text
//! closed ── max_failures in a row ──> open ── cooldown ──> half-open: one put is let through
//!    ^                                 ^                      │           │
//!    └───────── it succeeds ───────────┼──────────────────────┘           │
//!                                      └────────── it fails ──────────────┘
//! ```
//!
//! No lock, so that none can stay locked in a forked child. What is healthy costs a put two loads and no clock.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use serde::{Serialize, Serializer};

/// Of the last error this much is kept, in characters.
const LONGEST_ERROR: usize = 300;

/// What was asked of a connector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// To store an object.
    Put,
    /// To name one: a connector may do that without asking its backend, so that it proves little.
    NewKey,
    /// To store an object that was named before. Who does only that asks for a probe by asking for a name.
    Set,
}

/// A circuit breaker. The time is that of its owner's clock.
pub(crate) struct Breaker {
    /// 0: never open.
    max_failures: u32,
    cooldown: Duration,
    /// In a row.
    failures: AtomicU32,
    /// When the next put is let through, in nanoseconds; of no meaning unless open. Stored before `failures`.
    due: AtomicU64,
    is_probing: AtomicBool,
    last: ArcSwapOption<Failure>,
}

struct Failure {
    message: String,
    work: Work,
}

impl Breaker {
    pub(crate) fn new(max_failures: u32, cooldown: Duration) -> Self {
        Self {
            max_failures,
            cooldown,
            failures: AtomicU32::new(0),
            due: AtomicU64::new(0),
            is_probing: AtomicBool::new(false),
            last: ArcSwapOption::empty(),
        }
    }

    /// Whether puts skip the connector unless a cool-down is over.
    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        let failures = self.failures.load(Ordering::Acquire);
        failures != 0 && failures >= self.max_failures && self.max_failures != 0
    }

    /// Whether the connector is to be tried. After a cool-down one caller is told so, and the next one only after another:
    /// the first may never come back.
    #[inline]
    pub(crate) fn lets_through(&self, work: Work, now: impl FnOnce() -> Duration) -> bool {
        !self.is_open() || self.may_probe(work, now())
    }

    #[cold]
    fn may_probe(&self, work: Work, now: Duration) -> bool {
        let due = self.due.load(Ordering::Acquire);
        if nanoseconds(now) < due || (work == Work::NewKey && self.last_failed_at(Work::Put)) {
            return false;
        }
        let next = nanoseconds(now.saturating_add(self.cooldown));
        let is_first = self.due.compare_exchange(due, next, Ordering::AcqRel, Ordering::Relaxed).is_ok();
        if is_first {
            self.is_probing.store(true, Ordering::Release);
        }
        is_first
    }

    /// Who was let through has not tried it after all: the next one may.
    #[cold]
    pub(crate) fn was_not_tried(&self, now: Duration) {
        self.due.store(nanoseconds(now), Ordering::Release);
        self.is_probing.store(false, Ordering::Release);
    }

    /// The connector has done what it was asked, or has answered that it cannot.
    #[inline]
    pub(crate) fn succeeded(&self, work: Work) {
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.close(work);
        }
    }

    #[cold]
    fn close(&self, work: Work) {
        if work != Work::NewKey || self.last_failed_at(Work::NewKey) {
            self.is_probing.store(false, Ordering::Relaxed);
            self.failures.store(0, Ordering::Release);
        }
    }

    fn last_failed_at(&self, work: Work) -> bool {
        self.last.load().as_ref().is_some_and(|last| last.work == work)
    }

    #[cold]
    pub(crate) fn failed(&self, work: Work, message: &str, now: Duration) {
        self.last.store(Some(Arc::new(Failure { message: shortened(message), work })));
        self.due.store(nanoseconds(now.saturating_add(self.cooldown)), Ordering::Release);
        self.is_probing.store(false, Ordering::Release);
        let count = |failures: u32| Some(failures.saturating_add(1));
        // Never fails: `count` always has an answer.
        let _ = self.failures.fetch_update(Ordering::AcqRel, Ordering::Acquire, count);
    }

    /// Why puts skip the connector now, if they do.
    pub(crate) fn skipped(&self, now: Duration) -> Option<Skipped> {
        let health = self.health(now);
        let wait = health.retry_in.filter(|wait| !wait.is_zero())?;
        let is_tried = health.state == HealthState::HalfOpen;
        Some(Skipped {
            failures: health.failures,
            last_error: health.last_error.unwrap_or_default(),
            retry_in: if is_tried { Duration::ZERO } else { wait },
        })
    }

    pub(crate) fn health(&self, now: Duration) -> Health {
        let is_open = self.is_open();
        let wait = Duration::from_nanos(self.due.load(Ordering::Acquire)).saturating_sub(now);
        let state = match is_open {
            false => HealthState::Closed,
            true if wait.is_zero() || self.is_probing.load(Ordering::Acquire) => HealthState::HalfOpen,
            true => HealthState::Open,
        };
        let failures = self.failures.load(Ordering::Acquire);
        let last_error = self.last.load().as_ref().filter(|_| failures > 0).map(|last| last.message.clone());
        Health { state, failures, last_error, retry_in: is_open.then_some(wait) }
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn shortened(message: &str) -> String {
    match message.char_indices().nth(LONGEST_ERROR) {
        Some((end, _)) => format!("{}…", &message[..end]),
        None => message.to_owned(),
    }
}

/// How a connector fares with puts.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Health {
    /// Whether puts go there.
    pub state: HealthState,
    /// How many puts in a row have failed there. What the connector has answered, such as that it is full, is no failure.
    pub failures: u32,
    /// What the last of them said; `None` if none has failed.
    pub last_error: Option<String>,
    /// How long until the next put is let through, unless it is closed: zero if the next one is.
    pub retry_in: Option<Duration>,
}

/// The state of the circuit breaker of a connector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HealthState {
    /// Puts go there.
    Closed,
    /// Puts skip it for a while, because too many in a row have failed there.
    Open,
    /// One put tries it again, or will; the others still skip it.
    HalfOpen,
}

impl HealthState {
    /// The word for this state: `"closed"`, `"open"`, `"half-open"`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
        }
    }
}

/// Why puts skip a connector for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Skipped {
    /// How many puts in a row have failed there.
    pub failures: u32,
    /// What the last of them said.
    pub last_error: String,
    /// How long until the next put is let through; zero while one is trying.
    #[serde(rename = "retry_in_seconds", serialize_with = "as_seconds")]
    pub retry_in: Duration,
}

fn as_seconds<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(time.as_secs_f64())
}

/// `it failed 5 times in a row (last: …); tried again in 7 s`.
impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.failures {
            1 => write!(f, "it failed ({})", self.last_error)?,
            failures => write!(f, "it failed {failures} times in a row (last: {})", self.last_error)?,
        }
        match self.retry_in.as_millis().div_ceil(1_000) {
            0 => f.write_str("; being tried again"),
            seconds => write!(f, "; tried again in {seconds} s"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Open since 0, for 10 seconds.
    fn open() -> Breaker {
        let breaker = Breaker::new(2, at(10));
        (0..2).for_each(|_| breaker.failed(Work::Put, "no", at(0)));
        breaker
    }

    fn lets_through(breaker: &Breaker, seconds: u64) -> bool {
        breaker.lets_through(Work::Put, || at(seconds))
    }

    #[test]
    fn what_is_healthy_asks_for_no_time() {
        let breaker = Breaker::new(2, HOUR);
        let no_clock = || -> Duration { unreachable!("nobody needs the time") };
        assert!(breaker.lets_through(Work::Put, no_clock));
        breaker.failed(Work::Put, "no", at(0));
        assert!(breaker.lets_through(Work::Put, no_clock), "one failure is none in a row");
        breaker.succeeded(Work::Put);
        breaker.failed(Work::Put, "no", at(0));
        assert!(breaker.lets_through(Work::Put, no_clock), "a success begins a new row");
        assert_eq!(breaker.health(at(0)).state, HealthState::Closed);
    }

    #[test]
    fn after_the_cool_down_one_is_let_through() {
        let breaker = open();
        assert_eq!((breaker.health(at(3)).state, breaker.health(at(3)).retry_in), (HealthState::Open, Some(at(7))));
        assert!(!lets_through(&breaker, 0) && !lets_through(&breaker, 9));
        assert_eq!(breaker.health(at(10)).state, HealthState::HalfOpen);
        assert!(breaker.skipped(at(10)).is_none(), "the next one is the probe");
        assert!(lets_through(&breaker, 10));
        assert!(!lets_through(&breaker, 10) && !lets_through(&breaker, 19));
        assert_eq!(breaker.health(at(11)).state, HealthState::HalfOpen);
        assert!(breaker.skipped(at(11)).unwrap().to_string().ends_with("; being tried again"));
    }

    #[test]
    fn the_probe_decides() {
        let breaker = open();
        assert!(lets_through(&breaker, 10));
        breaker.failed(Work::Put, "still no", at(12));
        assert_eq!(breaker.health(at(12)).state, HealthState::Open);
        assert!(!lets_through(&breaker, 21));
        assert!(lets_through(&breaker, 22));
        breaker.succeeded(Work::Put);
        let health = breaker.health(at(22));
        assert_eq!((health.state, health.failures, health.last_error), (HealthState::Closed, 0, None));
        assert!(lets_through(&breaker, 22) && lets_through(&breaker, 22));
    }

    #[test]
    fn a_probe_that_never_comes_back_is_followed_by_another() {
        let breaker = open();
        assert!(lets_through(&breaker, 10));
        assert!(!lets_through(&breaker, 19));
        assert!(breaker.skipped(at(20)).is_none());
        assert!(lets_through(&breaker, 20));
        assert!(!lets_through(&breaker, 20));
    }

    #[test]
    fn a_key_without_its_object_proves_nothing_about_puts() {
        let breaker = open();
        assert!(!breaker.lets_through(Work::NewKey, || at(10)), "the probe is left to a put");
        breaker.succeeded(Work::NewKey);
        assert!(breaker.is_open());
        assert!(lets_through(&breaker, 10));

        let breaker = Breaker::new(1, at(10));
        breaker.failed(Work::NewKey, "cannot be opened", at(0));
        assert!(breaker.lets_through(Work::NewKey, || at(10)));
        breaker.succeeded(Work::NewKey);
        assert!(!breaker.is_open());

        let breaker = Breaker::new(1, at(10));
        breaker.failed(Work::Set, "no", at(0));
        assert!(breaker.lets_through(Work::NewKey, || at(10)), "what is set under it tells");
        breaker.succeeded(Work::NewKey);
        assert!(breaker.is_open());
        breaker.succeeded(Work::Set);
        assert!(!breaker.is_open());
    }

    #[test]
    fn who_did_not_try_it_leaves_that_to_the_next() {
        let breaker = open();
        assert!(lets_through(&breaker, 10) && !lets_through(&breaker, 11));
        breaker.was_not_tried(at(12));
        assert_eq!(breaker.health(at(12)).retry_in, Some(Duration::ZERO));
        assert!(lets_through(&breaker, 12) && !lets_through(&breaker, 12));
    }

    #[test]
    fn zero_never_opens_and_an_endless_cool_down_never_ends() {
        let never = Breaker::new(0, HOUR);
        (0..100).for_each(|_| never.failed(Work::Put, "no", at(0)));
        assert!(lets_through(&never, 0));
        assert_eq!(never.health(at(0)).failures, 100);
        let endless = Breaker::new(1, Duration::MAX);
        endless.failed(Work::Put, "no", at(1));
        assert!(!lets_through(&endless, u64::MAX / 1_000_000_000));
    }

    #[test]
    fn words_are_short() {
        let breaker = Breaker::new(1, at(10));
        breaker.failed(Work::Put, &"ä".repeat(1000), at(0));
        let skipped = breaker.skipped(Duration::from_millis(3100)).unwrap();
        let text = skipped.to_string();
        assert!(text.starts_with("it failed (ä") && text.ends_with("ä…); tried again in 7 s"), "{text}");
        assert!(text.chars().count() < 350);
        assert!(open().skipped(at(0)).unwrap().to_string().starts_with("it failed 2 times in a row (last: no);"));
    }
}

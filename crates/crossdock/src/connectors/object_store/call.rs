//! One call: its deadline, its attempts, and the error that it ends with.

use std::cell::Cell;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use once_cell::race::OnceBox;

use super::errors::{Cause, Failure};
use super::runtime::{Runtime, Stop};
use super::store::Store;
use crate::config::format_duration;
use crate::deadline::{Attempts, Deadline};
use crate::error::{Error, ErrorKind, Result};
use crate::key::Key;

/// What one process needs to reach the store. A forked child makes its own.
pub(super) struct Engine {
    // Dropped before the runtime that its connections live on.
    pub(super) store: Store,
    runtime: OnceBox<Runtime>,
    /// The bucket is there: an answer was about an object in it.
    bucket_is_known: AtomicBool,
    born: Instant,
    /// When a request succeeded last, in microseconds after `born`.
    used: AtomicU64,
}

impl Engine {
    pub(super) fn new(store: Store) -> Self {
        Self {
            store,
            runtime: OnceBox::new(),
            bucket_is_known: AtomicBool::new(false),
            born: Instant::now(),
            used: AtomicU64::new(0),
        }
    }

    fn age(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn runtime(&self) -> Result<&Runtime> {
        self.runtime.get_or_try_init(|| Runtime::start().map(Box::new))
    }
}

/// After so many microseconds without an answer a connection may have been closed unseen.
const IDLE: u64 = 50;
const LEAST_GRACE: Duration = Duration::from_millis(50);
const MOST_GRACE: Duration = Duration::from_secs(2);
/// The same where the caller wants no more: he waits for the end of the call.
const GRACE_WHEN_INTERRUPTED: Duration = Duration::from_millis(250);

pub(super) struct Call {
    engine: Arc<Engine>,
    deadline: Cell<Deadline>,
    /// What is left for cleaning up, once that has begun, and what there was.
    grace: Cell<Option<(Deadline, Duration)>>,
    was_interrupted: Cell<bool>,
    limit: Duration,
    retries: u32,
    /// What it does, and with which store, for messages: `put an object into s3://bucket/prefix`.
    doing: String,
    /// What may be the reason, if the server was never reached or says no.
    hint: &'static str,
}

impl Call {
    /// A call that moves so many bytes, as far as is known.
    pub(super) fn new(engine: Arc<Engine>, limit: Duration, retries: u32, bytes: u64, doing: String) -> Self {
        let deadline = Cell::new(Deadline::new(limit, bytes));
        let (grace, was_interrupted) = (Cell::new(None), Cell::new(false));
        Self { engine, deadline, grace, was_interrupted, limit, retries, doing, hint: "" }
    }

    /// The same call, whose errors say what may be the reason.
    pub(super) fn hinting(self, hint: &'static str) -> Self {
        Self { hint, ..self }
    }

    pub(super) fn store(&self) -> &Store {
        &self.engine.store
    }

    pub(super) fn knows_the_bucket(&self) -> bool {
        self.engine.bucket_is_known.load(Ordering::Relaxed)
    }

    pub(super) fn has_seen_the_bucket(&self) {
        self.engine.bucket_is_known.store(true, Ordering::Relaxed);
    }

    pub(super) fn attempts(&self) -> Attempts {
        Attempts::new(self.deadline.get(), self.retries)
    }

    /// For what turns out to be larger than was known.
    pub(super) fn extend_for(&self, bytes: u64) {
        let mut deadline = self.deadline.get();
        deadline.extend_for(bytes);
        self.deadline.set(deadline);
    }

    /// For work of any length: its next step has its time for itself.
    pub(super) fn renew(&self) {
        self.deadline.set(Deadline::new(self.limit, 0));
    }

    /// Waits for a request.
    pub(super) fn wait<T>(&self, request: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        self.wait_until(|| self.deadline.get().remaining(), true, request)
    }

    /// Waits for what cleans up after a call: for a tenth of the call's time in all, and less where the caller wants no more.
    pub(super) fn wait_briefly<T>(&self, request: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        let (grace, _) = self.grace();
        self.wait_until(|| grace.remaining(), false, request)
    }

    /// Waits for an answer that is on its way, and that says what there is to clean up: for half of the time that there is
    /// for that.
    pub(super) fn hear_out<T>(&self, request: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        let (grace, half) = self.grace();
        self.wait_until(|| grace.remaining().saturating_sub(half), false, request)
    }

    /// What is left for cleaning up, and half of what there was at first.
    fn grace(&self) -> (Deadline, Duration) {
        let most = if self.was_interrupted.get() { GRACE_WHEN_INTERRUPTED } else { MOST_GRACE };
        let time = (self.limit / 10).clamp(LEAST_GRACE, most);
        let (grace, time) = self.grace.get().unwrap_or_else(|| (Deadline::new(time, 0), time));
        self.grace.set(Some((grace, time)));
        (grace, time / 2)
    }

    fn wait_until<T>(
        &self,
        remaining: impl Fn() -> Duration,
        interruptible: bool,
        request: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let runtime = self.engine.runtime().map_err(|error| Failure::new(Cause::NotReached, error.message()))?;
        match runtime.wait(remaining, interruptible, request) {
            Ok(outcome) => {
                if outcome.is_ok() {
                    self.engine.used.store(self.engine.age(), Ordering::Relaxed);
                }
                outcome
            }
            Err(Stop::Interrupted(error)) => Err(self.interrupted(error)),
            Err(Stop::Expired) => Err(Failure::new(Cause::Expired, "there was no answer in time")),
            Err(Stop::Panicked) => Err(Failure::new(Cause::Lost, "the library that makes the request panicked")),
        }
    }

    /// Whether a request of this process has succeeded.
    fn has_worked(&self) -> bool {
        self.engine.used.load(Ordering::Relaxed) != 0
    }

    /// Whether connections may have been closed without anybody having noticed.
    pub(super) fn is_idle(&self) -> bool {
        self.engine.age().saturating_sub(self.engine.used.load(Ordering::Relaxed)) >= IDLE
    }

    /// Makes a request that changes nothing, or nothing more when it is repeated, until it succeeds or there is no more
    /// point in it.
    pub(super) fn ask<T>(&self, request: impl AsyncFn() -> Result<T, Failure>) -> Result<T, Tried> {
        let mut attempts = self.attempts();
        loop {
            let failure = match self.wait(request()) {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            if !self.goes_on(&failure, &mut attempts)? {
                return Err(Tried { failure, attempts });
            }
        }
    }

    fn interrupted(&self, error: Error) -> Failure {
        self.was_interrupted.set(true);
        Failure::interrupted(error)
    }

    /// After a failed attempt: waits, and says whether there shall be another one.
    ///
    /// # Errors
    /// The caller wants no more.
    pub(super) fn goes_on(&self, failure: &Failure, attempts: &mut Attempts) -> Result<bool, Tried> {
        if !failure.is_passing() || self.deadline.get().has_passed() {
            return Ok(false);
        }
        let interrupted = attempts.again();
        interrupted.map_err(|error| Tried { failure: self.interrupted(error), attempts: self.attempts() })
    }

    /// The error of a call that did nothing.
    pub(super) fn error(&self, tried: Tried) -> Error {
        let Tried { failure, attempts } = tried;
        let (kind, advice) = failure.meaning();
        let permanent = failure.is_permanent();
        let hint = match failure.cause {
            Cause::Denied | Cause::NotReached | Cause::Lost | Cause::Expired if !self.has_worked() => self.hint,
            _ => "",
        };
        let advice = if hint.is_empty() { format!("; {advice}") } else { hint.to_owned() };
        let text = format!("cannot {}: {}{}{advice}", self.doing, failure.text(), self.tried(&attempts));
        if let Cause::Interrupted(error) | Cause::Found(error) = failure.cause {
            return error;
        }
        let error = Error::new(kind, text);
        if permanent { error.permanent() } else { error }
    }

    /// The error of a write whose outcome nobody knows.
    pub(super) fn ambiguous(&self, tried: Tried, keys: impl IntoIterator<Item = Key>) -> Error {
        let Tried { failure, attempts } = tried;
        let message = format!(
            "nobody knows whether it was possible to {}: {}{}; set the same bytes again under the key, or evict it",
            self.doing,
            failure.text(),
            self.tried(&attempts)
        );
        Error::new(ErrorKind::Ambiguous, message).with_keys(keys)
    }

    fn tried(&self, attempts: &Attempts) -> String {
        let time = format_duration(self.deadline.get().elapsed());
        match attempts.made() {
            0 | 1 => format!(" (after {time})"),
            made => format!(" ({made} attempts in {time})"),
        }
    }
}

/// How a request failed for good, and after which attempts.
#[derive(Debug)]
pub(super) struct Tried {
    pub(super) failure: Failure,
    pub(super) attempts: Attempts,
}

/// Does the jobs, so many at a time. Once one has failed no more are begun; those under way go on. A failure that will not
/// pass comes before one that may.
pub(super) async fn all<J>(jobs: impl IntoIterator<Item = J>, at_once: usize) -> Result<(), Failure>
where
    J: Future<Output = Result<(), Failure>>,
{
    all_until(&Cell::new(false), jobs, at_once).await
}

/// Likewise, and begins no more once it is told that this is enough.
pub(super) async fn all_until<J>(
    is_enough: &Cell<bool>,
    jobs: impl IntoIterator<Item = J>,
    at_once: usize,
) -> Result<(), Failure>
where
    J: Future<Output = Result<(), Failure>>,
{
    let mut jobs = jobs.into_iter();
    let mut running: FuturesUnordered<J> = jobs.by_ref().take(at_once).collect();
    let mut outcome: Result<(), Failure> = Ok(());
    while let Some(done) = running.next().await {
        match (done, &outcome) {
            (Ok(()), Ok(())) if !is_enough.get() => running.extend(jobs.next()),
            (Err(failure), Ok(())) => outcome = Err(failure),
            (Err(failure), Err(first)) if first.is_passing() && !failure.is_passing() => outcome = Err(failure),
            _ => {}
        }
    }
    outcome
}

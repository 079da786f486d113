//! Shares of a batch: connectors of the library that wait for other machines wait at the same time.

use std::time::{Duration, Instant};

use crossdock::dispatch::Share;
use crossdock::{Result, interrupt};
use pyo3::prelude::*;

use crate::signals::blocking;
use crate::slot::Slot;
use crate::stats::Operation;
use crate::stored::Stored;

/// What a connector of the library is to do for a share. It is prepared and finished with the interpreter lock held, and done
/// without it, in whatever thread.
pub(crate) trait Task: Send {
    type Done: Send;
    type Item<'py>;

    fn run(&mut self) -> Result<Self::Done>;

    fn finish<'py>(self, py: Python<'py>, done: Self::Done) -> Result<Vec<Self::Item<'py>>>;
}

/// Does one share, without others.
pub(crate) fn alone<'py, T: Task>(py: Python<'py>, mut task: T) -> Result<Vec<T::Item<'py>>> {
    let done = blocking(py, || task.run())?;
    task.finish(py, done)
}

/// How the shares of one batch are done.
pub(crate) struct Batch<Alone, Prepare, Amount> {
    pub(crate) operation: Operation,
    /// By the connector's channel, which lets go of the interpreter lock where it can.
    pub(crate) alone: Alone,
    pub(crate) prepare: Prepare,
    /// How many objects, and bytes of them, went through.
    pub(crate) amount: Amount,
}

/// Does all shares; the outcomes come in their order. Where several connectors wait for other machines, the others go first,
/// one after the other, then these at the same time.
pub(crate) fn together<'a, 'py, T: Task>(
    py: Python<'py>,
    slots: &'a [Slot],
    shares: &[Share],
    batch: &Batch<
        impl Fn(&Slot, &Share) -> Result<Vec<T::Item<'py>>>,
        impl Fn(&'a Stored, &Share) -> Result<T>,
        impl Fn(&Share, &[T::Item<'py>]) -> (u64, u64),
    >,
) -> Vec<Result<Vec<T::Item<'py>>>> {
    let slot = |share: &Share| &slots[share.connector];
    let remote: Vec<Option<&Stored>> = shares.iter().map(|share| slot(share).remote(py)).collect();
    if remote.iter().flatten().count() < 2 {
        return shares.iter().map(|share| (batch.alone)(slot(share), share)).collect();
    }
    let mut outcomes = Vec::with_capacity(shares.len());
    let mut tasks = Vec::new();
    for (turn, (share, stored)) in shares.iter().zip(remote).enumerate() {
        match stored.map(|stored| (batch.prepare)(stored, share)) {
            None => outcomes.push((turn, (batch.alone)(slot(share), share))),
            Some(Ok(task)) => tasks.push((turn, task)),
            Some(Err(error)) => outcomes.push((turn, Err(error))),
        }
    }
    let works = tasks.iter_mut().map(|(_, task)| || timed(|| task.run()));
    let done = blocking(py, || interrupt::together(works, || ()).0);
    for ((turn, task), (done, took)) in tasks.into_iter().zip(done) {
        let outcome = done.and_then(|done| task.finish(py, done));
        let amount = outcome.as_ref().ok().map(|items| (batch.amount)(&shares[turn], items));
        slot(&shares[turn]).stats.record(py, batch.operation, took, amount);
        outcomes.push((turn, outcome));
    }
    outcomes.sort_by_key(|(turn, _)| *turn);
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let started = Instant::now();
    let done = work();
    (done, started.elapsed())
}

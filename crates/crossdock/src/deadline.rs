//! How long a call to another machine may take, and when it is tried again.

use std::thread;
use std::time::{Duration, Instant};

use crate::error::Result;
use crate::interrupt;

/// A call that moves this many bytes gets a second more than one that moves none.
const BYTES_PER_SECOND: u64 = 8 << 20;
/// The wait before the first retry; it doubles from one to the next.
const FIRST_WAIT: Duration = Duration::from_millis(25);
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// How often a wait looks whether its caller still wants it.
const PART_OF_A_WAIT: Duration = Duration::from_millis(20);

/// One deadline for a whole call, retries included.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    start: Instant,
    limit: Duration,
    /// How much of the limit an attempt that failed has got for bytes that the next one moves again.
    granted: Duration,
}

impl Deadline {
    /// From now on, `limit` for the call, and more where it moves many bytes: a second for each 8 MiB.
    pub(crate) fn new(limit: Duration, bytes: u64) -> Self {
        Self { start: Instant::now(), limit: limit.saturating_add(time_for(bytes)), granted: Duration::ZERO }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// What is left; zero once it has passed.
    pub(crate) fn remaining(&self) -> Duration {
        self.limit.saturating_sub(self.elapsed())
    }

    pub(crate) fn has_passed(&self) -> bool {
        self.remaining().is_zero()
    }

    /// For a call whose size shows only once it is under way.
    pub(crate) fn extend_for(&mut self, bytes: u64) {
        let time = time_for(bytes);
        let granted = time.min(self.granted);
        self.granted -= granted;
        self.limit = self.limit.saturating_add(time - granted);
    }

    /// For another attempt at what has begun with the deadline `first`: the same bytes give no more time.
    #[cfg(feature = "redis")]
    pub(crate) fn begin_again(&mut self, first: &Self) {
        self.granted = self.limit.saturating_sub(first.limit);
    }
}

fn time_for(bytes: u64) -> Duration {
    Duration::from_millis(bytes.saturating_mul(1000) / BYTES_PER_SECOND)
}

/// The attempts at one call.
#[derive(Debug)]
pub(crate) struct Attempts {
    deadline: Deadline,
    made: u32,
    most: u32,
}

impl Attempts {
    /// One attempt and as many `retries`, while the deadline has not passed.
    pub(crate) fn new(deadline: Deadline, retries: u32) -> Self {
        Self { deadline, made: 1, most: retries.saturating_add(1) }
    }

    /// The deadline was extended.
    #[cfg(feature = "redis")]
    pub(crate) fn until(&mut self, deadline: Deadline) {
        self.deadline = deadline;
    }

    /// Goes on until the deadline, however often.
    pub(crate) fn insist(&mut self) {
        self.most = u32::MAX;
    }

    pub(crate) fn made(&self) -> u32 {
        self.made
    }

    /// After an attempt that failed: waits, longer each time, and says whether to try again.
    ///
    /// # Errors
    /// `Interrupted`, where the caller does not want it any more.
    pub(crate) fn again(&mut self) -> Result<bool> {
        if self.made >= self.most {
            return Ok(false);
        }
        let wait = FIRST_WAIT.saturating_mul(1 << (self.made - 1).min(10)).min(LONGEST_WAIT);
        // Many clients of a server that comes back should not all come at once.
        let wait = wait.mul_f64(0.5 + spread() / 2.0);
        if wait >= self.deadline.remaining() {
            return Ok(false);
        }
        self.made += 1;
        pause(wait)?;
        Ok(true)
    }
}

/// Waits that long, unless the caller wants no more.
fn pause(time: Duration) -> Result<()> {
    let end = Instant::now() + time;
    loop {
        interrupt::check()?;
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        thread::sleep(left.min(PART_OF_A_WAIT));
    }
}

/// A number from 0 to 1 that differs between processes, threads and moments.
fn spread() -> f64 {
    let bits = uuid::Uuid::new_v4().as_u64_pair().1 as u32;
    f64::from(bits) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_objects_get_more_time() {
        let limit = Duration::from_secs(1);
        assert!(Deadline::new(limit, 80 << 20).remaining() > Duration::from_secs(10));
        assert!(Deadline::new(limit, 0).remaining() <= limit);
        assert!(Deadline::new(Duration::ZERO, 0).has_passed());
        let mut growing = Deadline::new(limit, 0);
        growing.extend_for(80 << 20);
        assert!(growing.remaining() > Duration::from_secs(10));
        assert!(!Deadline::new(Duration::MAX, u64::MAX).has_passed());
    }

    #[test]
    fn attempts_are_counted_and_end_with_the_deadline() {
        let mut attempts = Attempts::new(Deadline::new(Duration::from_secs(60), 0), 2);
        assert_eq!(
            (attempts.again().unwrap(), attempts.again().unwrap(), attempts.again().unwrap()),
            (true, true, false)
        );
        assert_eq!(attempts.made(), 3);
        assert!(!Attempts::new(Deadline::new(Duration::ZERO, 0), 9).again().unwrap());
    }

    #[test]
    fn a_wait_can_be_interrupted() {
        let mut attempts = Attempts::new(Deadline::new(Duration::from_secs(60), 0), 2);
        assert!(interrupt::scope(|| true, || attempts.again()).is_err());
    }
}

//! Waiting for futures, on the thread of the caller.
//!
//! The runtime's own threads move bytes between sockets and buffers. What a call does besides, it does on its caller's
//! thread, in futures that are polled there: they may borrow the caller's memory, and dropping one gives its request up.
//! So nothing is spawned, and a call works inside of somebody else's runtime too, as it never asks that one for anything.

use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures_util::FutureExt;

use crate::error::{Error, Result};
use crate::interrupt;

/// How often a wait looks whether its caller still wants it.
const PART_OF_A_WAIT: Duration = Duration::from_millis(20);
/// Threads that resolve host names end when they had nothing to do for so long.
const IDLE: Duration = Duration::from_secs(2);

/// A runtime of our own.
pub(super) struct Runtime(Option<tokio::runtime::Runtime>);

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Runtime")
    }
}

/// Why a wait ended before its future did.
pub(super) enum Stop {
    /// The caller wants no more.
    Interrupted(Error),
    /// The time is over.
    Expired,
    /// The future panicked.
    Panicked,
}

impl Runtime {
    /// Starts its threads.
    ///
    /// # Errors
    /// `Unavailable` where the system gives no threads.
    pub(super) fn start() -> Result<Self> {
        let threads = std::thread::available_parallelism().map_or(1, |cores| cores.get().clamp(1, 4));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name("crossdock-store")
            .thread_keep_alive(IDLE)
            .enable_io()
            .enable_time()
            .build()
            .map_err(|cause| Error::from_io("start", "the threads of the object store connector", cause))?;
        Ok(Self(Some(runtime)))
    }

    /// Waits for the future, unless its caller wants no more (`interruptible`) or `remaining` says that no time is left.
    pub(super) fn wait<F: Future>(
        &self,
        remaining: impl Fn() -> Duration,
        interruptible: bool,
        future: F,
    ) -> Result<F::Output, Stop> {
        // What is polled or dropped below finds our runtime.
        let _inside = self.0.as_ref().map(tokio::runtime::Runtime::enter);
        // Somebody else's runtime may count the steps of its tasks and stop them until they yield, which we never do.
        let future = tokio::task::unconstrained(AssertUnwindSafe(future).catch_unwind());
        let mut future = pin!(future);
        let bell = Arc::new(Bell::default());
        let waker = Waker::from(bell.clone());
        let mut context = Context::from_waker(&waker);
        loop {
            if interruptible {
                interrupt::check().map_err(Stop::Interrupted)?;
            }
            match future.as_mut().poll(&mut context) {
                Poll::Ready(Ok(output)) => return Ok(output),
                Poll::Ready(Err(_panic)) => return Err(Stop::Panicked),
                Poll::Pending => {}
            }
            loop {
                let left = remaining();
                if left.is_zero() {
                    return Err(Stop::Expired);
                }
                if bell.wait(left.min(PART_OF_A_WAIT)) {
                    break;
                }
                if interruptible {
                    interrupt::check().map_err(Stop::Interrupted)?;
                }
            }
        }
    }
}

/// Dropping a runtime waits for its threads, which is not allowed inside of another one.
impl Drop for Runtime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Rung when a future can go on. Not `thread::park`, whose one token belongs to whoever runs our caller.
#[derive(Default)]
struct Bell {
    rung: Mutex<bool>,
    changed: Condvar,
}

impl Bell {
    /// Waits until it rings, or for so long. Whether it rang.
    fn wait(&self, time: Duration) -> bool {
        let rung = self.rung.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(rung, time, |rung| !*rung);
        let (mut rung, _) = waited.unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut rung)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        *self.rung.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forever() -> Duration {
        Duration::from_secs(60)
    }

    fn sleep_and_answer(runtime: &Runtime) -> Option<u8> {
        let work = async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            7
        };
        runtime.wait(forever, true, work).ok()
    }

    #[test]
    fn it_waits_anywhere() {
        let runtime = Runtime::start().unwrap();
        assert_eq!(sleep_and_answer(&runtime), Some(7));
        let other = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
        other.block_on(async { assert_eq!(sleep_and_answer(&runtime), Some(7)) });
        let other = tokio::runtime::Builder::new_current_thread().build().unwrap();
        other.block_on(async move {
            // More steps than a task may make in one go.
            let (sender, mut receiver) = tokio::sync::mpsc::channel(1000);
            for number in 0..1000 {
                sender.try_send(number).unwrap();
            }
            let receive = async {
                let mut sum = 0;
                for _ in 0..1000 {
                    sum += receiver.recv().await.unwrap_or(0);
                }
                sum
            };
            assert_eq!(runtime.wait(forever, true, receive).ok(), Some(499_500));
            // Dropped here, inside of another runtime.
            drop(runtime);
        });
    }

    #[test]
    fn it_gives_up() {
        let runtime = Runtime::start().unwrap();
        let never = || std::future::pending::<()>();
        assert!(matches!(runtime.wait(|| Duration::ZERO, true, never()), Err(Stop::Expired)));
        let interrupted = interrupt::scope(|| true, || runtime.wait(forever, true, never()));
        assert!(matches!(interrupted, Err(Stop::Interrupted(_))));
        assert!(matches!(runtime.wait(forever, true, async { panic!("as planned") }), Err::<(), _>(Stop::Panicked)));
        let uninterruptible = interrupt::scope(|| true, || runtime.wait(forever, false, async { 1 }));
        assert_eq!(uninterruptible.ok(), Some(1));
    }
}

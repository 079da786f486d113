//! Giving up a long call because its caller wants so, as a person at a terminal does with Ctrl-C.
//!
//! The caller says how to ask him; connectors ask between the parts of a call that takes long.
//!
//! ```
//! use crossdock::{ErrorKind, interrupt};
//! assert!(interrupt::check().is_ok());
//! let error = interrupt::scope(|| true, interrupt::check).unwrap_err();
//! assert_eq!(error.kind(), ErrorKind::Interrupted);
//! ```

use std::cell::{Cell, RefCell};
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, Scope, ScopedJoinHandle, Thread};
use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};

/// Whether the caller wants the call to end. It is asked often, and decides itself how often to look.
pub type Ask = fn() -> bool;

/// How often somebody who waits for threads asks the caller for them.
const EVERY: Duration = Duration::from_millis(20);

thread_local! {
    static ASK: Cell<Option<Ask>> = const { Cell::new(None) };
    /// Where several threads work for one caller: whether he has said that they are to stop.
    static STOP: RefCell<Option<Arc<AtomicBool>>> = const { RefCell::new(None) };
}

/// Does `work`, during which connectors called by this thread ask `ask` now and then.
pub fn scope<T>(ask: Ask, work: impl FnOnce() -> T) -> T {
    struct Restore(Option<Ask>);
    impl Drop for Restore {
        fn drop(&mut self) {
            ASK.set(self.0);
        }
    }
    let _restore = Restore(ASK.replace(Some(ask)));
    work()
}

/// For connectors, between the parts of a call: undo what was done, then hand this error on.
///
/// # Errors
/// `Interrupted`, where the caller wants the call to end.
pub fn check() -> Result<()> {
    if is_to_stop() {
        let message = "the call was interrupted; nothing was written, call again to have it done";
        return Err(Error::new(ErrorKind::Interrupted, message));
    }
    Ok(())
}

fn is_to_stop() -> bool {
    STOP.with_borrow(|stop| {
        let was_told = stop.as_ref().is_some_and(|stop| stop.load(Ordering::Relaxed));
        let is_to_stop = was_told || ASK.get().is_some_and(|ask| ask());
        if let (true, Some(stop)) = (is_to_stop, stop) {
            stop.store(true, Ordering::Relaxed);
        }
        is_to_stop
    })
}

/// Does all of `works` at the same time, each in a thread of its own, and `meanwhile` in this one; then waits for them.
/// The results come in the order of the works.
///
/// The threads work for the caller of this one, and [`check`] tells them when he wants them to end. This thread asks him
/// for all of them, as there are callers whom no other thread may ask.
///
/// ```
/// use crossdock::interrupt;
/// let works = [1, 2, 3].map(|n| move || n * n);
/// assert_eq!(interrupt::together(works, || "done"), (vec![1, 4, 9], "done"));
/// // One caller for all.
/// let works = [(); 2].map(|()| || interrupt::check().is_err());
/// assert_eq!(interrupt::scope(|| true, || interrupt::together(works, interrupt::check)).0, [true, true]);
/// ```
///
/// # Panics
/// Where one of the works does.
pub fn together<T: Send, R>(
    works: impl IntoIterator<Item = impl FnOnce() -> T + Send>,
    meanwhile: impl FnOnce() -> R,
) -> (Vec<T>, R) {
    let stop = STOP.with_borrow(Option::clone).unwrap_or_default();
    // Outside of the scope, whose threads borrow them.
    let jobs: Vec<_> = works.into_iter().map(|work| Mutex::new(Some(work))).collect();
    let running = Running { count: AtomicUsize::new(0), waiter: thread::current() };
    thread::scope(|scope| {
        let threads: Vec<_> = jobs.iter().map(|job| start(scope, job, &running, &stop)).collect();
        let done = obeying(&stop, meanwhile);
        wait(&running, &stop);
        // Those for which there was no thread are done now.
        let finish = |(thread, job): (Option<ScopedJoinHandle<'_, Option<T>>>, _)| match thread {
            Some(thread) => thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
            None => obeying(&stop, || run(job)),
        };
        (threads.into_iter().zip(&jobs).filter_map(finish).collect(), done)
    })
}

/// How many threads still work, and who waits for them.
struct Running {
    count: AtomicUsize,
    waiter: Thread,
}

/// Counts a thread until it ends, by a panic too.
struct Counted<'a>(&'a Running);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::AcqRel);
        self.0.waiter.unpark();
    }
}

type Job<F> = Mutex<Option<F>>;

/// `None` where the system has no more threads.
fn start<'scope, T: Send + 'scope, F: FnOnce() -> T + Send>(
    scope: &'scope Scope<'scope, '_>,
    job: &'scope Job<F>,
    running: &'scope Running,
    stop: &'scope Arc<AtomicBool>,
) -> Option<ScopedJoinHandle<'scope, Option<T>>> {
    running.count.fetch_add(1, Ordering::AcqRel);
    let counted = Counted(running);
    let work = move || {
        let _counted = counted;
        obeying(stop, || run(job))
    };
    thread::Builder::new().spawn_scoped(scope, work).ok()
}

/// Does the work of the job, which is there once.
fn run<T>(job: &Job<impl FnOnce() -> T>) -> Option<T> {
    let work = job.lock().unwrap_or_else(PoisonError::into_inner).take();
    work.map(|work| work())
}

/// Asks the caller now and then, until all threads have ended.
fn wait(running: &Running, stop: &Arc<AtomicBool>) {
    while ASK.get().is_some() && running.count.load(Ordering::Acquire) > 0 {
        obeying(stop, is_to_stop);
        thread::park_timeout(EVERY);
    }
}

/// Does `work`, during which this thread stops when others are told to, and tells them.
fn obeying<T>(stop: &Arc<AtomicBool>, work: impl FnOnce() -> T) -> T {
    struct Restore(Option<Arc<AtomicBool>>);
    impl Drop for Restore {
        fn drop(&mut self) {
            STOP.set(self.0.take());
        }
    }
    let _restore = Restore(STOP.replace(Some(stop.clone())));
    work()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_ends_with_its_work() {
        scope(
            || false,
            || {
                assert!(scope(|| true, check).is_err());
                assert!(check().is_ok());
            },
        );
        let unwound = std::panic::catch_unwind(|| scope(|| true, || panic!("in the middle")));
        assert!(unwound.is_err() && check().is_ok());
    }

    thread_local! {
        static ASKED: Cell<u32> = const { Cell::new(0) };
    }

    /// Has enough at the third time; in this thread only.
    fn patient() -> bool {
        ASKED.set(ASKED.get() + 1);
        ASKED.get() >= 3
    }

    fn until_told() -> u32 {
        while check().is_ok() {
            thread::yield_now();
        }
        ASKED.get()
    }

    #[test]
    fn threads_are_told_by_the_one_that_asks() {
        let work = || scope(patient, || together([until_told, until_told], || ()));
        let (asked, ()) = thread::spawn(work).join().unwrap();
        assert_eq!(asked, [0, 0], "no thread but the first asks");
        assert!(check().is_ok());
    }

    #[test]
    fn who_stops_meanwhile_stops_the_threads() {
        let outcome = thread::spawn(|| scope(patient, || together([until_told], until_told))).join().unwrap();
        assert_eq!(outcome, (vec![0], 3));
    }

    #[test]
    fn threads_of_threads_are_told_too() {
        let inner = || together([until_told, until_told], || ()).0;
        let outcome = thread::spawn(move || scope(patient, || together([inner, inner], || ())).0).join().unwrap();
        assert_eq!(outcome, [[0, 0], [0, 0]]);
    }

    #[test]
    fn a_panic_comes_out_once_all_have_ended() {
        static ENDED: AtomicBool = AtomicBool::new(false);
        let works: [fn(); 2] = [|| panic!("in a thread"), || ENDED.store(true, Ordering::SeqCst)];
        for ask in [false, true] {
            ENDED.store(false, Ordering::SeqCst);
            let all = || together(works, || ());
            let outcome = std::panic::catch_unwind(|| if ask { scope(|| false, all) } else { all() });
            assert!(outcome.is_err() && ENDED.load(Ordering::SeqCst) && check().is_ok());
        }
    }

    #[test]
    fn nobody_is_nobody() {
        assert_eq!(together(Vec::<fn()>::new(), || 7), (vec![], 7));
    }
}

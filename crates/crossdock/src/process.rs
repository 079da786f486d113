//! For connectors whose objects stay in one process: what must differ between a process and its forked children: a token, and the ids made from it.
//!
//! Linux can hand a forked child a page of zeros in place of its parent's (`MADV_WIPEONFORK`). The process token lives
//! in such a page, so noticing a fork costs one load instead of a system call. Elsewhere the token is derived from the
//! process id at each call.
#![expect(unsafe_code, reason = "mapping one page and telling the kernel to wipe it on fork")]

#[cfg(any(feature = "disk", feature = "remote"))]
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

#[cfg(any(feature = "disk", feature = "remote"))]
use arc_swap::ArcSwapOption;
use once_cell::race::OnceBox;
use uuid::Uuid;

#[cfg(feature = "local")]
use crate::key::ObjectId;

const TOKEN_BITS: u64 = (1 << 60) - 1;

/// Where the token is kept.
enum Home {
    /// In a page that reads as zero in a forked child.
    Wiped(&'static AtomicU64),
    /// Nowhere: derived from this number and the process id.
    Derived(u64),
}

/// A random number of 60 bits, never 0, that no other process has: not the parent, not a forked child.
pub(crate) fn token() -> u64 {
    // No lock that a fork could leave locked.
    static HOME: OnceBox<Home> = OnceBox::new();
    match HOME.get_or_init(|| Box::new(wiped_page().map_or_else(|| Home::Derived(random_token()), Home::Wiped))) {
        Home::Wiped(cell) => match cell.load(Ordering::Relaxed) {
            0 => draw(cell),
            token => token,
        },
        Home::Derived(base) => derive(*base, std::process::id()),
    }
}

/// A new id that says which process made it. Costs no system call.
#[cfg(feature = "local")]
#[must_use]
pub fn next_id() -> ObjectId {
    // A child goes on counting where its parent was; their tokens differ.
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let token = token();
    let high = (token >> 12) << 16 | (token & 0xfff);
    let uuid = Uuid::from_u64_pair(high, COUNTER.fetch_add(1, Ordering::Relaxed));
    // Version 8 is the one for layouts of one's own.
    ObjectId::from_uuid(uuid::Builder::from_custom_bytes(*uuid.as_bytes()).into_uuid())
}

/// Whether another process made `id` with [`next_id`]: a parent, a child, one on another host.
///
/// ```
/// use crossdock::process;
/// assert!(!process::is_foreign(&process::next_id()));
/// assert!(process::is_foreign(&"00000000-0001-8001-8000-000000000001".into()));
/// assert!(!process::is_foreign(&"not made by next_id".into()));
/// ```
#[cfg(feature = "local")]
#[must_use]
pub fn is_foreign(id: &ObjectId) -> bool {
    maker(id).is_some_and(|maker| maker != token())
}

/// The token of the process that made `id`, if [`next_id`] made it.
#[cfg(feature = "local")]
fn maker(id: &ObjectId) -> Option<u64> {
    let uuid = id.as_uuid().filter(|uuid| uuid.get_version_num() == 8)?;
    let (high, _) = uuid.as_u64_pair();
    Some((high >> 16) << 12 | (high & 0xfff))
}

#[cold]
fn draw(cell: &AtomicU64) -> u64 {
    let new = random_token();
    match cell.compare_exchange(0, new, Ordering::Relaxed, Ordering::Relaxed) {
        Ok(_) => new,
        Err(other_thread) => other_thread,
    }
}

fn random_token() -> u64 {
    let (high, low) = Uuid::new_v4().as_u64_pair();
    ((high ^ low.rotate_left(32)) & TOKEN_BITS).max(1)
}

/// The finaliser of SplitMix64 spreads the process id over all bits.
fn derive(base: u64, pid: u32) -> u64 {
    let mut mixed = base ^ u64::from(pid).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((mixed ^ (mixed >> 31)) & TOKEN_BITS).max(1)
}

#[cfg(target_os = "linux")]
fn wiped_page() -> Option<&'static AtomicU64> {
    use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous};
    const LENGTH: usize = 4096;
    // SAFETY: a new private mapping at an address of the kernel's choice overlaps nothing.
    let page = unsafe {
        mmap_anonymous(std::ptr::null_mut(), LENGTH, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE).ok()?
    };
    // SAFETY: the page is ours; the advice changes only what a forked child sees in it. The page is never unmapped,
    // so a failure merely leaves it unused.
    unsafe { madvise(page, LENGTH, Advice::LinuxWipeOnFork).ok()? };
    // SAFETY: mapped pages are aligned, zeroed (a valid AtomicU64), writable, and this one stays for ever.
    Some(unsafe { &*page.cast::<AtomicU64>() })
}

#[cfg(not(target_os = "linux"))]
fn wiped_page() -> Option<&'static AtomicU64> {
    None
}

/// What a process keeps for itself, such as an open file: a forked child does not find it.
///
/// A fork copies the table of descriptors first and the memory later, while other threads go on: the number of a
/// descriptor that one of them has just opened is then a number of nothing in the child, or of something else. So a child
/// neither uses nor closes what it has inherited here.
#[cfg(any(feature = "disk", feature = "remote"))]
pub(crate) struct PerProcess<T> {
    owner: AtomicU64,
    value: ArcSwapOption<T>,
}

#[cfg(any(feature = "disk", feature = "remote"))]
impl<T> PerProcess<T> {
    pub(crate) fn empty() -> Self {
        Self { owner: AtomicU64::new(token()), value: ArcSwapOption::empty() }
    }

    pub(crate) fn load(&self) -> Option<Arc<T>> {
        self.forget_what_was_inherited();
        self.value.load_full()
    }

    /// The same for a moment, and without counting it.
    #[cfg(feature = "shm")]
    pub(crate) fn peek(&self) -> arc_swap::Guard<Option<Arc<T>>> {
        self.forget_what_was_inherited();
        self.value.load()
    }

    pub(crate) fn store(&self, value: Arc<T>) {
        self.forget_what_was_inherited();
        self.value.store(Some(value));
    }

    /// What was kept, which is no longer.
    #[cfg(any(feature = "remote", feature = "shm"))]
    pub(crate) fn take(&self) -> Option<Arc<T>> {
        self.forget_what_was_inherited();
        self.value.swap(None)
    }

    fn forget_what_was_inherited(&self) {
        let token = token();
        if self.owner.load(Ordering::Acquire) != token {
            // Two threads of a child may both do this, and one forget what the other has just stored: it is made again.
            std::mem::forget(self.value.swap(None));
            self.owner.store(token, Ordering::Release);
        }
    }
}

#[cfg(any(feature = "disk", feature = "remote"))]
impl<T> Drop for PerProcess<T> {
    fn drop(&mut self) {
        self.forget_what_was_inherited();
    }
}

#[cfg(all(test, feature = "local"))]
mod tests {
    use super::*;

    #[test]
    fn an_id_names_its_maker() {
        let (first, second) = (next_id(), next_id());
        assert_ne!(first, second);
        assert_eq!(maker(&first), Some(token()));
        assert_eq!(maker(&ObjectId::random()), None);
        assert_eq!(maker(&"text".into()), None);
    }

    #[test]
    fn derived_tokens_differ_by_process_id() {
        let base = random_token();
        assert_ne!(derive(base, 100), derive(base, 101));
        assert_eq!(derive(base, 100), derive(base, 100));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_page_can_be_had() {
        assert!(wiped_page().is_some());
    }
}

//! What a process is to the directory: the maker of ids, and the owner of what it writes and keeps there.
//!
//! A file below [`STATE`] is named after the maker and locked for as long as its process lives. The kernel drops the lock
//! when the process is killed: then what is named after this maker is nobody's, and is collected by the next process that
//! attaches. A lock of an open file would live on in forked children, so the file is held by a map instead, which they do
//! not inherit.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use memmap2::{Advice, Mmap, MmapOptions};
use rustix::fs::{FlockOperation, Mode, OFlags, flock, fstat, mkdirat, openat};
use rustix::io::Errno;

use super::directory::{Open, STATE, open_directory};
use super::kept::Kept;
use super::name::Name;
use super::slab::{Maps, Slabs};
use crate::error::{Error, ErrorKind, Result};
use crate::posix::remove;

/// How often a name is sought that nobody is about to collect.
const ATTEMPTS: usize = 100;
/// Empty slabs may take this part of what is kept besides.
const SLABS_PART: u64 = 4;

pub(super) struct Owner {
    pub(super) open: Arc<Open>,
    /// The directory of what is no object.
    pub(super) state: Arc<OwnedFd>,
    pub(super) kept: Kept,
    pub(super) slabs: Slabs,
    maker: u64,
    ids: AtomicU64,
    drafts: Arc<Drafts>,
    _lock: Mmap,
}

impl Owner {
    /// Announces this process. `recycled`: how many bytes it may keep. `maps`: what it reads slabs by.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn new(open: Arc<Open>, recycled: u64, maps: Arc<Maps>) -> Result<Self, Errno> {
        let state = Arc::new(open_state(&open)?);
        for _ in 0..ATTEMPTS {
            let maker = Name::random_maker();
            let Some(lock) = announce(&state, &file_name(maker))? else { continue };
            let kept = Kept::new(recycled);
            let drafts = Arc::new(Drafts { maker, count: AtomicU64::new(0) });
            let slabs = Slabs::new(state.clone(), drafts.clone(), open.place, recycled / SLABS_PART, maps);
            return Ok(Self { open, state, kept, slabs, maker, ids: AtomicU64::new(0), drafts, _lock: lock });
        }
        Err(Errno::AGAIN)
    }

    /// A name that no object has had.
    pub(super) fn next_name(&self) -> Result<Name> {
        Name::make(self.open.place, self.maker, self.ids.fetch_add(1, Ordering::Relaxed))
    }

    /// Gives back what no object is in. Whether that was anything.
    pub(super) fn release(&self) -> bool {
        self.kept.release() | self.slabs.release()
    }

    /// A name for a file that is no object yet.
    pub(super) fn next_draft(&self) -> String {
        self.drafts.next()
    }
}

/// Names for the files that a maker is writing.
pub(super) struct Drafts {
    pub(super) maker: u64,
    pub(super) count: AtomicU64,
}

impl Drafts {
    pub(super) fn next(&self) -> String {
        format!("{}-{}", file_name(self.maker), self.count.fetch_add(1, Ordering::Relaxed))
    }
}

impl Drop for Owner {
    /// While the lock is held, so that nobody else does it at the same time.
    fn drop(&mut self) {
        self.kept.clear();
        self.slabs.clear();
        let (Ok(_) | Err(_)) = remove(&self.state, &file_name(self.maker));
    }
}

/// The name of a maker's file.
pub(super) fn file_name(maker: u64) -> String {
    format!("{maker:013x}")
}

/// The maker whose file that is, or who made that draft, and which it is.
pub(super) fn parse_file_name(name: &str) -> Option<(u64, bool)> {
    let (maker, draft) = name.split_once('-').map_or((name, None), |(maker, draft)| (maker, Some(draft)));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = u64::from_str_radix(maker, 16).ok()?;
    (file_name(number) == maker && draft.is_none_or(is_number)).then_some((number, draft.is_some()))
}

fn open_state(open: &Open) -> Result<OwnedFd, Errno> {
    match open_directory(&open.fd, STATE) {
        Err(Errno::NOENT) => match mkdirat(&open.fd, STATE, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => open_directory(&open.fd, STATE),
            Err(cause) => Err(cause),
        },
        opened => opened,
    }
}

/// Makes and locks the file. `None` where somebody took it for a dead process's before it was locked.
#[expect(unsafe_code, reason = "a map that holds a file open")]
fn announce(state: &OwnedFd, name: &str) -> Result<Option<Mmap>, Errno> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let file = match openat(state, name, flags, Mode::RUSR | Mode::WUSR) {
        Err(Errno::EXIST) => return Ok(None),
        file => file?,
    };
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => return Ok(None),
        locked => locked?,
    }
    if fstat(&file)?.st_nlink == 0 {
        return Ok(None);
    }
    let failed = |cause: std::io::Error| Errno::from_io_error(&cause).unwrap_or(Errno::IO);
    // SAFETY: nobody ever looks at its bytes (the file has none).
    let map = unsafe { MmapOptions::new().len(1).map(&file) }.map_err(failed)?;
    map.advise(Advice::DontFork).map_err(failed)?;
    Ok(Some(map))
}

/// The lock of a process that has ended. `None` while it lives, and where its file is gone.
pub(super) fn lock_of_the_dead(state: &OwnedFd, maker: u64) -> Result<Option<OwnedFd>, Errno> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match openat(state, file_name(maker), flags, Mode::empty()) {
        Err(Errno::NOENT | Errno::LOOP) => return Ok(None),
        file => file?,
    };
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(Errno::WOULDBLOCK) => Ok(None),
        Err(cause) => Err(cause),
    }
}

/// The error of a process that could not announce itself.
pub(super) fn not_announced(cause: Errno, named: &str) -> Error {
    match cause {
        Errno::NOLCK | Errno::OPNOTSUPP | Errno::NOSYS => {
            let message =
                format!("the file system of {named} has no locks; choose a directory on a memory file system");
            Error::new(ErrorKind::Unavailable, message).permanent()
        }
        cause => Error::from_io("make a file in", format_args!("{named}/{STATE}"), cause),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_after_their_maker() {
        let maker = Name::random_maker();
        let name = file_name(maker);
        assert_eq!(parse_file_name(&name), Some((maker, false)));
        assert_eq!(parse_file_name(&format!("{name}-12")), Some((maker, true)));
        for foreign in ["", "-", "notes", "0", &format!("{name}-"), &format!("{name}-x"), &name.to_uppercase()[..12]] {
            assert_eq!(parse_file_name(foreign), None, "{foreign}");
        }
    }
}

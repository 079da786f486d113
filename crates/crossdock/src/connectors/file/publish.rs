//! Publishing an object, so that a reader sees all of it or nothing, whenever the writer is killed or a call fails.
//!
//! 1. Make an unnamed file in the directory (`O_TMPFILE`, mode 0600). A writer killed before step 4 leaves nothing.
//! 2. Write all bytes.
//! 3. Sync the file: for durability `host`, and where the key does not say the size, since a power cut could leave such
//!    an object empty and nobody would notice.
//! 4. Give it its name. The name is taken: nothing was published, `Exists`.
//! 5. Close it, and look at the answer: some file systems report a failed write only here.
//! 6. Give it its marker: from now on the object exists. A writer killed between 4 and 6 leaves a file without a
//!    marker, which nobody sees and `gc` collects.
//! 7. Durability `host`: the caller syncs the directory.
//!
//! A small object under a new name gets this name at once, in step 1: nobody else knows it, and without its marker it is
//! no object. A writer killed between 1 and 6, a few microseconds, leaves a file that `gc` collects; in return a put costs
//! a quarter less. For a large object, which takes longer and leaves more, that would be a bad bargain.
//!
//! Where unnamed files cannot be had (NFS among others), the file has a name of its own until step 4, which `gc` knows,
//! and step 5 comes before step 4.
//!
//! When a step after 4 fails, the name is taken away again. In a set, another writer may meet the file between 4 and 6:
//! he waits for the lock that the first one holds for that time (the kernel drops it when its holder is killed), then
//! finds the object published, taken back, or left by a killed writer with all its bytes, and then finishes it.
//!
//! Where there is a quota, there was room for the object before step 1, and it counts from step 6 on (see `usage`).
//!
//! The marker is one more link to an empty file that this connector keeps: ProxyStore's layout byte for byte, for less
//! than a new file costs. Where a link cannot be made, a new file it is.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::{
    AtFlags, CWD, FlockOperation, Mode, OFlags, RenameFlags, flock, fsync, linkat, openat, renameat, renameat_with,
};
use rustix::io::{Errno, fcntl_dupfd_cloexec};

use super::PART;
use super::directory::{FileName, PublishError};
use super::quota::{self, Room};
use crate::interrupt;
use crate::key::ObjectId;
use crate::posix::remove;
use crate::process::PerProcess;

/// Up to this size, in bytes, an object under a new name is written under it at once.
const SMALL: usize = 128 << 10;

/// How the names of files begin that are still being written, where they need a name.
pub(super) const DRAFT: &str = ".crossdock-";

pub(super) struct Publisher {
    /// The empty file that markers are links to.
    empty: PerProcess<OwnedFd>,
    /// Unnamed files cannot be had here.
    direct: AtomicBool,
}

/// Turns the error of a system call into ours, with what was being done.
fn during(action: &'static str) -> impl Fn(Errno) -> PublishError {
    move |cause| PublishError::Io(action, cause)
}

impl Publisher {
    pub(super) fn new(direct: bool) -> Self {
        Self { empty: PerProcess::empty(), direct: AtomicBool::new(direct) }
    }

    pub(super) fn publish(
        &self,
        dir: &OwnedFd,
        name: &FileName,
        object: &[u8],
        how: How,
        room: Option<Room<'_>>,
    ) -> Result<(), PublishError> {
        let _held = self.write_and_name(dir, name, object, how)?;
        quota::fill(room, || self.mark(dir, name).map_err(during("mark"))).map_err(|error| give_up(dir, name, error))
    }

    /// Puts a whole file in place of the one that may be there. Readers have the one or the other.
    pub(super) fn replace(
        &self,
        dir: &OwnedFd,
        name: &FileName,
        object: &[u8],
        how: How,
        room: Option<Room<'_>>,
    ) -> Result<(), PublishError> {
        let take_over = |draft: &str| {
            quota::fill(room, || {
                renameat(dir, draft, dir, name.object()).map_err(during("name"))?;
                self.mark(dir, name).map_err(during("mark"))
            })
        };
        write_draft(dir, object, How { is_set: false, ..how }, take_over).map(drop)
    }

    /// Steps 1 to 5. In a set, the lock.
    fn write_and_name(
        &self,
        dir: &OwnedFd,
        name: &FileName,
        object: &[u8],
        how: How,
    ) -> Result<Option<Held>, PublishError> {
        if !how.is_set && object.len() <= SMALL {
            return write_named(dir, name, object, how).map(|()| None);
        }
        match self.unnamed_file(dir).map_err(during("make"))? {
            Some(file) => write_unnamed(dir, name, file, object, how),
            None => write_draft(dir, object, how, |draft| name_draft(dir, draft, name.object()).map_err(naming)),
        }
    }

    /// `None` where unnamed files cannot be had; that is asked once.
    fn unnamed_file(&self, dir: &OwnedFd) -> Result<Option<OwnedFd>, Errno> {
        if self.direct.load(Ordering::Relaxed) {
            return Ok(None);
        }
        match openat(dir, ".", OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC, Mode::RUSR | Mode::WUSR) {
            Ok(file) => Ok(Some(file)),
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL | Errno::NOSYS) => {
                self.direct.store(true, Ordering::Relaxed);
                Ok(None)
            }
            Err(cause) => Err(cause),
        }
    }

    fn mark(&self, dir: &OwnedFd, name: &FileName) -> Result<(), Errno> {
        if let Some(empty) = self.empty.load() {
            match link_file(&empty, dir, name.marker()) {
                // No link left of it, too many, or made in a directory that has gone since: a new one.
                Err(Errno::NOENT | Errno::MLINK | Errno::XDEV | Errno::STALE | Errno::BADF) => {}
                Err(Errno::EXIST) => return Ok(()),
                Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::ACCESS) => return add_marker(dir, name),
                outcome => return outcome,
            }
        }
        let Some(empty) = self.unnamed_file(dir)? else { return add_marker(dir, name) };
        match link_file(&empty, dir, name.marker()) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(cause) => return Err(cause),
        }
        self.empty.store(Arc::new(empty));
        Ok(())
    }
}

/// What is asked of one publication.
#[derive(Clone, Copy, Debug)]
pub(super) struct How {
    /// Sync the file before it gets its name.
    pub(super) sync: bool,
    /// Others may know the name. Otherwise it is a new one.
    pub(super) is_set: bool,
}

/// For a name that nobody else knows yet.
fn write_named(dir: &OwnedFd, name: &FileName, object: &[u8], how: How) -> Result<(), PublishError> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let file = openat(dir, name.object(), flags, Mode::RUSR | Mode::WUSR).map_err(|cause| match cause {
        Errno::EXIST => PublishError::Exists,
        cause => PublishError::Io("make", cause),
    })?;
    let written = fill(&file, object, how);
    // Closed in any case.
    let closed = close(file).map_err(during("close"));
    written.and(closed).map_err(|error| give_up(dir, name, error))
}

fn write_unnamed(
    dir: &OwnedFd,
    name: &FileName,
    file: OwnedFd,
    object: &[u8],
    how: How,
) -> Result<Option<Held>, PublishError> {
    let held = fill(&file, object, how)?;
    link_file(&file, dir, name.object()).map_err(naming)?;
    match close(file) {
        Ok(()) => Ok(held),
        Err(cause) => Err(give_up(dir, name, PublishError::Io("close", cause))),
    }
}

/// Writes a file under a name that `gc` knows; `give_name` gives it the real one.
fn write_draft(
    dir: &OwnedFd,
    object: &[u8],
    how: How,
    give_name: impl FnOnce(&str) -> Result<(), PublishError>,
) -> Result<Option<Held>, PublishError> {
    let draft = format!("{DRAFT}{}", ObjectId::random());
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let file = openat(dir, &*draft, flags, Mode::RUSR | Mode::WUSR).map_err(during("make"))?;
    let written = fill(&file, object, how);
    // Closed in any case.
    let closed = close(file).map_err(during("close"));
    let named = written.and_then(|held| {
        closed?;
        give_name(&draft)?;
        Ok(held)
    });
    // Renamed away, or of no use any more. What cannot be removed has a name that `gc` knows.
    match (remove(dir, &draft), named) {
        (Ok(_) | Err(_), named) => named,
    }
}

/// A second name, or where there are no links another one; neither replaces a file that is there.
fn name_draft(dir: &OwnedFd, draft: &str, name: &str) -> Result<(), Errno> {
    match linkat(dir, draft, dir, name, AtFlags::empty()) {
        Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::MLINK) => {
            renameat_with(dir, draft, dir, name, RenameFlags::NOREPLACE)
        }
        outcome => outcome,
    }
}

fn naming(cause: Errno) -> PublishError {
    if cause == Errno::EXIST { PublishError::Exists } else { PublishError::Io("name", cause) }
}

/// Writes, syncs and, in a set, locks the file. The lock lives as long as the descriptor that comes back.
fn fill(file: &OwnedFd, object: &[u8], how: How) -> Result<Option<Held>, PublishError> {
    for part in object.chunks(PART) {
        interrupt::check().map_err(PublishError::Other)?;
        write_all(file, part).map_err(during("write"))?;
    }
    if how.sync {
        fsync(file).map_err(during("sync"))?;
    }
    if how.is_set { lock(file).map_err(during("lock")) } else { Ok(None) }
}

/// The lock on a file that has its name, but no marker yet.
struct Held(OwnedFd);

impl Drop for Held {
    /// Closing would do, unless it fails.
    fn drop(&mut self) {
        let (Ok(()) | Err(_)) = flock(&self.0, FlockOperation::Unlock);
    }
}

/// Nobody else has the file yet. Where locks cannot be had, it goes without.
fn lock(file: &OwnedFd) -> Result<Option<Held>, Errno> {
    let held = fcntl_dupfd_cloexec(file, 0)?;
    match flock(&held, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(Held(held))),
        Err(Errno::NOLCK | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL | Errno::BADF) => Ok(None),
        Err(cause) => Err(cause),
    }
}

/// Waits until the writer of a file that has its name is done with it. `false` if that takes too long.
///
/// # Errors
/// `Interrupted`, or what the system says.
pub(super) fn wait_for_writer(file: &OwnedFd) -> Result<bool, PublishError> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        match flock(file, FlockOperation::NonBlockingLockShared) {
            Err(Errno::WOULDBLOCK) if Instant::now() < deadline => {
                interrupt::check().map_err(PublishError::Other)?;
                std::thread::sleep(Duration::from_millis(1));
            }
            Err(Errno::WOULDBLOCK) => return Ok(false),
            Ok(()) | Err(Errno::NOLCK | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL | Errno::BADF) => {
                return Ok(true);
            }
            Err(Errno::INTR) => {}
            Err(cause) => return Err(PublishError::Io("lock", cause)),
        }
    }
}

/// The error of a publication that failed after the file had its name. What cannot be removed now has no marker.
fn give_up(dir: &OwnedFd, name: &FileName, error: PublishError) -> PublishError {
    match remove(dir, name.marker()).and_then(|_| remove(dir, name.object())) {
        Ok(_) | Err(_) => error,
    }
}

/// Makes the marker as a file of its own.
pub(super) fn add_marker(dir: &OwnedFd, name: &FileName) -> Result<(), Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    match openat(dir, name.marker(), flags, Mode::RUSR | Mode::WUSR) {
        Ok(file) => close(file),
        Err(Errno::EXIST) => Ok(()),
        Err(cause) => Err(cause),
    }
}

/// Removes an object: its marker first, so that it is gone before its bytes are.
///
/// A file without a marker is none of ours, unless its name is a UUID: then it is what a killed writer left. Whether there
/// was an object.
pub(super) fn unpublish(dir: &OwnedFd, name: &FileName) -> Result<bool, Errno> {
    let marked = remove(dir, name.marker())?;
    if marked || name.is_uuid() { remove(dir, name.object()).map(|there| there || marked) } else { Ok(false) }
}

/// Linking a file that is only open needs a privilege, or a detour over `/proc`.
fn link_file(file: &OwnedFd, dir: &OwnedFd, name: &str) -> Result<(), Errno> {
    match linkat(file, "", dir, name, AtFlags::EMPTY_PATH) {
        Err(Errno::NOENT | Errno::PERM | Errno::ACCESS | Errno::INVAL) => {
            let path = format!("/proc/self/fd/{}", file.as_fd().as_raw_fd());
            linkat(CWD, path, dir, name, AtFlags::SYMLINK_FOLLOW)
        }
        outcome => outcome,
    }
}

fn write_all(file: &OwnedFd, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match rustix::io::write(file, bytes) {
            Ok(0) => return Err(Errno::NOSPC),
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(cause) => return Err(cause),
        }
    }
    Ok(())
}

/// Closes and looks at the answer, which dropping does not.
#[expect(unsafe_code, reason = "closing a descriptor by its number")]
fn close(file: OwnedFd) -> Result<(), Errno> {
    use std::os::fd::IntoRawFd;
    let raw = file.into_raw_fd();
    // SAFETY: `into_raw_fd` gave the descriptor up to us, and nobody else has its number.
    match unsafe { rustix::io::try_close(raw) } {
        // Linux has closed it all the same.
        Err(Errno::INTR) => Ok(()),
        outcome => outcome,
    }
}

//! Publishing an object, so that a reader sees all of it or nothing, whenever the writer is killed or a call fails.
//!
//! 1. Make an unnamed file in the directory (`O_TMPFILE`, mode 0600). A writer killed before step 4 leaves nothing.
//! 2. Write all bytes.
//! 3. Durability `host`: sync the file.
//! 4. Give it its name. The name is taken: nothing was published, `Exists`.
//! 5. Close it, and look at the answer: some file systems report a failed write only here.
//! 6. Give it its marker: from now on the object exists. A writer killed between 4 and 6 leaves a file without a
//!    marker, which nobody sees and `gc` collects.
//! 7. Durability `host`: the caller syncs the directory.
//!
//! A step that fails after 4 takes the name away again. Where unnamed files cannot be had (NFS among others), step 1
//! makes the file under its final name, exclusively, and step 4 falls away: it is the marker that publishes.
//!
//! The marker is one more link to an empty file that this connector keeps: ProxyStore's layout byte for byte, for less
//! than a new file costs. Where a link cannot be made, a new file it is.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwapOption;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, fsync, linkat, openat, unlinkat};
use rustix::io::Errno;

use super::directory::{FileName, PublishError};
use crate::options::Durability;

pub(super) struct Publisher {
    /// The empty file that markers are links to.
    empty: ArcSwapOption<OwnedFd>,
    /// Unnamed files cannot be had here.
    direct: AtomicBool,
}

/// Turns the error of a system call into ours, with what was being done.
fn during(action: &'static str) -> impl Fn(Errno) -> PublishError {
    move |cause| PublishError::Io(action, cause)
}

impl Publisher {
    pub(super) fn new(direct: bool) -> Self {
        Self { empty: ArcSwapOption::empty(), direct: AtomicBool::new(direct) }
    }

    pub(super) fn publish(
        &self,
        dir: &OwnedFd,
        name: &FileName,
        object: &[u8],
        level: Durability,
    ) -> Result<(), PublishError> {
        if !self.direct.load(Ordering::Relaxed) {
            match unnamed_file(dir) {
                Ok(file) => return self.publish_unnamed(dir, name, file, object, level),
                Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL | Errno::NOSYS) => {
                    self.direct.store(true, Ordering::Relaxed);
                }
                Err(cause) => return Err(PublishError::Io("make", cause)),
            }
        }
        self.publish_named(dir, name, object, level)
    }

    fn publish_unnamed(
        &self,
        dir: &OwnedFd,
        name: &FileName,
        file: OwnedFd,
        object: &[u8],
        level: Durability,
    ) -> Result<(), PublishError> {
        write_all(&file, object).map_err(during("write"))?;
        sync_file(&file, level)?;
        match link_file(&file, dir, name.object()) {
            Ok(()) => {}
            Err(Errno::EXIST) => return Err(PublishError::Exists),
            Err(cause) => return Err(PublishError::Io("name", cause)),
        }
        self.finish(dir, name, file)
    }

    fn publish_named(
        &self,
        dir: &OwnedFd,
        name: &FileName,
        object: &[u8],
        level: Durability,
    ) -> Result<(), PublishError> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = match openat(dir, name.object(), flags, Mode::RUSR | Mode::WUSR) {
            Ok(file) => file,
            Err(Errno::EXIST) => return Err(PublishError::Exists),
            Err(cause) => return Err(PublishError::Io("make", cause)),
        };
        let written = write_all(&file, object).map_err(during("write")).and_then(|()| sync_file(&file, level));
        if let Err(error) = written {
            return Err(take_back(dir, name, error));
        }
        self.finish(dir, name, file)
    }

    /// Steps 5 and 6.
    fn finish(&self, dir: &OwnedFd, name: &FileName, file: OwnedFd) -> Result<(), PublishError> {
        let closed = close(file).map_err(during("close"));
        let marked = closed.and_then(|()| self.mark(dir, name).map_err(during("mark")));
        marked.map_err(|error| take_back(dir, name, error))
    }

    fn mark(&self, dir: &OwnedFd, name: &FileName) -> Result<(), Errno> {
        if let Some(empty) = &*self.empty.load() {
            match link_file(empty, dir, name.marker()) {
                // No link left of it, too many, or made in a directory that has gone since: a new one.
                Err(Errno::NOENT | Errno::MLINK | Errno::XDEV | Errno::STALE | Errno::BADF) => {}
                Err(Errno::EXIST) => return Ok(()),
                Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::ACCESS) => return add_marker(dir, name),
                outcome => return outcome,
            }
        }
        if self.direct.load(Ordering::Relaxed) {
            return add_marker(dir, name);
        }
        let empty = unnamed_file(dir)?;
        match link_file(&empty, dir, name.marker()) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(cause) => return Err(cause),
        }
        self.empty.store(Some(Arc::new(empty)));
        Ok(())
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
pub(super) fn unpublish(dir: &OwnedFd, name: &FileName) -> Result<(), Errno> {
    remove(dir, name.marker())?;
    remove(dir, name.object())
}

/// Removes a file that may be missing.
pub(super) fn remove(dir: &OwnedFd, name: &str) -> Result<(), Errno> {
    match unlinkat(dir, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(cause) => Err(cause),
    }
}

/// The error of a put that failed half-way. What cannot be removed now has no marker, and `gc` collects it.
fn take_back(dir: &OwnedFd, name: &FileName, error: PublishError) -> PublishError {
    match unpublish(dir, name) {
        Ok(()) | Err(_) => error,
    }
}

fn unnamed_file(dir: &OwnedFd) -> Result<OwnedFd, Errno> {
    openat(dir, ".", OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC, Mode::RUSR | Mode::WUSR)
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

fn sync_file(file: &OwnedFd, level: Durability) -> Result<(), PublishError> {
    if level == Durability::Process {
        return Ok(());
    }
    fsync(file).map_err(during("sync"))
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

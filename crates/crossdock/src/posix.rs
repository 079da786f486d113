//! System calls on files and directories, as the connectors that keep files use them.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use rustix::fs::{AtFlags, Mode, OFlags, Stat, fsync, mkdir, open, statat, unlinkat};
use rustix::io::Errno;

/// Makes the directory and its missing ancestors, each on the disk before something is put into it: a durable object
/// in a directory that a power cut takes away is lost.
pub(crate) fn make_with_ancestors(path: &Path) -> Result<(), Errno> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    match mkdir(path, Mode::RWXU) {
        Ok(()) => {}
        Err(Errno::EXIST) => return Ok(()),
        Err(Errno::NOENT) => {
            make_with_ancestors(parent.ok_or(Errno::NOENT)?)?;
            match mkdir(path, Mode::RWXU) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(cause) => return Err(cause),
            }
        }
        Err(cause) => return Err(cause),
    }
    let Some(parent) = parent else { return Ok(()) };
    let parent = open(parent, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    fsync(&parent)
}

/// What that name stands for, itself, if anything.
pub(crate) fn stat(dir: &OwnedFd, name: &str) -> Result<Option<Stat>, Errno> {
    match statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(cause) => Err(cause),
    }
}

/// By the time of the last change of the inode, which nobody can set back.
pub(crate) fn is_older(stat: &Stat, min_age: Duration) -> bool {
    let changed = Duration::from_secs(u64::try_from(stat.st_ctime).unwrap_or(0));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.saturating_sub(changed) >= min_age
}

/// Removes a file. Whether it was there.
pub(crate) fn remove(dir: &OwnedFd, name: &str) -> Result<bool, Errno> {
    match unlinkat(dir, name, AtFlags::empty()) {
        Ok(()) => Ok(true),
        Err(Errno::NOENT) => Ok(false),
        Err(cause) => Err(cause),
    }
}

/// The first `size` bytes of a published file, which has as many, without a copy.
#[expect(unsafe_code, reason = "mapping a file")]
pub(crate) fn map(file: &OwnedFd, size: u64) -> std::io::Result<Bytes> {
    if size == 0 {
        return Ok(Bytes::new());
    }
    let size = usize::try_from(size).map_err(|_| std::io::ErrorKind::FileTooLarge)?;
    // SAFETY: nothing that crossdock publishes is changed or truncated while it is mapped, and the caller has seen that the
    // file belongs to a user who is trusted. The map is read-only and private to nobody: it lives as long as the `Bytes`.
    let map = unsafe { memmap2::MmapOptions::new().len(size).map(file)? };
    Ok(Bytes::from_owner(map))
}

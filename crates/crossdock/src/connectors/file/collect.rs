//! Collecting what killed writers left, and clearing a directory of its objects.

use std::os::fd::OwnedFd;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{AtFlags, Dir, FileType, Stat, statat, unlinkat};
use rustix::io::Errno;

use super::directory::{Directory, FileName};
use super::publish::{remove, unpublish};
use crate::error::{Error, Result};
use crate::key::ObjectId;
use crate::options::{GcOptions, GcReport};

/// Removes files without a marker and markers without a file, if they are old enough.
pub(super) fn gc(directory: &Directory, options: &GcOptions) -> Result<GcReport> {
    let mut report = GcReport::default();
    // A directory that is not there has no leftovers, and nobody wants it made for that.
    let Some(dir) = directory.reopen()? else { return Ok(report) };
    for name in names(directory, &dir)? {
        let failed = |cause| Error::from_io("collect", directory.shown(name.object()), cause);
        let (object, marker) = look(&dir, &name).map_err(failed)?;
        let leftover = match (&object, &marker) {
            (Some(object), None) => object,
            // ProxyStore removes the marker last.
            (None, Some(marker)) => marker,
            _ => continue,
        };
        if !is_older(leftover, options.min_age) {
            report.kept += 1;
            continue;
        }
        report.removed += 1;
        report.bytes += object.as_ref().map_or(0, |stat| stat.st_size as u64);
        if !options.dry_run {
            let name = if object.is_some() { name.object() } else { name.marker() };
            remove(&dir, name).map_err(failed)?;
        }
    }
    Ok(report)
}

/// Removes all objects and leftovers that carry our names, and the directory if nothing else is in it.
pub(super) fn clear(directory: &Directory) -> Result<()> {
    let Some(dir) = directory.reopen()? else { return Ok(()) };
    let mut outcome = Ok(());
    for name in names(directory, &dir)? {
        if let Err(cause) = unpublish(&dir, &name) {
            outcome = Err(Error::from_io("clear", directory.shown(name.object()), cause));
        }
    }
    outcome?;
    match unlinkat(rustix::fs::CWD, directory.path(), AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT | Errno::NOTEMPTY | Errno::EXIST | Errno::BUSY | Errno::NOTDIR) => Ok(()),
        Err(cause) => Err(Error::from_io("remove the directory", directory.path().display(), cause)),
    }
}

/// The objects of the directory by name, whole or not. Foreign files carry other names.
fn names(directory: &Directory, dir: &OwnedFd) -> Result<Vec<FileName>> {
    let failed = |cause| Error::from_io("list", directory.path().display(), cause);
    let mut ids: Vec<ObjectId> = Vec::new();
    for entry in Dir::read_from(dir).map_err(failed)? {
        let entry = match entry {
            Ok(entry) => entry,
            // The directory was removed while it was open: nothing is left in it.
            Err(Errno::NOENT) => break,
            Err(cause) => return Err(failed(cause)),
        };
        let Ok(name) = entry.file_name().to_str() else { continue };
        let id = ObjectId::from(name.strip_suffix(".ready").unwrap_or(name));
        if id.as_uuid().is_some() && matches!(entry.file_type(), FileType::RegularFile | FileType::Unknown) {
            ids.push(id);
        }
    }
    ids.sort();
    ids.dedup();
    ids.iter().map(FileName::of).collect()
}

fn look(dir: &OwnedFd, name: &FileName) -> Result<(Option<Stat>, Option<Stat>), Errno> {
    // The marker last: a writer sets it after the file.
    let object = stat(dir, name.object())?;
    let marker = stat(dir, name.marker())?;
    match (&object, &marker) {
        // Evicted or published in between; look again before calling it a leftover.
        (None, Some(_)) => Ok((stat(dir, name.object())?, marker)),
        _ => Ok((object, marker)),
    }
}

fn stat(dir: &OwnedFd, name: &str) -> Result<Option<Stat>, Errno> {
    match statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(cause) => Err(cause),
    }
}

/// By the time of the last change of the inode, which nobody can set back.
fn is_older(stat: &Stat, min_age: Duration) -> bool {
    let changed = Duration::from_secs(u64::try_from(stat.st_ctime).unwrap_or(0));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.saturating_sub(changed) >= min_age
}

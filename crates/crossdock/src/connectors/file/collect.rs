//! Collecting what killed writers left, and clearing a directory of its objects.

use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, Dir, FileType, Stat, unlinkat};
use rustix::io::Errno;

use super::directory::{Directory, FileName};
use super::publish::{DRAFT, unpublish};
use crate::error::{Error, Result};
use crate::interrupt;
use crate::key::ObjectId;
use crate::options::{GcOptions, GcReport};
use crate::posix::{is_older, remove, stat};
use crate::usage;

/// Removes files without a marker and markers without a file, if they are old enough.
pub(super) fn gc(directory: &Directory, options: &GcOptions) -> Result<GcReport> {
    let mut report = GcReport::default();
    // A directory that is not there has no leftovers, and nobody wants it made for that.
    let Some(dir) = directory.reopen()? else { return Ok(report) };
    let listing = list(directory, &dir)?;
    for draft in &listing.drafts {
        interrupt::check()?;
        let failed = |cause| Error::from_io("collect", directory.shown(draft), cause);
        if let Some(stat) = stat(&dir, draft).map_err(failed)? {
            collect(&mut report, &dir, draft, &stat, options).map_err(failed)?;
        }
    }
    for name in listing.names {
        interrupt::check()?;
        let failed = |cause| Error::from_io("collect", directory.shown(name.object()), cause);
        let (object, marker) = look(&dir, &name).map_err(failed)?;
        match (&object, &marker) {
            (Some(stat), None) => collect(&mut report, &dir, name.object(), stat, options).map_err(failed)?,
            // ProxyStore removes the marker last. One inode may serve many markers, and each link renews its change time.
            (None, Some(stat)) => {
                let mut stat = *stat;
                stat.st_ctime = stat.st_mtime;
                collect(&mut report, &dir, name.marker(), &stat, options).map_err(failed)?;
            }
            _ => {}
        }
    }
    Ok(report)
}

/// Removes one leftover, if it is old enough.
fn collect(report: &mut GcReport, dir: &OwnedFd, name: &str, stat: &Stat, options: &GcOptions) -> Result<(), Errno> {
    if !is_older(stat, options.min_age) {
        report.kept += 1;
        return Ok(());
    }
    if !options.dry_run {
        remove(dir, name)?;
    }
    report.removed += 1;
    report.bytes += stat.st_size as u64;
    Ok(())
}

/// Removes all objects and leftovers that carry our names, and the directory if nothing else is in it.
pub(super) fn clear(directory: &Directory) -> Result<()> {
    let Some(dir) = directory.reopen()? else { return Ok(()) };
    let mut outcome = Ok(());
    let listing = list(directory, &dir)?;
    for name in listing.names {
        interrupt::check()?;
        if let Err(cause) = unpublish(&dir, &name) {
            outcome = Err(Error::from_io("clear", directory.shown(name.object()), cause));
        }
    }
    for draft in listing.drafts {
        if let Err(cause) = remove(&dir, &draft) {
            outcome = Err(Error::from_io("clear", directory.shown(&draft), cause));
        }
    }
    // Last: while objects are there, they are counted.
    if let Err(cause) = usage::remove_count(&dir) {
        outcome = Err(Error::from_io("clear", directory.shown(usage::NAME), cause));
    }
    outcome?;
    match unlinkat(rustix::fs::CWD, directory.path(), AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT | Errno::NOTEMPTY | Errno::EXIST | Errno::BUSY | Errno::NOTDIR) => Ok(()),
        Err(cause) => Err(Error::from_io("remove the directory", directory.named(), cause)),
    }
}

/// What carries our names in a directory. Foreign files carry others.
struct Listing {
    /// Objects, whole or not.
    names: Vec<FileName>,
    /// What is, or was, being written where unnamed files cannot be had.
    drafts: Vec<String>,
}

fn list(directory: &Directory, dir: &OwnedFd) -> Result<Listing> {
    let failed = |cause| Error::from_io("list", directory.named(), cause);
    let (mut ids, mut drafts): (Vec<ObjectId>, Vec<String>) = (Vec::new(), Vec::new());
    for entry in Dir::read_from(dir).map_err(failed)? {
        let entry = match entry {
            Ok(entry) => entry,
            // The directory was removed while it was open: nothing is left in it.
            Err(Errno::NOENT) => break,
            Err(cause) => return Err(failed(cause)),
        };
        let Ok(name) = entry.file_name().to_str() else { continue };
        if !matches!(entry.file_type(), FileType::RegularFile | FileType::Unknown) {
            continue;
        }
        let is_uuid = |text: &str| ObjectId::from(text).as_uuid().is_some();
        match (name.strip_prefix(DRAFT), name.strip_suffix(".ready").unwrap_or(name)) {
            (Some(id), _) if is_uuid(id) => drafts.push(name.to_owned()),
            (_, id) if is_uuid(id) => ids.push(id.into()),
            _ => {}
        }
    }
    ids.sort();
    ids.dedup();
    Ok(Listing { names: ids.iter().map(FileName::of).collect::<Result<_>>()?, drafts })
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

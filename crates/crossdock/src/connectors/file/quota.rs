//! What a quota counts in a directory: every object, whoever put it. Where there is no quota, nothing is done here.

use std::os::fd::OwnedFd;

use rustix::fs::{Dir, FileType, Stat};
use rustix::io::Errno;

use super::directory::{Directory, FileName, MARKER, PublishError};
use super::publish::{How, unpublish};
use crate::error::{Error, Result};
use crate::interrupt;
use crate::posix::stat;
use crate::usage::{self, Holdings, Plan};

/// Up to this size, in bytes, others wait for a write: that is cheaper than a reservation.
const QUICK: usize = 16 << 10;

pub(super) struct Objects<'a> {
    directory: &'a Directory,
    dir: &'a OwnedFd,
}

/// Room for one object.
pub(super) type Room<'a> = usage::Room<'a, Objects<'a>>;

/// The bound of a directory, if there is one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quota(pub(super) Option<u64>);

impl Quota {
    /// # Errors
    /// `Full`, `TooLarge`; `Unavailable` where the count cannot be had.
    pub(super) fn reserve<'a>(
        self,
        directory: &'a Directory,
        dir: &'a OwnedFd,
        name: &'a FileName,
        size: usize,
        how: How,
    ) -> Result<Option<Room<'a>>> {
        let Some(bound) = self.0 else { return Ok(None) };
        let is_new = !how.is_set;
        let is_quick = is_new && !how.sync && size <= QUICK;
        let plan = Plan { name: name.object(), size: size as u64, is_new, is_quick };
        usage::reserve(Objects { directory, dir }, bound, plan).map(Some)
    }

    /// Whether a batch would fit now.
    ///
    /// # Errors
    /// As [`reserve`](Self::reserve).
    pub(super) fn require(self, directory: &Directory, sizes: impl Iterator<Item = u64> + Clone) -> Result<()> {
        let Some(bound) = self.0.filter(|_| sizes.clone().any(|size| size > 0)) else { return Ok(()) };
        directory.write_in(|dir| Ok(usage::require(Objects { directory, dir }, bound, sizes.clone())?))
    }

    /// Removes an object, so that it does not count any more: whole before the next one of that name is published, whose file
    /// would go with it. Whether it was there.
    pub(super) fn remove_object(self, directory: &Directory, dir: &OwnedFd, name: &FileName) -> Result<bool, Errno> {
        if self.0.is_none() {
            return unpublish(dir, name);
        }
        let mut was_there = false;
        usage::release(Objects { directory, dir }, || {
            let counted = if stat(dir, name.marker())?.is_some() { stat(dir, name.object())?.map(size) } else { None };
            was_there = unpublish(dir, name)?;
            Ok(counted)
        })?;
        Ok(was_there)
    }
}

/// Publishes an object by the last step, which makes it count where there is a quota.
pub(super) fn fill(
    room: Option<Room<'_>>,
    publish: impl FnOnce() -> Result<(), PublishError>,
) -> Result<(), PublishError> {
    match room {
        Some(room) => room.fill(publish),
        None => publish(),
    }
}

impl Holdings for Objects<'_> {
    fn directory(&self) -> &OwnedFd {
        self.dir
    }

    fn shown(&self, name: &str) -> String {
        self.directory.shown(name)
    }

    fn trusts(&self, stat: &Stat) -> bool {
        self.directory.trusts(stat)
    }

    fn size_of(&self, name: &str) -> Result<u64> {
        let failed = |cause| Error::from_io("examine", self.directory.shown(name), cause);
        let marker = stat(self.dir, &[name, MARKER].concat()).map_err(failed)?;
        let object = if marker.is_some() { stat(self.dir, name).map_err(failed)? } else { None };
        Ok(object.map_or(0, size))
    }

    fn each(&self, found: &mut dyn FnMut(&str, u64)) -> Result<()> {
        let failed = |cause| Error::from_io("list", self.directory.named(), cause);
        for entry in Dir::read_from(self.dir).map_err(failed)? {
            interrupt::check()?;
            let entry = match entry {
                Ok(entry) => entry,
                // The directory was removed while it was open: nothing is left in it.
                Err(Errno::NOENT) => break,
                Err(cause) => return Err(failed(cause)),
            };
            let Some(name) = entry.file_name().to_str().ok().and_then(|name| name.strip_suffix(MARKER)) else {
                continue;
            };
            if let Some(object) = stat(self.dir, name).map_err(failed)? {
                found(name, size(object));
            }
        }
        Ok(())
    }

    fn shows_changes(&self) -> bool {
        true
    }
}

/// What is no file is no object.
fn size(object: Stat) -> u64 {
    let is_file = FileType::from_raw_mode(object.st_mode) == FileType::RegularFile;
    if is_file { u64::try_from(object.st_size).unwrap_or(0) } else { 0 }
}

//! What a quota counts: every object in the directory, whoever put it. Where there is no quota, nothing is done here.
//!
//! Puts under a quota are files. What processes without one have put into slabs is counted with the next scan.

use std::os::fd::OwnedFd;

use rustix::fs::{Dir, FileType, Stat};
use rustix::io::Errno;

use super::directory::{Directory, Open, STATE, is_own};
use super::draft::Failure;
use super::header::LENGTH;
use super::name::Name;
use super::slab::{self, Defect, Map};
use crate::error::{Error, Result};
use crate::interrupt;
use crate::posix::{remove, stat};
use crate::usage::{self, Holdings, Plan};

/// Up to this size, in bytes, others wait for a write: that is cheaper than a reservation.
const QUICK: usize = 16 << 10;

pub(super) struct Objects<'a> {
    pub(super) directory: &'a Directory,
    pub(super) open: &'a Open,
}

type Slabs = (OwnedFd, Vec<(u64, u16)>);

impl Objects<'_> {
    /// The directory of state, and the makers and numbers of the slabs in it.
    fn slabs(&self) -> Result<Option<Slabs>> {
        let state = self.open.state().map_err(|cause| Error::from_io("examine", self.directory.shown(STATE), cause))?;
        let Some(state) = state else { return Ok(None) };
        let slabs = names(self.directory, &state)?.iter().filter_map(|name| slab::parse_file_name(name)).collect();
        Ok(Some((state, slabs)))
    }
}

/// Room for one object, if there is a bound.
pub(super) struct Room<'a>(Option<usage::Room<'a, Objects<'a>>>);

impl<'a> Room<'a> {
    /// # Errors
    /// `Full`, `TooLarge`; `Unavailable` where the count cannot be had.
    pub(super) fn reserve(
        bound: Option<u64>,
        objects: Objects<'a>,
        name: &'a Name,
        size: usize,
        is_new: bool,
    ) -> Result<Self> {
        let Some(bound) = bound else { return Ok(Self(None)) };
        let plan = Plan { name: name.as_str(), size: size as u64, is_new, is_quick: is_new && size < QUICK };
        Ok(Self(Some(usage::reserve(objects, bound, plan)?)))
    }

    /// Publishes an object by the last step, which makes it count.
    pub(super) fn fill(self, publish: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
        match self.0 {
            Some(room) => room.fill(publish),
            None => publish(),
        }
    }
}

/// Removes an object, so that it does not count any more. Whether it was there.
pub(super) fn remove_object(bound: Option<u64>, objects: Objects<'_>, name: &Name) -> Result<bool, Errno> {
    let dir = &objects.open.fd;
    if bound.is_none() {
        return remove(dir, name.as_str());
    }
    usage::release(objects, || {
        let size = stat(dir, name.as_str())?.map_or(0, size);
        Ok(remove(dir, name.as_str())?.then_some(size))
    })
}

impl Holdings for Objects<'_> {
    fn directory(&self) -> &OwnedFd {
        &self.open.fd
    }

    fn shown(&self, name: &str) -> String {
        self.directory.shown(name)
    }

    fn trusts(&self, stat: &Stat) -> bool {
        is_own(stat)
    }

    fn size_of(&self, name: &str) -> Result<u64> {
        let found = stat(&self.open.fd, name);
        Ok(found.map_err(|cause| Error::from_io("examine", self.directory.shown(name), cause))?.map_or(0, size))
    }

    fn each(&self, found: &mut dyn FnMut(&str, u64)) -> Result<()> {
        for name in names(self.directory, &self.open.fd)? {
            interrupt::check()?;
            if Name::parse(&name).is_some() {
                found(&name, self.size_of(&name)?);
            }
        }
        let Some((state, slabs)) = self.slabs()? else { return Ok(()) };
        for (maker, number) in slabs {
            interrupt::check()?;
            match Map::open(&state, maker, number) {
                Ok(Some(map)) => found(&slab::file_name(maker, number), map.live_bytes()),
                Ok(None) | Err(Defect::NoSlab | Defect::Unfinished) => {}
                Err(Defect::Io(cause)) => return Err(Error::from_io("examine", self.directory.shown(STATE), cause)),
            }
        }
        Ok(())
    }

    fn shows_changes(&self) -> bool {
        self.slabs().is_ok_and(|slabs| slabs.is_none_or(|(_, slabs)| slabs.is_empty()))
    }
}

/// The bytes of the object in a file. What is no file is no object.
fn size(file: Stat) -> u64 {
    let is_file = FileType::from_raw_mode(file.st_mode) == FileType::RegularFile;
    if is_file { u64::try_from(file.st_size).unwrap_or(0).saturating_sub(LENGTH as u64) } else { 0 }
}

/// The names in a directory.
pub(super) fn names(directory: &Directory, dir: &OwnedFd) -> Result<Vec<String>> {
    let failed = |cause| Error::from_io("list", directory.named(), cause);
    let mut names = Vec::new();
    for entry in Dir::read_from(dir).map_err(failed)? {
        match entry {
            Ok(entry) => names.extend(entry.file_name().to_str().ok().map(str::to_owned)),
            // The directory was removed while it was open: nothing is left in it.
            Err(Errno::NOENT) => break,
            Err(cause) => return Err(failed(cause)),
        }
    }
    Ok(names)
}

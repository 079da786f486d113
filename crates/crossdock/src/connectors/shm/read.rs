//! Reading an object: found, checked, then read where it is small, else mapped.

use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use bytes::Bytes;
use rustix::buffer::spare_capacity;
use rustix::fs::{FileType, Mode, OFlags, Stat, fstat, openat};
use rustix::io::{Errno, pread};

use super::directory::{Directory, Open, is_own};
use super::header::{Header, LENGTH};
use super::name::Name;
use crate::error::{Error, ErrorKind, Result};
use crate::interrupt;
use crate::key::ObjectKey;
use crate::options::Integrity;
use crate::posix::{map, stat};

/// Up to this size, in bytes, an object is read. A map costs 5 µs more for 10 bytes (its page faults and its end), as much
/// as the copy at 256 KiB, and from 128 KiB on memory for a copy comes as new pages too.
const READ: usize = 128 << 10;
/// How much is read at a time, in bytes: in between, a call can be interrupted.
const PART: usize = 8 << 20;
/// How often a file is looked up again whose memory is just being taken for another object.
const ATTEMPTS: usize = 1_000;

/// The object, or `None`.
pub(super) fn read(directory: &Directory, key: &ObjectKey, integrity: Integrity) -> Result<Option<Bytes>> {
    let Some(found) = find(directory, key)? else { return Ok(None) };
    let whole = if found.size <= READ {
        let whole = found.copy()?;
        if !found.is_ours(whole.first_chunk())? {
            return Ok(None);
        }
        whole
    } else {
        if !found.has_our_header()? {
            return Ok(None);
        }
        map(&found.file, found.file_size()).map_err(|cause| found.unreadable(cause))?
    };
    let object = whole.slice(LENGTH..);
    key.verify(&object, integrity)?;
    Ok(Some(object))
}

/// The object, read into memory of the caller's, which is filled whole.
#[expect(unsafe_code, reason = "looking at memory that was filled")]
pub(super) fn read_into<M: AsMut<[MaybeUninit<u8>]>>(
    directory: &Directory,
    key: &ObjectKey,
    integrity: Integrity,
    allocate: impl FnOnce(usize) -> Result<M>,
) -> Result<Option<M>> {
    let Some(found) = find(directory, key)? else { return Ok(None) };
    if !found.has_our_header()? {
        return Ok(None);
    }
    key.verify_size(found.size as u64)?;
    let mut memory = allocate(found.size)?;
    let part = memory.as_mut().get_mut(..found.size).ok_or_else(|| Error::too_little_memory(found.size))?;
    found.fill(part)?;
    // SAFETY: `fill` has written all of `part`.
    key.verify(unsafe { part.assume_init_ref() }, integrity)?;
    Ok(Some(memory))
}

/// Whether the object is there.
pub(super) fn exists(directory: &Directory, key: &ObjectKey) -> Result<bool> {
    let found = look(directory, |open| {
        let name = Name::of(&key.id, open.place)?;
        let found = stat(&open.fd, name.as_str());
        found.map_err(|cause| Error::from_io("examine", directory.shown(name.as_str()), cause))
    });
    Ok(found?.is_some_and(|stat| is_file(&stat) && stat.st_size >= LENGTH as i64))
}

/// Whether the file of that name, if there is one, is a whole object: a writer that was killed may have left a part.
pub(super) fn is_whole(directory: &Directory, open: &Arc<Open>, name: &Name) -> Result<bool> {
    let Some(found) = Found::open(directory, open, *name)? else { return Ok(true) };
    Ok(found.agrees(found.read_header()?.as_ref()))
}

/// What is missing may only be missing in a directory that was removed.
pub(super) fn look<T>(directory: &Directory, look: impl Fn(&Arc<Open>) -> Result<Option<T>>) -> Result<Option<T>> {
    let open = directory.open()?;
    match look(&open)? {
        None if open.is_gone() => directory.reopen()?.map_or(Ok(None), |open| look(&open)),
        found => Ok(found),
    }
}

fn find<'a>(directory: &'a Directory, key: &ObjectKey) -> Result<Option<Found<'a>>> {
    look(directory, |open| Found::open(directory, open, Name::of(&key.id, open.place)?))
}

/// A file that was there under the name of an object. Whose bytes are in it now, only its header says.
struct Found<'a> {
    directory: &'a Directory,
    open: Arc<Open>,
    name: Name,
    file: OwnedFd,
    stat: Stat,
    /// The bytes of the object, if it is one.
    size: usize,
}

impl<'a> Found<'a> {
    /// Follows no link, waits for no FIFO.
    fn open(directory: &'a Directory, open: &Arc<Open>, name: Name) -> Result<Option<Self>> {
        let failed = |cause| Error::from_io("read", directory.shown(name.as_str()), cause);
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let mut attempts = 0;
        let file = loop {
            match openat(&open.fd, name.as_str(), flags, Mode::empty()) {
                Ok(file) => break file,
                Err(Errno::NOENT) => return Ok(None),
                // Leased: its object was evicted, and its name is gone.
                Err(Errno::WOULDBLOCK) if attempts < ATTEMPTS => {
                    attempts += 1;
                    std::thread::yield_now();
                }
                Err(Errno::LOOP | Errno::NXIO) => return Err(not_an_object(directory, &name)),
                Err(cause) => return Err(failed(cause)),
            }
        };
        let stat = fstat(&file).map_err(failed)?;
        if !is_file(&stat) || !is_own(&stat) {
            return Err(not_an_object(directory, &name));
        }
        let size = usize::try_from(stat.st_size).unwrap_or(0).saturating_sub(LENGTH);
        Ok(Some(Self { directory, open: open.clone(), name, file, stat, size }))
    }

    fn file_size(&self) -> u64 {
        u64::try_from(self.stat.st_size).unwrap_or(0)
    }

    fn has_our_header(&self) -> Result<bool> {
        self.is_ours(self.read_header()?.as_ref())
    }

    fn read_header(&self) -> Result<Option<[u8; LENGTH]>> {
        let mut header = [0; LENGTH];
        let read = pread(&self.file, &mut header, 0).map_err(|cause| self.unreadable(cause))?;
        Ok((read == LENGTH).then_some(header))
    }

    /// Whether the file has the object that it was looked up for. `false` if that was evicted meanwhile.
    ///
    /// # Errors
    /// `Corrupt` if it still stands under the object's name; `Unavailable` if that was set again at this moment.
    fn is_ours(&self, header: Option<&[u8; LENGTH]>) -> Result<bool> {
        if self.agrees(header) {
            return Ok(true);
        }
        let now = stat(&self.open.fd, self.name.as_str()).map_err(|cause| self.unreadable(cause))?;
        match now {
            Some(now) if now.st_ino != self.stat.st_ino => Ok(false),
            Some(now) if now.st_size != self.stat.st_size => Err(self.changed()),
            Some(_) => Err(self.damaged()),
            None => Ok(false),
        }
    }

    fn agrees(&self, header: Option<&[u8; LENGTH]>) -> bool {
        let header = header.and_then(Header::from_bytes);
        header.is_some_and(|header| header.id == *self.name.as_bytes() && header.file_size() == self.file_size())
    }

    fn changed(&self) -> Error {
        let message = format!(
            "{} was evicted and set again while it was read; try again",
            self.directory.shown(self.name.as_str())
        );
        Error::new(ErrorKind::Unavailable, message)
    }

    fn damaged(&self) -> Error {
        let message = format!(
            "{} is not the whole object that was put: somebody has changed it; evict it and put it again",
            self.directory.shown(self.name.as_str())
        );
        Error::new(ErrorKind::Corrupt, message)
    }

    fn unreadable(&self, cause: impl Into<std::io::Error>) -> Error {
        Error::from_io("read", self.directory.shown(self.name.as_str()), cause)
    }

    /// The whole file, in a buffer that fits: no growing, no zeroing, and for small objects one system call.
    fn copy(&self) -> Result<Bytes> {
        let size = LENGTH + self.size;
        let mut buffer = Vec::new();
        buffer.try_reserve_exact(size).map_err(|cause| self.unreadable(cause))?;
        while buffer.len() < size {
            let start = buffer.len() as u64;
            match pread(&self.file, spare_capacity(&mut buffer), start) {
                Ok(0) => break,
                Ok(_) | Err(Errno::INTR) => {}
                Err(cause) => return Err(self.unreadable(cause)),
            }
        }
        // The file became shorter, or longer and so another's: its header says so.
        buffer.truncate(size);
        Ok(buffer.into())
    }

    /// # Errors
    /// `Corrupt` if the file became shorter.
    fn fill(&self, memory: &mut [MaybeUninit<u8>]) -> Result<()> {
        let mut filled = 0;
        while filled < memory.len() {
            interrupt::check()?;
            let end = memory.len().min(filled + PART);
            match pread(&self.file, &mut memory[filled..end], (LENGTH + filled) as u64) {
                Ok(([], _)) => return Err(self.damaged()),
                Ok((read, _)) => filled += read.len(),
                Err(Errno::INTR) => {}
                Err(cause) => return Err(self.unreadable(cause)),
            }
        }
        Ok(())
    }
}

fn is_file(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
}

fn not_an_object(directory: &Directory, name: &Name) -> Error {
    let message = format!("{} is no file of this user, so no object; remove it", directory.shown(name.as_str()));
    Error::new(ErrorKind::InvalidKey, message)
}

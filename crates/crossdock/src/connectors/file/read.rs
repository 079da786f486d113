//! Reading an object: found, checked, copied or mapped.

use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;

use bytes::Bytes;
use rustix::fs::{Access, AtFlags, FileType, Mode, OFlags, Stat, accessat, fstat, openat, statat};
use rustix::io::Errno;

use super::PART;
use super::directory::{Directory, FileName};
use super::publish::wait_for_writer;
use crate::error::{Error, ErrorKind, Result};
use crate::interrupt;
use crate::key::{ObjectId, ObjectKey};
use crate::memory::Buffer;
use crate::options::Integrity;
use crate::posix::map;

/// The object, or `None`. Bytes are handed out only after they were checked.
pub(super) fn read(directory: &Directory, key: &ObjectKey, view: bool, integrity: Integrity) -> Result<Option<Bytes>> {
    let name = FileName::of(&key.id)?;
    find(directory, &name, key.proves(integrity), |file, size| {
        key.verify_size(size)?;
        let object = if view {
            map(file, size).map_err(|cause| unreadable(directory, name.object(), cause))?
        } else {
            copy(directory, &name, file, size)?
        };
        key.verify(&object, integrity)?;
        Ok(object)
    })
}

/// The object, read into memory of the caller's, which is filled whole.
#[expect(unsafe_code, reason = "looking at memory that was filled")]
pub(super) fn read_into<M: AsMut<[MaybeUninit<u8>]>>(
    directory: &Directory,
    key: &ObjectKey,
    integrity: Integrity,
    allocate: impl FnOnce(usize) -> Result<M>,
) -> Result<Option<M>> {
    let name = FileName::of(&key.id)?;
    find(directory, &name, key.proves(integrity), |file, size| {
        key.verify_size(size)?;
        let size = in_memory(directory, &name, size)?;
        let mut memory = allocate(size)?;
        let part = memory.as_mut().get_mut(..size).ok_or_else(|| Error::too_little_memory(size))?;
        if fill(directory, &name, file, part)? < size {
            let message = format!("{} became shorter while it was read; read it again", directory.shown(name.object()));
            return Err(Error::new(ErrorKind::Corrupt, message));
        }
        // SAFETY: `fill` has written `size` bytes, which is the length of `part`.
        key.verify(unsafe { part.assume_init_ref() }, integrity)?;
        Ok(memory)
    })
}

/// Whether the object is there.
pub(super) fn exists(directory: &Directory, name: &FileName) -> Result<bool> {
    let found = look_twice(directory, |dir| {
        let is_file = |stat: Stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        let whole = is_marked(directory, dir, name)? && look(directory, dir, name.object())?.is_some_and(is_file);
        Ok(whole.then_some(()))
    });
    found.map(|found| found.is_some())
}

/// For a key that is set once more: the file that is there, locked, whose bytes must be the same. `None` if its writer has
/// taken it back.
pub(super) fn require_same(
    directory: &Directory,
    id: &ObjectId,
    name: &FileName,
    object: &[u8],
) -> Result<Option<OwnedFd>> {
    let failed = |cause: std::io::Error| unreadable(directory, name.object(), cause);
    let Some(file) = open(directory, &*directory.fd()?, name)? else { return Ok(None) };
    if !wait_for_writer(&file).map_err(|error| directory.not_published(error))? {
        let message =
            format!("another process has been writing {} for too long; try again", directory.shown(name.object()));
        return Err(Error::new(ErrorKind::Unavailable, message));
    }
    if fstat(&file).map_err(|cause| failed(cause.into()))?.st_nlink == 0 {
        return Ok(None);
    }
    let size = size_of_regular(directory, name, &file)?;
    if size != object.len() as u64 || copy(directory, name, &file, size)? != object {
        return Err(Error::already_exists(id));
    }
    Ok(Some(file))
}

/// Reads an object, if there is one: opens its file, asks for its marker, and only then looks at the file. Whoever removed
/// the marker in between has evicted the object, and whoever set it had written all of the file before.
///
/// Where the key proves the bytes, `read` finds out whether they are the object's, and the marker, a fifth of a small get,
/// is asked for only if they are not. So an object is still had from its file while somebody evicts it, or sets it.
fn find<T>(
    directory: &Directory,
    name: &FileName,
    is_proven: bool,
    read: impl FnOnce(&OwnedFd, u64) -> Result<T>,
) -> Result<Option<T>> {
    let found = look_twice(directory, |dir| {
        let Some(file) = open(directory, dir, name)? else { return Ok(None) };
        if !is_proven && !is_marked(directory, dir, name)? {
            return Ok(None);
        }
        Ok(Some(file))
    })?;
    let Some(file) = found else { return Ok(None) };
    match size_of_regular(directory, name, &file).and_then(|size| read(&file, size)) {
        Ok(object) => Ok(Some(object)),
        Err(error) if is_proven && error.kind() == ErrorKind::Corrupt => {
            let marked = look_twice(directory, |dir| Ok(is_marked(directory, dir, name)?.then_some(())))?;
            marked.map_or(Ok(None), |()| Err(error))
        }
        Err(error) => Err(error),
    }
}

/// What is missing may only be missing in what this process remembers of the directory.
fn look_twice<T>(directory: &Directory, look: impl Fn(&OwnedFd) -> Result<Option<T>>) -> Result<Option<T>> {
    match look(&*directory.fd()?)? {
        Some(found) => Ok(Some(found)),
        None => directory.reopen()?.map_or(Ok(None), |dir| look(&dir)),
    }
}

fn unreadable(directory: &Directory, name: &str, cause: impl Into<std::io::Error>) -> Error {
    Error::from_io("read", directory.shown(name), cause)
}

/// Asked of each object that is read, and the cheapest way to ask.
fn is_marked(directory: &Directory, dir: &OwnedFd, name: &FileName) -> Result<bool> {
    match accessat(dir, name.marker(), Access::EXISTS, AtFlags::empty()) {
        Ok(()) => Ok(true),
        Err(Errno::NOENT) => Ok(false),
        Err(cause) => Err(unreadable(directory, name.marker(), cause)),
    }
}

fn look(directory: &Directory, dir: &OwnedFd, name: &str) -> Result<Option<Stat>> {
    match statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(cause) => Err(unreadable(directory, name, cause)),
    }
}

/// Follows no link, waits for no FIFO.
fn open(directory: &Directory, dir: &OwnedFd, name: &FileName) -> Result<Option<OwnedFd>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    match openat(dir, name.object(), flags, Mode::empty()) {
        Ok(file) => Ok(Some(file)),
        Err(Errno::NOENT) => Ok(None),
        Err(Errno::LOOP | Errno::NXIO) => Err(not_an_object(directory, name)),
        Err(cause) => Err(unreadable(directory, name.object(), cause)),
    }
}

fn size_of_regular(directory: &Directory, name: &FileName, file: &OwnedFd) -> Result<u64> {
    let stat = fstat(file).map_err(|cause| unreadable(directory, name.object(), cause))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(not_an_object(directory, name));
    }
    directory.refuse_stranger(name.object(), &stat)?;
    Ok(stat.st_size as u64)
}

fn not_an_object(directory: &Directory, name: &FileName) -> Error {
    let message = format!("{} is not a regular file, so no object; remove it", directory.shown(name.object()));
    Error::new(ErrorKind::InvalidKey, message)
}

/// Reads into a buffer that fits.
#[expect(unsafe_code, reason = "the length of a buffer that was filled")]
fn copy(directory: &Directory, name: &FileName, file: &OwnedFd, size: u64) -> Result<Bytes> {
    let mut buffer = Buffer::of(in_memory(directory, name, size)?)?;
    let filled = fill(directory, name, file, buffer.as_mut())?;
    // SAFETY: `fill` has written that many bytes to the beginning of the buffer.
    Ok(unsafe { buffer.filled_up_to(filled) })
}

fn in_memory(directory: &Directory, name: &FileName, size: u64) -> Result<usize> {
    usize::try_from(size).map_err(|_| unreadable(directory, name.object(), std::io::ErrorKind::FileTooLarge))
}

/// Reads until the memory is full or the file at its end. How many bytes of the memory are filled, from its beginning.
fn fill(directory: &Directory, name: &FileName, file: &OwnedFd, memory: &mut [MaybeUninit<u8>]) -> Result<usize> {
    let mut filled = 0;
    while filled < memory.len() {
        // What is read at once is not given up: asking costs more than its checksum.
        if memory.len() > PART {
            interrupt::check()?;
        }
        let end = memory.len().min(filled + PART);
        match rustix::io::read(file, &mut memory[filled..end]) {
            Ok(([], _)) => break,
            Ok((read, _)) => filled += read.len(),
            Err(Errno::INTR) => {}
            Err(cause) => return Err(unreadable(directory, name.object(), cause)),
        }
    }
    Ok(filled)
}

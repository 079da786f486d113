//! Reading an object: found, checked, copied or mapped.

use std::os::fd::OwnedFd;

use bytes::Bytes;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, fstat, openat, statat};
use rustix::io::Errno;

use super::directory::{Directory, FileName};
use super::publish::wait_for_writer;
use crate::error::{Error, ErrorKind, Result};
use crate::key::{ObjectId, ObjectKey};
use crate::options::Integrity;

/// The object, or `None`. Bytes are handed out only after they were checked.
pub(super) fn read(directory: &Directory, key: &ObjectKey, view: bool, integrity: Integrity) -> Result<Option<Bytes>> {
    let name = FileName::of(&key.id)?;
    let Some((file, size)) = find(directory, &name)? else { return Ok(None) };
    key.verify_size(size)?;
    let failed = |cause| unreadable(directory, name.object(), cause);
    let object = if view { map(&file, size).map_err(failed)? } else { copy(&file, size).map_err(failed)? };
    key.verify(&object, integrity)?;
    Ok(Some(object))
}

/// Whether the object is there.
pub(super) fn exists(directory: &Directory, name: &FileName) -> Result<bool> {
    let found = look_twice(directory, |dir| {
        let is_file = |stat: Stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        let whole =
            look(directory, dir, name.marker())?.is_some() && look(directory, dir, name.object())?.is_some_and(is_file);
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
    if !wait_for_writer(&file).map_err(|cause| failed(cause.into()))? {
        let message =
            format!("another process has been writing {} for too long; try again", directory.shown(name.object()));
        return Err(Error::new(ErrorKind::Unavailable, message));
    }
    if fstat(&file).map_err(|cause| failed(cause.into()))?.st_nlink == 0 {
        return Ok(None);
    }
    let size = size_of_regular(directory, name, &file)?;
    if size != object.len() as u64 || copy(&file, size).map_err(failed)? != object {
        return Err(Error::already_exists(id));
    }
    Ok(Some(file))
}

/// Opens the file, asks for the marker, and looks at the file's size only then: whoever removed the marker in between
/// has evicted the object, and whoever set it had written all of the file before.
fn find(directory: &Directory, name: &FileName) -> Result<Option<(OwnedFd, u64)>> {
    look_twice(directory, |dir| {
        let Some(file) = open(directory, dir, name)? else { return Ok(None) };
        if look(directory, dir, name.marker())?.is_none() {
            return Ok(None);
        }
        let size = size_of_regular(directory, name, &file)?;
        Ok(Some((file, size)))
    })
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

/// Reads to the end, into a buffer that fits: no growing, no zeroing.
fn copy(file: &OwnedFd, size: u64) -> std::io::Result<Bytes> {
    let size = usize::try_from(size).map_err(|_| std::io::ErrorKind::FileTooLarge)?;
    let mut buffer = Vec::new();
    buffer.try_reserve_exact(size)?;
    while buffer.len() < size {
        match rustix::io::read(file, rustix::buffer::spare_capacity(&mut buffer)) {
            Ok(0) => break,
            Ok(_) | Err(Errno::INTR) => {}
            Err(cause) => return Err(cause.into()),
        }
    }
    Ok(buffer.into())
}

#[expect(unsafe_code, reason = "mapping a file")]
fn map(file: &OwnedFd, size: u64) -> std::io::Result<Bytes> {
    if size == 0 {
        return Ok(Bytes::new());
    }
    let size = usize::try_from(size).map_err(|_| std::io::ErrorKind::FileTooLarge)?;
    // SAFETY: nothing that crossdock publishes is changed or truncated afterwards, and the file belongs to a user who
    // is trusted (`refuse_stranger`). The map is read-only and private to nobody: it lives as long as the `Bytes`.
    let map = unsafe { memmap2::MmapOptions::new().len(size).map(file)? };
    Ok(Bytes::from_owner(map))
}

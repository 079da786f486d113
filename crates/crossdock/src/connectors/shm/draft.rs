//! A file below the directory of state: what is being written, and what is kept to be written again.
//!
//! An object's file gets its name as a further link, so that the draft's own name can stay. Whoever evicts the object takes
//! the object's name away; then the file has one link left, and nobody finds it any more. Its bytes may be written again
//! once nobody reads them either ([`Draft::claim`]):
//!
//! 1. The file has one link left, and that is the draft's: nobody who looks for an object from now on comes upon it.
//! 2. Wipe the header: whole, so that whoever reads it while the next one is written takes no part of both for one.
//! 3. Ask the kernel for a write lease. It grants one only where no open file leads to this one but our own, in whatever
//!    process; and a map counts as an open file, until the last process that inherited it has ended or dropped it. Who had
//!    found the name before 1, but opens the file only after 3, sees by the header that the object is gone.
//! 4. Give the lease back at once.
//! 5. Write the next object, and its header last: it may have the same name, set once more after it was evicted.
//!
//! Views of this process are made through open files of their own, as everywhere else, so the kernel sees them too.

use std::io::IoSlice;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

use memmap2::{Advice, MmapMut, MmapOptions};
use rustix::fs::{AtFlags, FallocateFlags, Mode, OFlags, Stat, fallocate, fstat, ftruncate, linkat, openat};
use rustix::io::{Errno, pwritev};

use super::directory::Open;
use super::header::{Header, LENGTH};
use super::name::Name;
use super::owner::Owner;
use crate::error::Error;
use crate::interrupt;
use crate::posix::{remove, stat};

/// How much is written at a time, in bytes: in between, a call can be interrupted.
const PART: usize = 8 << 20;

/// From this size on, in bytes, an object is written past the processor's caches: it would not stay in them, and each line of
/// the target would be read first.
const PAST_CACHES: usize = 32 << 20;

/// Why nothing was written.
pub(super) enum Failure {
    /// A system call failed, while doing that.
    Io(&'static str, Errno),
    /// There is no room for it, or the caller does not want it any more.
    Other(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

/// Turns the error of a system call into ours, with what was being done.
pub(super) fn during(action: &'static str) -> impl Fn(Errno) -> Failure {
    move |cause| Failure::Io(action, cause)
}

/// What became of a file that was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// An object is in it.
    Live,
    /// Its object was evicted.
    Evicted,
    /// Somebody has removed its name, so that it cannot get another.
    Lost,
}

pub(super) struct Draft {
    state: Arc<OwnedFd>,
    name: String,
    file: OwnedFd,
    /// The bytes of the file.
    size: u64,
    /// The file, once it was written again. It may be longer.
    map: Option<MmapMut>,
}

impl Draft {
    /// Writes a new file.
    pub(super) fn write(owner: &Owner, header: &Header, object: &[u8]) -> Result<Self, Failure> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let name = owner.next_draft();
        let file = openat(&*owner.state, &name, flags, Mode::RUSR | Mode::WUSR).map_err(during("make"))?;
        let draft = Self { state: owner.state.clone(), name, file, size: header.file_size(), map: None };
        draft.reserve(0)?;
        write_all(&draft.file, 0, &header.to_bytes(), object)?;
        Ok(draft)
    }

    /// Has the file system find the room from `start` on, so that no later write can fail for want of it.
    fn reserve(&self, start: u64) -> Result<(), Failure> {
        loop {
            match fallocate(&self.file, FallocateFlags::empty(), start, self.size - start) {
                // Then the write finds it, or fails.
                Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => return Ok(()),
                Err(Errno::INTR) => interrupt::check()?,
                Err(cause) => return Err(Failure::Io("reserve space for", cause)),
            }
        }
    }

    /// The bytes of the file.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Step 1 is that it is evicted.
    pub(super) fn state(&self) -> State {
        match fstat(&self.file) {
            Ok(file) if file.st_nlink > 1 => State::Live,
            Ok(file) if file.st_nlink == 1 && self.names(&file) => State::Evicted,
            _ => State::Lost,
        }
    }

    /// Whether the name that is left is the draft's own, not the object's.
    fn names(&self, file: &Stat) -> bool {
        stat(&self.state, &self.name).is_ok_and(|named| named.is_some_and(|named| named.st_ino == file.st_ino))
    }

    /// Whether the file, whose object was [evicted](State::Evicted), may be written again: steps 2 to 4.
    pub(super) fn claim(&mut self) -> bool {
        self.write_header(&[0; LENGTH]).is_ok() && nobody_else_has(&self.file)
    }

    #[expect(unsafe_code, reason = "writing to a map")]
    fn write_header(&mut self, header: &[u8; LENGTH]) -> Result<(), Failure> {
        let Some(map) = &mut self.map else { return write_all(&self.file, 0, header, &[]) };
        // SAFETY: a file, and so its map, has `LENGTH` bytes at least. Others only look at them through the kernel, and take no
        // mixture for a header: one that is written was wiped before.
        unsafe { map.as_mut_ptr().copy_from_nonoverlapping(header.as_ptr(), LENGTH) };
        // Before the lease is asked for, or the file gets its name.
        fence(Ordering::SeqCst);
        Ok(())
    }

    /// Writes another object over what is there, once the file is claimed: step 5.
    pub(super) fn overwrite(&mut self, header: &Header, object: &[u8]) -> Result<(), Failure> {
        self.resize(header.file_size())?;
        if !self.copy_into_map(object)? {
            write_all(&self.file, LENGTH, &[], object)?;
        }
        self.write_header(&header.to_bytes())
    }

    /// `false` where the file cannot be mapped.
    #[expect(unsafe_code, reason = "writing to a map that nobody else looks at")]
    fn copy_into_map(&mut self, object: &[u8]) -> Result<bool, Failure> {
        let Some(map) = self.map() else { return Ok(false) };
        let start = map.as_mut_ptr();
        for (index, part) in object.chunks(PART).enumerate() {
            interrupt::check()?;
            // SAFETY: the map is at least as long as the file, which has `LENGTH` bytes more than `object` (`resize`), all of
            // them reserved. It is ours alone but for its header: nobody else has the file open or mapped (`claim`), and who
            // opens it later looks no further than the header. `part` is in other memory, as views of the file are maps that
            // `claim` would have noticed.
            // A map begins with a page, so that this is aligned as `LENGTH` and `PART` are.
            unsafe {
                let target = start.add(LENGTH + index * PART);
                if object.len() < PAST_CACHES {
                    target.copy_from_nonoverlapping(part.as_ptr(), part.len());
                } else {
                    copy_past_caches(part, target);
                }
            }
        }
        Ok(true)
    }

    fn resize(&mut self, size: u64) -> Result<(), Failure> {
        let before = std::mem::replace(&mut self.size, size);
        if size < before {
            ftruncate(&self.file, size).map_err(during("shorten"))?;
        } else if size > before {
            self.reserve(before)?;
        }
        Ok(())
    }

    /// The file in memory, with some room to grow. `None` where it cannot be had. Forked children do not inherit it.
    #[expect(unsafe_code, reason = "mapping a file of our own")]
    fn map(&mut self) -> Option<&mut MmapMut> {
        let size = usize::try_from(self.size).ok()?;
        if self.map.as_ref().is_none_or(|map| map.len() < size) {
            // SAFETY: bytes of the map are only written, through its pointer, by `overwrite`. Nobody makes the file shorter but
            // this draft: the directory is its user's alone.
            let map = unsafe { MmapOptions::new().len(size + size / 4).populate().map_mut(&self.file) }.ok()?;
            map.advise(Advice::DontFork).ok()?;
            self.map = Some(map);
        }
        self.map.as_mut()
    }

    /// Gives the file the name of its object, by which it is found. `false` if that name is taken.
    pub(super) fn publish(&self, open: &Open, name: &Name) -> Result<bool, Failure> {
        match linkat(&*self.state, &*self.name, &open.fd, name.as_str(), AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::EXIST) => Ok(false),
            Err(cause) => Err(Failure::Io("name", cause)),
        }
    }
}

impl Drop for Draft {
    /// What is an object keeps that name.
    fn drop(&mut self) {
        let (Ok(_) | Err(_)) = remove(&self.state, &self.name);
    }
}

/// Writes a small object under its name at once: nobody else knows it yet, and the header tells a part from the whole.
pub(super) fn write_named(open: &Open, name: &Name, header: &Header, object: &[u8]) -> Result<(), Failure> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let file = openat(&open.fd, name.as_str(), flags, Mode::RUSR | Mode::WUSR).map_err(during("make"))?;
    write_all(&file, 0, &header.to_bytes(), object).inspect_err(|_| {
        let (Ok(_) | Err(_)) = remove(&open.fd, name.as_str());
    })
}

/// Copies without a detour through the caches.
///
/// # Safety
/// At `to`, which is aligned to 16 bytes, there is room for as many bytes as `from` has, in other memory, which nobody else
/// looks at.
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "stores that the standard library does not have")]
unsafe fn copy_past_caches(from: &[u8], to: *mut u8) {
    use std::arch::x86_64::{__m128i, _mm_loadu_si128, _mm_sfence, _mm_stream_si128};
    const WORD: usize = size_of::<__m128i>();
    let (words, rest) = from.as_chunks::<WORD>();
    // SAFETY: every word and the rest go to their places in the target, which is as the caller promises. The fence lets nobody
    // see what is written later, the header above all, before these stores.
    unsafe {
        for (index, word) in words.iter().enumerate() {
            _mm_stream_si128(to.add(index * WORD).cast(), _mm_loadu_si128(word.as_ptr().cast()));
        }
        _mm_sfence();
        to.add(words.len() * WORD).copy_from_nonoverlapping(rest.as_ptr(), rest.len());
    }
}

/// # Safety
/// As above.
#[cfg(not(target_arch = "x86_64"))]
#[expect(unsafe_code, reason = "a copy to a pointer")]
unsafe fn copy_past_caches(from: &[u8], to: *mut u8) {
    // SAFETY: as the caller promises.
    unsafe { to.copy_from_nonoverlapping(from.as_ptr(), from.len()) };
}

/// Writes both, one behind the other, from `offset` on.
fn write_all(file: &OwnedFd, offset: usize, head: &[u8], body: &[u8]) -> Result<(), Failure> {
    let mut done = 0;
    while done < head.len() + body.len() {
        interrupt::check()?;
        let from = done.saturating_sub(head.len());
        let part = &body[from..body.len().min(from + PART)];
        let parts = [IoSlice::new(head.get(done..).unwrap_or_default()), IoSlice::new(part)];
        match pwritev(file, &parts, (offset + done) as u64) {
            Ok(0) => return Err(Failure::Io("write", Errno::NOSPC)),
            Ok(written) => done += written,
            Err(Errno::INTR) => {}
            Err(cause) => return Err(Failure::Io("write", cause)),
        }
    }
    Ok(())
}

/// Chooses the signal of a file's events: `F_SETSIG` of Linux, which the crate `libc` does not have.
const F_SETSIG: libc::c_int = 10;

/// Steps 3 and 4. Without leases, the answer is no.
#[expect(unsafe_code, reason = "rustix has no leases")]
fn nobody_else_has(file: &OwnedFd) -> bool {
    let command = |command, argument: libc::c_int| {
        // SAFETY: the descriptor is open, and these commands take a number.
        unsafe { libc::fcntl(file.as_raw_fd(), command, argument) == 0 }
    };
    // Who opens the file while it is leased has a signal sent to us, which by default would end the process; this one is
    // ignored. Giving a lease back forgets the choice.
    command(F_SETSIG, libc::SIGURG)
        && command(libc::F_SETLEASE, libc::F_WRLCK)
        && command(libc::F_SETLEASE, libc::F_UNLCK)
}

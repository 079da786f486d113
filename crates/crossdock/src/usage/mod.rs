//! How many bytes a directory holds, kept within a bound by all processes that write to it.
//!
//! They share one small file beside the objects, [`NAME`]. It has the count: the bytes of all objects, and of those that
//! are being written. One object is written so:
//!
//! 1. Lock the count. Where it is missing or old, take it anew by looking at every object.
//! 2. Is there no room, and may others have removed something since it was taken, take it anew. Still no room: refuse.
//! 3. Add the object's size. For a quick write the lock is kept until it is done; for any other the writer leaves a
//!    reservation, and unlocks. A reservation is one more lock, on as many bytes of the file as the object has, at a place
//!    that follows from its name: who takes the count anew finds it, and the kernel removes it when its writer is killed.
//! 4. Write the object. A name that others know may have changed its size meanwhile, so that its object is published and
//!    the count corrected under the lock.
//! 5. Drop the reservation. Where the write failed, subtract first, under the lock.
//!
//! Whatever makes an object disappear subtracts its size under the lock. Killed anywhere in between, a process leaves a
//! count that is too high, never too low, until it is taken anew. So does whoever removes an object without knowing of
//! the count; what such a one adds is noticed when the count is taken anew, at the latest when it is old.
//!
//! The file is opened for each call: a lock that a killed process held would otherwise live on in its forked children.
//! Where a file system has no locks, counts of two writers at once may get lost, and the bound be passed until the count is
//! old.

mod count;
mod lock;

use std::os::fd::OwnedFd;

use rustix::fs::{FileType, Stat};
use rustix::io::Errno;

use crate::error::{Error, Result};
use crate::posix::{remove, stat};

use count::Count;
pub(crate) use count::NAME;

/// The directory whose objects are counted.
pub(crate) trait Holdings {
    /// The directory, open.
    fn directory(&self) -> &OwnedFd;

    /// A file of this directory, for messages.
    fn shown(&self, name: &str) -> String;

    /// Whether the owner of a file can be trusted with the count.
    fn trusts(&self, stat: &Stat) -> bool;

    /// The bytes of one object; 0 where there is none.
    fn size_of(&self, name: &str) -> Result<u64>;

    /// Says every object's name, and its bytes.
    fn each(&self, found: &mut dyn FnMut(&str, u64)) -> Result<()>;

    /// Whether an object that appears or disappears changes the directory.
    fn shows_changes(&self) -> bool;
}

/// An object that is to be written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan<'a> {
    pub(crate) name: &'a str,
    pub(crate) size: u64,
    /// Nobody else knows the name.
    pub(crate) is_new: bool,
    /// It takes some microseconds, for which others can wait.
    pub(crate) is_quick: bool,
}

/// Room for one object, which is given back unless it is filled.
pub(crate) struct Room<'a, H: Holdings> {
    count: Count<H>,
    plan: Plan<'a>,
    bound: u64,
    /// What was added to the count.
    added: u64,
    is_filled: bool,
}

/// Steps 1 to 3.
///
/// # Errors
/// `Full`, `TooLarge`; `Unavailable` where the count cannot be had; `Interrupted`.
pub(crate) fn reserve<H: Holdings>(holdings: H, bound: u64, plan: Plan<'_>) -> Result<Room<'_, H>> {
    let count = Count::open(holdings)?;
    count.lock()?;
    let present = if plan.is_new { 0 } else { count.holdings().size_of(plan.name)? };
    let added = plan.size.saturating_sub(present);
    let (record, fits) = count.with_room(bound, added)?;
    if !fits {
        return Err(Error::over_quota(plan.size, record.used.saturating_sub(present), bound));
    }
    if !plan.is_quick {
        count.leave_reservation(plan.name, plan.size)?;
    }
    count.write_used(record.used.saturating_add(added))?;
    if !plan.is_quick {
        count.unlock();
    }
    Ok(Room { count, plan, bound, added, is_filled: false })
}

/// For a batch, before any of it is written: whether all of it would fit now.
///
/// # Errors
/// As [`reserve`], for the first object that would not.
pub(crate) fn require<H: Holdings>(holdings: H, bound: u64, sizes: impl Iterator<Item = u64> + Clone) -> Result<()> {
    let count = Count::open(holdings)?;
    count.lock()?;
    let (record, fits) = count.with_room(bound, sizes.clone().fold(0, u64::saturating_add))?;
    if fits {
        return Ok(());
    }
    let mut used = record.used;
    for size in sizes {
        if used.saturating_add(size) > bound {
            return Err(Error::over_quota(size, used, bound));
        }
        used += size;
    }
    Ok(())
}

/// Subtracts what `remove` has removed. Where the count cannot be had, the object is removed all the same: then the count
/// is too high until it is taken anew.
///
/// # Errors
/// What `remove` says.
pub(crate) fn release<H: Holdings, E>(holdings: H, remove: impl FnOnce() -> Result<Option<u64>, E>) -> Result<bool, E> {
    let count = Count::existing(holdings).ok().flatten().filter(|count| count.lock().is_ok());
    let removed = remove()?;
    if let (Some(count), Some(size)) = (&count, removed) {
        count.subtract(size);
    }
    Ok(removed.is_some())
}

/// Removes the count, with the objects. Whatever else has that name is foreign.
pub(crate) fn remove_count(dir: &OwnedFd) -> Result<(), Errno> {
    let is_file = |stat: Stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    if stat(dir, NAME)?.is_some_and(is_file) { remove(dir, NAME).map(drop) } else { Ok(()) }
}

impl<H: Holdings> Room<'_, H> {
    /// Makes the object count: `publish` is what makes it visible.
    ///
    /// # Errors
    /// What `publish` says, or why the count cannot be had any more. Then the room is given back.
    pub(crate) fn fill<E: From<Error>>(mut self, publish: impl FnOnce() -> Result<(), E>) -> Result<(), E> {
        if self.plan.is_new {
            publish()?;
        } else {
            self.count.lock()?;
            let corrected = self.corrected()?;
            publish()?;
            if let Some(used) = corrected {
                // It was counted before; what is wrong now is so until the count is taken anew.
                let (Ok(()) | Err(_)) = self.count.write_used(used);
            }
        }
        self.is_filled = true;
        Ok(())
    }

    /// The count with this object in place of what its name stands for by now. `None` if somebody removed the count.
    fn corrected(&self) -> Result<Option<u64>> {
        let present = self.count.holdings().size_of(self.plan.name)?;
        let Some(record) = self.count.read()? else { return Ok(None) };
        let used = record.used.saturating_add(self.plan.size).saturating_sub(self.added.saturating_add(present));
        // What it was to replace was evicted meanwhile, and others took that room.
        if used > self.bound && used > record.used {
            return Err(Error::over_quota(self.plan.size, used.saturating_sub(self.plan.size), self.bound));
        }
        Ok(Some(used))
    }
}

impl<H: Holdings> Drop for Room<'_, H> {
    fn drop(&mut self) {
        if !self.is_filled && self.added > 0 && self.count.lock().is_ok() {
            self.count.subtract(self.added);
        }
    }
}

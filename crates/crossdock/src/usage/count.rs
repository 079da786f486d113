//! The file that has the count, and how the count is taken anew.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::fs::{FileType, Mode, OFlags, fstat, openat};
use rustix::io::{Errno, pread, pwrite};

use super::Holdings;
use super::lock::{self, END, Span};
use crate::error::{Error, ErrorKind, Result};
use crate::interrupt;
use crate::key::ObjectId;

/// The name of the file.
pub(crate) const NAME: &str = ".crossdock-usage";

/// How the file begins.
const MAGIC: u64 = u64::from_le_bytes(*b"xdusage1");
/// The lock on the count.
const COUNT: Span = Span { start: 0, length: 1 };
/// Where reservations begin.
const RESERVATIONS: u64 = 1 << 16;

/// A count is taken anew after this time, and longer if that takes more than a hundredth of the time.
const OLD: Duration = Duration::from_secs(5);
const OLD_FACTOR: u64 = 100;
/// Of more objects than these, a count is taken anew before a put is refused for at most a tenth of the time.
const MANY: u64 = 5_000;
const REST_FACTOR: u64 = 10;
/// Two changes of a directory within this time may leave the same time in it.
const SETTLED: Duration = Duration::from_secs(1);
/// How long others may hold the lock: most of all somebody who takes the count of a large directory.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the file says. Times are nanoseconds, those of day since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Record {
    /// The bytes of all objects, and of those that are being written.
    pub(super) used: u64,
    /// The directory's time of change, if nothing has been counted since and whoever changes something will change it.
    unchanged: u64,
    /// When the count was taken, how long that took, and of how many objects.
    taken_at: u64,
    took: u64,
    objects: u64,
}

const FIELDS: usize = 6;

impl Record {
    fn to_bytes(self) -> [u8; FIELDS * 8] {
        let mut bytes = [0; FIELDS * 8];
        let fields = [MAGIC, self.used, self.unchanged, self.taken_at, self.took, self.objects];
        for (chunk, field) in bytes.chunks_exact_mut(8).zip(fields) {
            chunk.copy_from_slice(&field.to_le_bytes());
        }
        bytes
    }

    /// `None` where nothing has been written yet, or not reached the disk. `Err` where it is no count.
    fn from_bytes(bytes: &[u8]) -> Result<Option<Self>, ()> {
        let mut fields = [0; FIELDS];
        for (field, chunk) in fields.iter_mut().zip(bytes.chunks_exact(8)) {
            *field = chunk.try_into().map_or(0, u64::from_le_bytes);
        }
        let [magic, used, unchanged, taken_at, took, objects] = fields;
        match magic {
            MAGIC if bytes.len() == FIELDS * 8 => Ok(Some(Self { used, unchanged, taken_at, took, objects })),
            MAGIC => Ok(None),
            _ if bytes.iter().all(|byte| *byte == 0) => Ok(None),
            _ => Err(()),
        }
    }

    /// Clocks of two hosts may differ: what was taken in the future is as old as what was taken in the past.
    fn age(&self, now: u64) -> u64 {
        now.abs_diff(self.taken_at)
    }

    fn is_old(&self, now: u64) -> bool {
        self.age(now) >= nanoseconds(OLD).max(self.took.saturating_mul(OLD_FACTOR))
    }

    fn may_rest(&self, now: u64) -> bool {
        self.objects > MANY && self.age(now) < self.took.saturating_mul(REST_FACTOR)
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, nanoseconds)
}

/// The file, open for one call.
pub(super) struct Count<H: Holdings> {
    file: OwnedFd,
    holdings: H,
}

impl<H: Holdings> Drop for Count<H> {
    fn drop(&mut self) {
        lock::unlock_all(&self.file);
    }
}

impl<H: Holdings> Count<H> {
    /// Opens the file, and makes it where it is missing.
    pub(super) fn open(holdings: H) -> Result<Self> {
        // Asked without making it first: that would take a lock of the directory.
        let file = match open(&holdings, OFlags::empty())? {
            Some(file) => file,
            None => open(&holdings, OFlags::CREATE)?.ok_or_else(|| failed(&holdings, "make", Errno::NOENT))?,
        };
        Ok(Self { file, holdings })
    }

    /// Opens the file if there is one.
    pub(super) fn existing(holdings: H) -> Result<Option<Self>> {
        Ok(open(&holdings, OFlags::empty())?.map(|file| Self { file, holdings }))
    }

    pub(super) fn holdings(&self) -> &H {
        &self.holdings
    }

    fn failed(&self, action: &str, cause: Errno) -> Error {
        failed(&self.holdings, action, cause)
    }

    /// Locks the count; nothing happens if this call has it locked.
    pub(super) fn lock(&self) -> Result<()> {
        let attempt = || lock::try_lock(&self.file, COUNT).map_err(|cause| self.failed("lock", cause));
        if attempt()? { Ok(()) } else { self.wait(attempt) }
    }

    #[cold]
    fn wait(&self, attempt: impl Fn() -> Result<bool>) -> Result<()> {
        let begin = Instant::now();
        let mut pause = Duration::from_micros(10);
        loop {
            interrupt::check()?;
            std::thread::sleep(pause);
            if attempt()? {
                return Ok(());
            }
            if begin.elapsed() > PATIENCE {
                let message = format!(
                    "another process has held the lock on {} for {} s; try again, or end that process",
                    self.holdings.shown(NAME),
                    PATIENCE.as_secs()
                );
                return Err(Error::new(ErrorKind::Unavailable, message));
            }
            pause = (pause * 2).min(Duration::from_millis(1));
        }
    }

    pub(super) fn unlock(&self) {
        lock::unlock(&self.file, COUNT);
    }

    /// A count by which there is room for `added` bytes more. Otherwise `false`, and a count that is true.
    pub(super) fn with_room(&self, bound: u64, added: u64) -> Result<(Record, bool)> {
        let fits = |record: &Record| added == 0 || record.used.checked_add(added).is_some_and(|sum| sum <= bound);
        let mut record = match self.read()?.filter(|record| !record.is_old(now())) {
            Some(record) => record,
            None => self.take()?,
        };
        if !fits(&record) && added <= bound && !self.is_true(&record)? {
            record = self.take()?;
        }
        Ok((record, fits(&record)))
    }

    /// Whether taking it anew would say the same, or would be done too often.
    fn is_true(&self, record: &Record) -> Result<bool> {
        Ok(record.may_rest(now()) || (record.unchanged != 0 && record.unchanged == self.changed_at()?))
    }

    /// When the directory was changed.
    fn changed_at(&self) -> Result<u64> {
        let stat = fstat(self.holdings.directory()).map_err(|cause| self.failed("examine the directory of", cause))?;
        let seconds = u64::try_from(stat.st_mtime).unwrap_or(0);
        Ok(seconds.saturating_mul(1_000_000_000).saturating_add(stat.st_mtime_nsec))
    }

    /// Takes the count anew. What has a reservation may be an object already: it counts once, by the larger of both sizes.
    fn take(&self) -> Result<Record> {
        let (begin, taken_at, changed_at) = (Instant::now(), now(), self.changed_at()?);
        // Before the objects: who drops a reservation later has published the object, or waits for the lock to subtract it.
        let locks = lock::locked(&self.file, RESERVATIONS);
        let locks = locks.map_err(|cause| self.failed("examine the locks of", cause))?;
        let is_settled = locks.is_empty()
            && taken_at >= changed_at.saturating_add(nanoseconds(SETTLED))
            && self.holdings.shows_changes();
        let mut reserved: HashMap<u64, u64> = locks.iter().map(|span| (span.start, span.length)).collect();
        let (mut used, mut objects) = (0_u64, 0);
        self.holdings.each(&mut |name, size| {
            let reserved = if reserved.is_empty() { None } else { reserved.remove(&place_of(name)) };
            used = used.saturating_add(size.max(reserved.unwrap_or(0)));
            objects += 1;
        })?;
        let record = Record {
            used: reserved.values().fold(used, |sum, size| sum.saturating_add(*size)),
            unchanged: if is_settled { changed_at } else { 0 },
            taken_at,
            took: nanoseconds(begin.elapsed()),
            objects,
        };
        self.write(0, &record.to_bytes())?;
        Ok(record)
    }

    pub(super) fn read(&self) -> Result<Option<Record>> {
        let mut bytes = [0; FIELDS * 8];
        let read = pread(&self.file, &mut bytes[..], 0).map_err(|cause| self.failed("read", cause))?;
        Record::from_bytes(bytes.get(..read).unwrap_or_default())
            .map_err(|()| refused(&self.holdings, "has something else in it"))
    }

    /// Writes another count. From now on it is not what was taken.
    pub(super) fn write_used(&self, used: u64) -> Result<()> {
        let mut fields = [0; 16];
        fields[..8].copy_from_slice(&used.to_le_bytes());
        self.write(8, &fields)
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        match pwrite(&self.file, bytes, offset) {
            Ok(written) if written == bytes.len() => Ok(()),
            Ok(_) => Err(self.failed("write", Errno::NOSPC)),
            Err(cause) => Err(self.failed("write", cause)),
        }
    }

    /// Where that fails, the count is too high until it is taken anew.
    pub(super) fn subtract(&self, size: u64) {
        if let Ok(Some(record)) = self.read() {
            let (Ok(()) | Err(_)) = self.write_used(record.used.saturating_sub(size));
        }
    }

    /// Leaves a reservation, for as long as this call has the file open.
    pub(super) fn leave_reservation(&self, name: &str, size: u64) -> Result<()> {
        let try_at = |start| {
            let span = Span { start, length: size.min(END >> 1) };
            lock::try_lock(&self.file, span).map_err(|cause| self.failed("lock", cause))
        };
        // A lock of no bytes would be one of all. Another writer of the same name may have that place.
        if size == 0 || try_at(place_of(name))? || try_at(ObjectId::random().with_str(place_of))? {
            return Ok(());
        }
        let message = format!("somebody has locked {}, which only crossdock does; end that", self.holdings.shown(NAME));
        Err(Error::new(ErrorKind::Unavailable, message))
    }
}

/// Opens the file and nothing else: it follows no link, waits for no FIFO, and is nobody's who cannot be trusted.
fn open(holdings: &impl Holdings, more: OFlags) -> Result<Option<OwnedFd>> {
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC | more;
    let file = match openat(holdings.directory(), NAME, flags, Mode::RUSR | Mode::WUSR) {
        Ok(file) => file,
        Err(Errno::NOENT) => return Ok(None),
        Err(Errno::LOOP | Errno::ISDIR | Errno::NXIO | Errno::NODEV) => {
            return Err(refused(holdings, "is not a regular file"));
        }
        Err(cause) => return Err(failed(holdings, "open", cause)),
    };
    let stat = fstat(&file).map_err(|cause| failed(holdings, "examine", cause))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(refused(holdings, "is not a regular file"));
    }
    if !holdings.trusts(&stat) {
        return Err(refused(holdings, format_args!("belongs to user {}, who could change it", stat.st_uid)));
    }
    Ok(Some(file))
}

fn failed(holdings: &impl Holdings, action: &str, cause: Errno) -> Error {
    Error::from_io(action, holdings.shown(NAME), cause)
}

fn refused(holdings: &impl Holdings, why: impl std::fmt::Display) -> Error {
    let message = format!("{} should have the count for max_total_bytes, but {why}; remove it", holdings.shown(NAME));
    Error::new(ErrorKind::Unavailable, message).permanent()
}

/// Where the reservation of an object begins: FNV-1a of its name. All processes must agree on it.
fn place_of(name: &str) -> u64 {
    let hash = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    RESERVATIONS + (hash >> 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let record = Record { used: 1, unchanged: 2, taken_at: u64::MAX, took: 4, objects: 5 };
        let bytes = record.to_bytes();
        assert_eq!(Record::from_bytes(&bytes), Ok(Some(record)));
        assert_eq!(&bytes[..16], b"xdusage1\x01\0\0\0\0\0\0\0");
        for lost in [&[][..], &[0; 48], &[0; 3], &bytes[..40]] {
            assert_eq!(Record::from_bytes(lost), Ok(None));
        }
        assert_eq!(Record::from_bytes(b"some notes"), Err(()));
    }

    #[test]
    fn a_count_is_old_after_some_seconds_or_a_hundred_times_what_it_takes() {
        let taken_at = 1_000 * SECOND;
        let quick = Record { taken_at, took: SECOND / 1_000, ..Record::default() };
        let slow = Record { took: SECOND, ..quick };
        for (record, age, is_old) in [(quick, 4, false), (quick, 6, true), (slow, 90, false), (slow, 110, true)] {
            assert_eq!(record.is_old(taken_at + age * SECOND), is_old);
            assert_eq!(record.is_old(taken_at - age * SECOND), is_old, "another host's clock is ahead");
        }
    }

    #[test]
    fn only_a_count_of_many_objects_may_rest() {
        let few = Record { taken_at: 1_000 * SECOND, took: SECOND, objects: MANY, ..Record::default() };
        let many = Record { objects: MANY + 1, ..few };
        assert!(!few.may_rest(few.taken_at + 1));
        assert!(many.may_rest(many.taken_at + 9 * SECOND) && !many.may_rest(many.taken_at + 11 * SECOND));
    }

    #[test]
    fn all_versions_agree_on_the_places_of_reservations() {
        assert_eq!(place_of(""), (0xcbf2_9ce4_8422_2325 >> 2) + 65_536);
        assert_eq!(place_of("foobar"), (0x8594_4171_f739_67e8 >> 2) + 65_536);
    }
}

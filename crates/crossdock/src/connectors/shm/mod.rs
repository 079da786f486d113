//! Objects in shared memory: files on a memory file system, mapped where they are read. Small ones share files.
//!
//! | what | where |
//! |---|---|
//! | the options | `options` |
//! | the directory, and which memory it is | `directory` |
//! | ids, which say where they were made and by whom | `name` |
//! | what stands in front of an object's bytes | `header` |
//! | writing a file, publishing it, and the proof that it may be written again | `draft` |
//! | the files that a process keeps for that | `kept` |
//! | the process, to others | `owner` |
//! | reading, or mapping | `read` |
//! | small objects, several in a file | `slab` |
//! | bounds | `quota` |
//! | what dead processes left | `collect` |

mod collect;
mod directory;
mod draft;
mod header;
mod kept;
mod name;
mod options;
mod owner;
mod quota;
mod read;
mod slab;

use std::fmt;
use std::mem::MaybeUninit;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use rustix::io::Errno;

use crate::config::ConnectorConfig;
use crate::connector::{Checkup, Connector, Deferrable, Opener, Properties, undo_batch};
use crate::error::{Error, ErrorKind, Result};
use crate::interrupt;
use crate::key::{Key, ObjectId, ObjectKey};
use crate::options::{CloseOptions, GcOptions, GcReport, GetOptions, Integrity, KeyHint, PutOptions};
use crate::process::{self, PerProcess};
use crate::usage;

use directory::Directory;
use draft::{Draft, Failure, write_named};
use header::Header;
use name::{Name, Spot};
pub use options::ShmOptions;
use owner::Owner;
use quota::{Objects, Room};
use slab::{Maps, Reader};

/// Keeps objects in shared memory, for the processes of one user on one host. There is no server.
///
/// Objects are in files in a directory that is its user's alone (mode 0700, files 0600), on a memory file system: those above
/// 128 KiB in one each, smaller ones together. An object appears whole or not at all, and lives until it is evicted or the host
/// is started again ([`Durability::Process`]).
///
/// - **Small objects cost no system call**: who puts and who gets have the files mapped that these share, and copy. (With
///   [`ShmOptions::max_total_bytes`], or where nothing may be kept, each is a file and read from it.) Readers of them need a
///   directory that they may write to: over a read-only mount, such a get is [`Unavailable`](ErrorKind::Unavailable).
/// - **A get is a map** above 128 KiB, however large the object is. What was handed out, map or copy, stays valid and the
///   same for as long as it is held: after an evict, and after the end of whoever put it.
/// - **A put into used memory is as fast as a copy.** A process keeps the memory of its evicted objects
///   ([`ShmOptions::recycle_bytes`]), whoever evicted them, and puts others there, but only once the kernel grants it a
///   write lease: the proof that no process has the old object open or mapped any more. (Bytes that were handed to the kernel by reference,
///   as with `MSG_ZEROCOPY` or `vmsplice`, must have left before their view is dropped. A forked child keeps the memory of its
///   parent until it ends or executes another program, as it has its open files.)
/// - **Space is reserved first.** Where there is none, a put is [`Full`](ErrorKind::Full) and leaves nothing. A bus error is
///   possible only where the user's own programs make these files shorter.
/// - **Keys** carry the size ([`ShmOptions::integrity`] adds a checksum) and the place. A key of another host, container, boot
///   or user is [`InvalidKey`](ErrorKind::InvalidKey), rather than missing.
/// - **Killed processes** leave files that nobody sees, and shared ones whose objects are all evicted. The next one that
///   attaches removes them, and so does [`gc`](Connector::gc).
///
/// ```
/// use crossdock::connectors::{ShmConnector, ShmOptions};
/// use crossdock::{Connector, ConnectorExt};
/// # let dir = tempfile::tempdir_in("/dev/shm").unwrap();
/// let shm = ShmConnector::open(&ShmOptions::in_dir(dir.path()))?;
/// let key = shm.put_bytes(vec![7; 1_000_000])?;
/// let view = shm.get_bytes(&key)?;
/// shm.evict(&key)?;
/// assert_eq!(view.as_deref(), Some(&vec![7; 1_000_000][..]));
/// # Ok::<(), crossdock::Error>(())
/// ```
///
/// [`Durability::Process`]: crate::Durability::Process
pub struct ShmConnector {
    options: ShmOptions,
    directory: Directory,
    /// Made by the first put.
    owner: PerProcess<Owner>,
    /// The slabs that are mapped.
    maps: PerProcess<Maps>,
    closed: AtomicBool,
    /// Only the process that asked for clearing clears.
    asker: u64,
}

impl ShmConnector {
    /// Opens the directory, and makes it where it is missing.
    ///
    /// # Errors
    /// `Unavailable` if it cannot be made or opened, or others may write to it.
    pub fn open(options: &ShmOptions) -> Result<Self> {
        let connector = Self::attach(options)?;
        connector.directory.open_to_write()?;
        Ok(connector)
    }

    /// Looks for the directory, which the first put may make, and removes what killed processes left in it: what configs do.
    ///
    /// # Errors
    /// As [`open`](Self::open), but for a directory that is missing.
    pub fn attach(options: &ShmOptions) -> Result<Self> {
        let connector = Self {
            options: options.clone(),
            directory: Directory::new(options)?,
            owner: PerProcess::empty(),
            maps: PerProcess::empty(),
            closed: AtomicBool::new(false),
            asker: process::token(),
        };
        if let Some(open) = connector.directory.loaded() {
            collect::collect(&connector.directory, &open, None)?;
        }
        Ok(connector)
    }

    /// The directory, as an absolute path.
    #[must_use]
    pub fn dir(&self) -> &std::path::Path {
        self.directory.path()
    }

    /// The object, read into memory of the caller's: what [`Connector::get`] does, without its map or buffer. `allocate` is told
    /// the size in bytes and gives memory of at least that size, whose first bytes are all filled when it comes back.
    ///
    /// # Errors
    /// As there, and what `allocate` says.
    ///
    /// ```
    /// # use crossdock::connectors::{ShmConnector, ShmOptions};
    /// # use crossdock::{ConnectorExt, GetOptions};
    /// # let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    /// # let shm = ShmConnector::open(&ShmOptions::in_dir(dir.path()))?;
    /// let key = shm.put_bytes("object")?;
    /// let memory = shm.get_into(&key, &GetOptions::default(), |size| Ok(Box::new_uninit_slice(size)))?;
    /// assert_eq!(memory.map(|memory| memory.len()), Some(6));
    /// # Ok::<(), crossdock::Error>(())
    /// ```
    pub fn get_into<M: AsMut<[MaybeUninit<u8>]>>(
        &self,
        key: &Key,
        options: &GetOptions,
        allocate: impl FnOnce(usize) -> Result<M>,
    ) -> Result<Option<M>> {
        self.require_open()?;
        let (key, integrity) = (key.as_object()?, self.integrity(options));
        match self.spot(key)? {
            Some(spot) => self.small(|slabs| slabs.read_into(spot, key, integrity, allocate)),
            None => read::read_into(&self.directory, key, integrity, allocate),
        }
    }

    /// Refuses where the connector was closed.
    ///
    /// # Errors
    /// `Closed`.
    pub fn require_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::new(ErrorKind::Closed, "the shared memory connector is closed; build a new one"));
        }
        Ok(())
    }

    /// What to check: of a view no more than the size, unless this call asks for it.
    fn integrity(&self, options: &GetOptions) -> Integrity {
        let own = if options.view { Integrity::Size } else { self.options.level() };
        options.integrity.unwrap_or(own)
    }

    fn require_puttable(&self, options: &PutOptions) -> Result<()> {
        self.require_open()?;
        self.properties().require(options.durability)
    }

    /// This process, announced to the others.
    fn owner(&self) -> Result<Arc<Owner>> {
        if let Some(owner) = self.owner.load() {
            return Ok(owner);
        }
        let open = self.directory.open_to_write()?;
        // Only of memory is it certain that a page which was written can be written again.
        let recycled = if open.is_memory { self.options.recycled(open.capacity) } else { 0 };
        let owner = Owner::new(open, recycled, self.maps())
            .map_err(|cause| owner::not_announced(cause, self.directory.named()))?;
        let owner = Arc::new(owner);
        self.owner.store(owner.clone());
        Ok(owner)
    }

    fn maps(&self) -> Arc<Maps> {
        self.maps.load().unwrap_or_else(|| {
            let maps = Arc::new(Maps::new());
            self.maps.store(maps.clone());
            maps
        })
    }

    /// Does something with the slabs that are mapped.
    fn small<T>(&self, work: impl FnOnce(Reader<'_>) -> T) -> T {
        match self.maps.peek().as_deref() {
            Some(maps) => work(Reader { directory: &self.directory, maps }),
            None => work(Reader { directory: &self.directory, maps: &self.maps() }),
        }
    }

    /// Where the object is, if that is in a slab of this memory.
    fn spot(&self, key: &ObjectKey) -> Result<Option<Spot>> {
        let Some(spot) = Spot::of(&key.id) else { return Ok(None) };
        Ok((spot.place == self.directory.place()?).then_some(spot))
    }

    /// Writes; once more where the directory was removed meanwhile, and where there is room once what is kept is given back.
    fn write<T>(&self, write: impl Fn(&Owner) -> Result<T, Failure>) -> Result<T> {
        let owner = self.owner()?;
        let first = write(&owner);
        let again = match &first {
            Err(Failure::Io(_, Errno::NOENT | Errno::STALE)) => {
                drop(self.owner.take());
                true
            }
            Err(Failure::Io(_, Errno::NOSPC | Errno::DQUOT)) => owner.release(),
            _ => false,
        };
        let outcome = if again { write(&*self.owner()?) } else { first };
        outcome.map_err(|failure| match failure {
            Failure::Io(action, cause) => {
                Error::from_io(action, format_args!("a file in {}", self.directory.named()), cause)
            }
            Failure::Other(error) => error,
        })
    }

    fn reserve<'a>(&'a self, owner: &'a Owner, name: &'a Name, size: usize, is_new: bool) -> Result<Room<'a>> {
        let objects = Objects { directory: &self.directory, open: &owner.open };
        Room::reserve(self.options.max_total_bytes, objects, name, size, is_new)
    }

    fn put_one(&self, object: &Bytes) -> Result<ObjectKey> {
        let id = match self.put_small(object)? {
            Some(id) => id,
            None => self.put_file(object)?,
        };
        Ok(ObjectKey::sealed(id, object, self.options.level()))
    }

    /// Puts into a slab, if it can. What a bound counts is in files, as its count is in one too.
    fn put_small(&self, object: &Bytes) -> Result<Option<ObjectId>> {
        if object.len() > slab::LARGEST || self.options.max_total_bytes.is_some() {
            return Ok(None);
        }
        let spot = match self.owner.peek().as_ref() {
            Some(owner) => owner.slabs.put(object),
            None => self.owner()?.slabs.put(object),
        };
        Ok(spot.map(|spot| spot.id()))
    }

    fn put_file(&self, object: &Bytes) -> Result<ObjectId> {
        self.write(|owner| {
            let name = owner.next_name()?;
            let room = self.reserve(owner, &name, object.len(), true)?;
            let header = Header::of(&name, object);
            if header.file_size() < kept::SMALLEST {
                room.fill(|| write_named(&owner.open, &name, &header, object))?;
            } else if !publish(owner, &name, &header, object, room)? {
                return Err(Error::already_exists(&name.id()).into());
            }
            Ok(name.id())
        })
    }

    /// `false` if there is an object of that name.
    fn set_one(&self, id: &ObjectId, object: &Bytes) -> Result<bool> {
        self.write(|owner| {
            let name = Name::of(id, owner.open.place)?;
            let room = self.reserve(owner, &name, object.len(), false)?;
            publish(owner, &name, &Header::of(&name, object), object, room)
        })
    }

    fn read(&self, key: &Key, options: &GetOptions) -> Result<Option<Bytes>> {
        self.require_open()?;
        self.find(key.as_object()?, self.integrity(options))
    }

    fn find(&self, key: &ObjectKey, integrity: Integrity) -> Result<Option<Bytes>> {
        match self.spot(key)? {
            Some(spot) => self.small(|slabs| slabs.read(spot, key, integrity)),
            None => read::read(&self.directory, key, integrity),
        }
    }

    /// Whether the object was there.
    fn evict_small(&self, spot: Spot) -> Result<bool> {
        if self.options.max_total_bytes.is_none() {
            return Ok(self.small(|slabs| slabs.evict(spot))?.is_some());
        }
        let open = self.directory.open()?;
        usage::release(Objects { directory: &self.directory, open: &open }, || self.small(|slabs| slabs.evict(spot)))
    }
}

/// Writes into memory that is kept, or new, and gives it the object's name. `false` if that is taken.
fn publish(owner: &Owner, name: &Name, header: &Header, object: &[u8], room: Room<'_>) -> Result<bool, Failure> {
    let recycled = match owner.kept.take(header.file_size()) {
        Some(mut draft) => match draft.overwrite(header, object) {
            Ok(()) => Some(draft),
            // It was to grow. Without it there may be room.
            Err(Failure::Io(_, Errno::NOSPC | Errno::DQUOT)) => None,
            Err(failure) => return Err(failure),
        },
        None => None,
    };
    let draft = recycled.map_or_else(|| Draft::write(owner, header, object), Ok)?;
    let mut is_published = false;
    room.fill(|| {
        is_published = draft.publish(&owner.open, name)?;
        if is_published { Ok(()) } else { Err(Error::already_exists(&name.id()).into()) }
    })
    .or_else(|failure| match failure {
        Failure::Other(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        failure => Err(failure),
    })?;
    owner.kept.keep(draft);
    Ok(is_published)
}

/// The error of a `set` under the key of an object that was in a slab.
fn not_set_again(id: &ObjectId) -> Error {
    let message = format!("the key {id} was made by a put, and its object is gone; set keys that new_key made");
    Error::new(ErrorKind::InvalidKey, message)
}

impl fmt::Debug for ShmConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ShmConnector(dir={:?})", self.directory.named())
    }
}

impl Connector for ShmConnector {
    fn put(&self, object: Bytes, options: &PutOptions) -> Result<Key> {
        self.require_puttable(options)?;
        Ok(self.put_one(&object)?.into())
    }

    fn put_batch(&self, objects: &[Bytes], options: &PutOptions) -> Result<Vec<Key>> {
        self.require_puttable(options)?;
        let sizes = objects.iter().map(|object| object.len() as u64);
        if let Some(bound) = self.options.max_total_bytes.filter(|_| sizes.clone().any(|size| size > 0)) {
            let owner = self.owner()?;
            usage::require(Objects { directory: &self.directory, open: &owner.open }, bound, sizes)?;
        }
        let mut written: Vec<Key> = Vec::with_capacity(objects.len());
        for object in objects {
            match interrupt::check().and_then(|()| self.put_one(object)) {
                Ok(key) => written.push(key.into()),
                Err(error) => return Err(undo_batch(self, written, error)),
            }
        }
        Ok(written)
    }

    fn get(&self, key: &Key, options: &GetOptions) -> Result<Option<Bytes>> {
        self.read(key, options)
    }

    fn get_batch(&self, keys: &[Key], options: &GetOptions) -> Result<Vec<Option<Bytes>>> {
        self.require_open()?;
        keys.iter().map(|key| interrupt::check().and_then(|()| self.read(key, options))).collect()
    }

    fn exists(&self, key: &Key) -> Result<bool> {
        self.require_open()?;
        let key = key.as_object()?;
        match self.spot(key)? {
            Some(spot) => self.small(|slabs| slabs.exists(spot)),
            None => read::exists(&self.directory, key),
        }
    }

    fn evict(&self, key: &Key) -> Result<()> {
        self.require_open()?;
        let key = key.as_object()?;
        if let Some(spot) = self.spot(key)? {
            return self.evict_small(spot).map(drop);
        }
        let id = &key.id;
        read::look(&self.directory, |open| {
            let name = Name::of(id, open.place)?;
            let objects = Objects { directory: &self.directory, open };
            let there = quota::remove_object(self.options.max_total_bytes, objects, &name)
                .map_err(|cause| Error::from_io("evict", self.directory.shown(name.as_str()), cause))?;
            Ok(there.then_some(()))
        })?;
        Ok(())
    }

    fn deferrable(&self) -> Option<&dyn Deferrable> {
        Some(self)
    }

    fn config(&self) -> ConnectorConfig {
        self.options.config()
    }

    fn properties(&self) -> Properties {
        self.options.properties()
    }

    fn check(&self) -> Result<Checkup> {
        let mut checkup = Checkup::of(self)?;
        if !self.directory.open()?.is_memory {
            checkup.warnings.push(format!(
                "the directory {} is not on a memory file system (tmpfs): puts are as slow as its disk, and memory of evicted \
                 objects is not used again",
                self.directory.named()
            ));
        }
        Ok(checkup)
    }

    fn gc(&self, options: &GcOptions) -> Result<GcReport> {
        self.require_open()?;
        // A directory that is not there has no leftovers, and nobody wants it made for that.
        let Some(open) = self.directory.reopen()? else { return Ok(GcReport::default()) };
        collect::collect(&self.directory, &open, Some(options))
    }

    fn close(&self, options: &CloseOptions) -> Result<()> {
        if self.closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        drop(self.owner.take());
        drop(self.maps.take());
        let asked_here = self.options.clear && self.asker == process::token();
        if options.clear.unwrap_or(asked_here) { collect::clear(&self.directory) } else { Ok(()) }
    }
}

impl Deferrable for ShmConnector {
    fn new_key(&self, hint: &KeyHint) -> Result<Key> {
        self.require_puttable(&hint.options)?;
        Ok(ObjectKey { id: self.owner()?.next_name()?.id(), size: None, checksum: None }.into())
    }

    fn set(&self, key: &Key, object: Bytes, options: &PutOptions) -> Result<()> {
        self.require_puttable(options)?;
        let key = key.as_object()?;
        key.require_same(&object, self.options.level())?;
        let spot = self.spot(key)?;
        let bare = ObjectKey::bare(key.id.clone());
        // Evicted between the two looks, it is free again.
        while spot.is_some() || !self.set_one(&key.id, &object)? {
            interrupt::check()?;
            match self.find(&bare, Integrity::Size)? {
                Some(present) if present == object => return Ok(()),
                Some(_) => return Err(Error::already_exists(&key.id)),
                None if spot.is_some() => return Err(not_set_again(&key.id)),
                None => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{File, read};
    use std::os::fd::AsRawFd;

    use super::*;

    /// A reader may have found the name of an object before the object was evicted, and open the file any time later: here
    /// by a descriptor that does not count as an open file.
    #[test]
    fn who_opens_late_sees_that_the_object_is_gone() {
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        let shm = ShmConnector::open(&ShmOptions::in_dir(dir.path())).unwrap();
        let object = Bytes::from(vec![7; 300_000]);
        let key = shm.put_one(&object).unwrap();
        let path = dir.path().join(key.id.to_string());
        let found = rustix::fs::open(&path, rustix::fs::OFlags::PATH, rustix::fs::Mode::empty()).unwrap();
        let late = format!("/proc/self/fd/{}", found.as_raw_fd());
        let header = || Header::from_bytes(read(&late).unwrap().first_chunk().unwrap());
        shm.evict(&key.into()).unwrap();
        let owner = shm.owner().unwrap();
        let size = object.len() as u64 + header::LENGTH as u64;

        let opened = File::open(&late).unwrap();
        assert!(owner.kept.take(size).is_none(), "somebody has it open");
        drop(opened);
        for _ in 0..2 {
            // The first time it is written through the kernel, the second time through its map.
            let mut draft = owner.kept.take(size).unwrap();
            assert_eq!(header(), None, "from before the proof on, it is nobody's");
            let name = owner.next_name().unwrap();
            let next = Header::of(&name, &object);
            draft.overwrite(&next, &object).unwrap_or_else(|_| panic!("it is written"));
            assert_eq!(header(), Some(next));
            owner.kept.keep(draft);
        }
    }
}

//! Objects as files in a directory, laid out as ProxyStore's `FileConnector` does.

mod collect;
mod directory;
mod options;
mod publish;
mod quota;
mod read;

use std::fmt;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;

use crate::config::ConnectorConfig;
use crate::connector::{Checkup, Connector, Deferrable, Opener, Properties, undo_batch};
use crate::error::{Error, ErrorKind, Result};
use crate::interrupt;
use crate::key::{Key, ObjectId, ObjectKey};
use crate::options::{CloseOptions, Durability, GcOptions, GcReport, GetOptions, Integrity, KeyHint, PutOptions};
use crate::process;

use directory::{Directory, FileName, PublishError};
pub use options::FileOptions;
use publish::{How, Publisher};
use quota::{Quota, Room};

/// How much is read or written in one system call, in bytes: in between, a call can be interrupted.
const PART: usize = 8 << 20;

/// Keeps objects as files, for every process and host that sees the directory.
///
/// An object is a file whose name is a UUID, and exists once an empty marker beside it does (`<uuid>.ready`): exactly
/// what ProxyStore's `FileConnector` writes and reads, so both may work on one directory at the same time. Unlike
/// there, files are private (mode 0600, directories 0700), published whole, checked against size and checksum when they
/// are read, and no key reaches anything outside the directory. Reading with a key that has a checksum asks for the marker
/// only where the bytes are not those of the key.
///
/// - `durability = "host"`: file and directory are on the disk when `put` returns.
/// - [`GetOptions::view`]: the object is a memory map. Nothing that crossdock publishes is ever truncated or changed; if
///   something else truncates the file, reading the view is a bus error.
/// - The directory is made by whoever puts first. Where it is missing, reading is `Unavailable`, not "no object": the file
///   system may not be mounted. With `make_dir = false` a put is so too, and can fall back.
/// - Over NFS an object is visible at once: where a marker is missing, the directory is opened anew and asked again.
///
/// ```
/// use crossdock::connectors::{FileConnector, FileOptions};
/// use crossdock::ConnectorExt;
/// # let dir = tempfile::tempdir().unwrap();
/// # let dir = dir.path().join("objects");
/// let files = FileConnector::open(&FileOptions::new(dir))?;
/// let key = files.put_bytes("object")?;
/// assert_eq!(files.get_bytes(&key)?.as_deref(), Some(&b"object"[..]));
/// # Ok::<(), crossdock::Error>(())
/// ```
pub struct FileConnector {
    options: FileOptions,
    directory: Directory,
    publisher: Publisher,
    closed: AtomicBool,
    /// Only the process that asked for clearing clears.
    owner: u64,
}

impl FileConnector {
    /// Opens the directory, and makes it where it is missing (unless `make_dir` is off).
    ///
    /// # Errors
    /// `Unavailable` if it cannot be made or opened, or belongs to somebody else; `Unsupported` for a default durability
    /// above `host`.
    pub fn open(options: &FileOptions) -> Result<Self> {
        let connector = Self::attach(options)?;
        connector.directory.fd_to_write()?;
        Ok(connector)
    }

    /// Looks for the directory, which the first put may make: what configs do.
    ///
    /// # Errors
    /// As [`open`](Self::open), but for a directory that is missing.
    pub fn attach(options: &FileOptions) -> Result<Self> {
        let directory = Directory::new(options.resolve_dir()?, options)?;
        let connector = Self {
            options: options.clone(),
            directory,
            publisher: Publisher::new(options.direct),
            closed: AtomicBool::new(false),
            owner: process::token(),
        };
        connector.properties().require(Some(options.durability))?;
        Ok(connector)
    }

    /// The directory, as an absolute path.
    #[must_use]
    pub fn dir(&self) -> &std::path::Path {
        self.directory.path()
    }

    /// The object, read into memory of the caller's: what [`Connector::get`] does, without its buffer. `allocate` is told the
    /// size in bytes and gives memory of at least that size, whose first bytes are all filled when it comes back.
    ///
    /// # Errors
    /// As there, and what `allocate` says.
    ///
    /// ```
    /// # use crossdock::connectors::{FileConnector, FileOptions};
    /// # use crossdock::{ConnectorExt, GetOptions};
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let files = FileConnector::open(&FileOptions::new(dir.path()))?;
    /// let key = files.put_bytes("object")?;
    /// let memory = files.get_into(&key, &GetOptions::default(), |size| Ok(Box::new_uninit_slice(size)))?;
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
        let integrity = options.integrity.unwrap_or(self.options.integrity);
        read::read_into(&self.directory, key.as_object()?, integrity, allocate)
    }

    /// Refuses where the connector was closed.
    ///
    /// # Errors
    /// `Closed`.
    pub fn require_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::new(ErrorKind::Closed, "the file connector is closed; build a new one"));
        }
        Ok(())
    }

    /// The durability that a put asks for.
    fn level(&self, options: &PutOptions) -> Result<Durability> {
        self.require_open()?;
        self.properties().require(options.durability)?;
        Ok(options.durability.unwrap_or(self.options.durability))
    }

    /// Publishes under a new id; the directory is synced by the caller.
    fn put_one(&self, object: &Bytes, level: Durability) -> Result<ObjectKey> {
        let key = if self.options.write_once {
            ObjectKey::sealed(ObjectId::random(), object, self.options.integrity)
        } else {
            ObjectKey::bare(ObjectId::random())
        };
        let name = FileName::of(&key.id)?;
        let how = How { sync: level != Durability::Process || key.size.is_none(), is_set: false };
        self.write(&name, object, how, |dir, room| self.publisher.publish(dir, &name, object, how, room))?;
        Ok(key)
    }

    /// Writes, once there is room.
    fn write(
        &self,
        name: &FileName,
        object: &[u8],
        how: How,
        write: impl Fn(&OwnedFd, Option<Room<'_>>) -> Result<(), PublishError>,
    ) -> Result<()> {
        let quota = self.quota();
        self.directory.write_in(|dir| write(dir, quota.reserve(&self.directory, dir, name, object.len(), how)?))
    }

    fn quota(&self) -> Quota {
        Quota(self.options.max_total_bytes)
    }

    fn sync_directory(&self, level: Durability) -> Result<()> {
        if level == Durability::Process { Ok(()) } else { self.directory.sync() }
    }

    fn evict_name(&self, name: &FileName) -> Result<()> {
        let failed = |cause| Error::from_io("evict", self.directory.shown(name.object()), cause);
        let remove = |dir: &OwnedFd| self.quota().remove_object(&self.directory, dir, name).map_err(failed);
        if remove(&*self.directory.fd()?)? {
            return Ok(());
        }
        // It may be in the directory that stands there now.
        self.directory.reopen()?.map_or(Ok(()), |dir| remove(&dir).map(drop))
    }

    fn read(&self, key: &Key, options: &GetOptions) -> Result<Option<Bytes>> {
        self.require_open()?;
        let key = key.as_object()?;
        let own = if options.view { Integrity::Size } else { self.options.integrity };
        read::read(&self.directory, key, options.view, options.integrity.unwrap_or(own))
    }
}

impl fmt::Debug for FileConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileConnector(dir={:?})", self.options.dir())
    }
}

impl Connector for FileConnector {
    fn put(&self, object: Bytes, options: &PutOptions) -> Result<Key> {
        let level = self.level(options)?;
        let key = self.put_one(&object, level)?;
        match self.sync_directory(level) {
            Ok(()) => Ok(key.into()),
            Err(error) => Err(undo_batch(self, vec![key.into()], error)),
        }
    }

    /// One sync of the directory serves the whole batch.
    fn put_batch(&self, objects: &[Bytes], options: &PutOptions) -> Result<Vec<Key>> {
        let level = self.level(options)?;
        self.quota().require(&self.directory, objects.iter().map(|object| object.len() as u64))?;
        let mut written: Vec<Key> = Vec::with_capacity(objects.len());
        let mut outcome = Ok(());
        for object in objects {
            match interrupt::check().and_then(|()| self.put_one(object, level)) {
                Ok(key) => written.push(key.into()),
                Err(error) => {
                    outcome = Err(error);
                    break;
                }
            }
        }
        match outcome.and_then(|()| self.sync_directory(level)) {
            Ok(()) => Ok(written),
            Err(error) => Err(undo_batch(self, written, error)),
        }
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
        read::exists(&self.directory, &FileName::of(&key.as_object()?.id)?)
    }

    fn evict(&self, key: &Key) -> Result<()> {
        self.require_open()?;
        self.evict_name(&FileName::of(&key.as_object()?.id)?)
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
        Checkup::of(self)
    }

    fn gc(&self, options: &GcOptions) -> Result<GcReport> {
        self.require_open()?;
        collect::gc(&self.directory, options)
    }

    fn close(&self, options: &CloseOptions) -> Result<()> {
        if self.closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        let asked_here = self.options.clear && self.owner == process::token();
        if options.clear.unwrap_or(asked_here) { collect::clear(&self.directory) } else { Ok(()) }
    }
}

impl Deferrable for FileConnector {
    fn new_key(&self, hint: &KeyHint) -> Result<Key> {
        self.require_open()?;
        self.properties().require(hint.options.durability)?;
        // Whoever asks for the key is about to write, and readers ask before that.
        self.directory.fd_to_write()?;
        Ok(ObjectKey { id: ObjectId::random(), size: None, checksum: None }.into())
    }

    fn set(&self, key: &Key, object: Bytes, options: &PutOptions) -> Result<()> {
        let level = self.level(options)?;
        let key = key.as_object()?;
        key.require_same(&object, self.options.integrity)?;
        let name = FileName::of(&key.id)?;
        // The key of a put says what its object is; this one may not, so that no reader could tell.
        let how = How { sync: level != Durability::Process || key.size.is_none(), is_set: true };
        if self.options.write_once {
            while !self.set_or_finish(&name, &key.id, &object, how)? {}
        } else {
            self.write(&name, &object, how, |dir, room| self.publisher.replace(dir, &name, &object, how, room))?;
        }
        // The object is visible by now, and somebody may have read it.
        self.sync_directory(level).map_err(|cause| {
            let message = format!("{}; the object is there, but may not survive a power cut", cause.message());
            Error::new(ErrorKind::Ambiguous, message).with_source(cause).with_keys([key.clone().into()])
        })
    }
}

impl FileConnector {
    /// Publishes, or finishes what another writer of the same bytes has begun. `false` if that one has taken it back in
    /// the meantime: then it is our turn again.
    fn set_or_finish(&self, name: &FileName, id: &ObjectId, object: &[u8], how: How) -> Result<bool> {
        match self.write(name, object, how, |dir, room| self.publisher.publish(dir, name, object, how, room)) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            published => return published.map(|()| true),
        }
        let Some(file) = read::require_same(&self.directory, id, name, object)? else { return Ok(false) };
        if how.sync {
            // Whoever wrote it may have asked for less.
            rustix::fs::fsync(&file)
                .map_err(|cause| Error::from_io("sync", self.directory.shown(name.object()), cause))?;
        }
        let dir = self.directory.fd()?;
        let room = self.quota().reserve(&self.directory, &dir, name, object.len(), how)?;
        quota::fill(room, || publish::add_marker(&dir, name).map_err(|cause| PublishError::Io("mark", cause)))
            .map_err(|error| self.directory.not_published(error))?;
        Ok(true)
    }
}

/// The contract where unnamed files cannot be had; `tests/conformance.rs` has it where they can.
#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Subject;

    fn direct(max_total_bytes: Option<u64>) -> Subject {
        let dir = tempfile::tempdir().unwrap();
        let options = FileOptions { direct: true, max_total_bytes, ..FileOptions::new(dir.path().join("objects")) };
        Subject::new(FileConnector::open(&options).unwrap(), |config| crate::Registry::builtin().open(config))
            .keeping(dir)
    }

    crate::conformance!(without_unnamed_files, direct(None));
    crate::conformance!(without_unnamed_files_with_quota, direct(Some(100_000_000)));
}

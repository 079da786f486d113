//! Objects in the memory of this process.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::config::{ConnectorConfig, FieldKind, FieldSpec, Fields, Table};
use crate::connector::{Checkup, Connector, Deferrable, Opener, Properties, undo_batch};
use crate::error::{Error, ErrorKind, Result};
use crate::key::{Key, ObjectId, ObjectKey};
use crate::options::{CloseOptions, GcOptions, GcReport, GetOptions, Integrity, KeyHint, PutOptions};
use crate::process;

const SHARDS: usize = 16;

type Shard = HashMap<ObjectId, Bytes>;

/// How a [`LocalConnector`] is to be built.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocalOptions {
    max_total_bytes: Option<u64>,
    may_replace: bool,
}

impl LocalOptions {
    /// No bound.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The most bytes that all objects together may take. What is over is [`Full`](ErrorKind::Full).
    #[must_use]
    pub fn max_total_bytes(mut self, bytes: u64) -> Self {
        self.max_total_bytes = Some(bytes);
        self
    }

    /// Whether an object is written once. Without, a `set` with other bytes replaces the object. Default: it is.
    #[must_use]
    pub fn write_once(mut self, write_once: bool) -> Self {
        self.may_replace = !write_once;
        self
    }

    /// The fields of this connector in a config.
    pub const FIELDS: &'static [FieldSpec] = &[
        FieldSpec::new(
            "max_total_bytes",
            FieldKind::Size,
            "The most bytes that all objects together may take. Default: no bound.",
        ),
        FieldSpec::new(
            "write_once",
            FieldKind::Bool,
            "Whether an object is written once. With false, setting a key again replaces its object. Default true.",
        ),
        FieldSpec::new("include_data_in_config", FieldKind::Bool, "Read because ProxyStore writes it; without effect."),
    ];

    /// Reads the options from a config.
    ///
    /// # Errors
    /// `InvalidConfig` with the line, the place and what to do.
    pub fn from_fields(fields: &Fields<'_>) -> Result<Self> {
        fields.boolean("include_data_in_config")?;
        let may_replace = !fields.boolean("write_once")?.unwrap_or(true);
        Ok(Self { max_total_bytes: fields.size("max_total_bytes")?, may_replace })
    }
}

impl Opener for LocalOptions {
    fn open(&self) -> Result<Arc<dyn Connector>> {
        Ok(Arc::new(LocalConnector::with_options(self)))
    }

    fn config(&self) -> ConnectorConfig {
        let mut options = Table::new();
        if let Some(bytes) = self.max_total_bytes {
            options.set("max_total_bytes", bytes);
        }
        if self.may_replace {
            options.set("write_once", false);
        }
        ConnectorConfig { type_name: "local".to_owned(), options }
    }

    fn properties(&self) -> Properties {
        Properties::NONE
    }
}

/// Keeps objects in the memory of this process, without a copy: [`Bytes`] in, the same [`Bytes`] out.
///
/// Keys name the process that made them. In another process they are refused as
/// [`InvalidKey`](ErrorKind::InvalidKey) rather than reported as missing; a forked child still reads what its parent
/// had put before the fork. (Where another thread of the parent was changing a part of this memory at the moment of the
/// fork, what is in that part is [`Unavailable`](ErrorKind::Unavailable) in the child.)
///
/// ```
/// use crossdock::connectors::LocalConnector;
/// use crossdock::ConnectorExt;
/// let local = LocalConnector::new();
/// let key = local.put_bytes("object")?;
/// assert_eq!(local.get_bytes(&key)?.as_deref(), Some(&b"object"[..]));
/// # Ok::<(), crossdock::Error>(())
/// ```
pub struct LocalConnector {
    shards: [RwLock<Shard>; SHARDS],
    used: AtomicU64,
    options: LocalOptions,
    closed: AtomicBool,
    /// The process that built this connector.
    owner: u64,
    /// For each shard the forked process, if any, that found it locked for good.
    dead: [AtomicU64; SHARDS],
}

impl LocalConnector {
    /// A connector without a quota.
    #[must_use]
    pub fn new() -> Self {
        Self::with_options(&LocalOptions::default())
    }

    /// A connector built as `options` say.
    #[must_use]
    pub fn with_options(options: &LocalOptions) -> Self {
        Self {
            shards: Default::default(),
            used: AtomicU64::new(0),
            options: options.clone(),
            closed: AtomicBool::new(false),
            owner: process::token(),
            dead: Default::default(),
        }
    }

    /// The bytes of all objects together.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    fn require_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::new(ErrorKind::Closed, "the local connector is closed; build a new one"));
        }
        Ok(())
    }

    fn shard(&self, id: &ObjectId) -> Result<&RwLock<Shard>> {
        self.require_open()?;
        Ok(&self.shards[id.spread() % SHARDS])
    }

    fn read(&self, id: &ObjectId) -> Result<RwLockReadGuard<'_, Shard>> {
        let shard = self.shard(id)?;
        self.lock(id, || shard.try_read(), || shard.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write(&self, id: &ObjectId) -> Result<RwLockWriteGuard<'_, Shard>> {
        let shard = self.shard(id)?;
        self.lock(id, || shard.try_write(), || shard.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// A new id and its shard. A forked child passes over shards that are busy: their lock may be held by a thread that
    /// exists in the parent only.
    fn new_place(&self) -> Result<(ObjectId, RwLockWriteGuard<'_, Shard>)> {
        if process::token() != self.owner {
            for _ in 0..SHARDS {
                let id = process::next_id();
                match self.shard(&id)?.try_write() {
                    Ok(guard) => return Ok((id, guard)),
                    Err(TryLockError::Poisoned(poisoned)) => return Ok((id, poisoned.into_inner())),
                    Err(TryLockError::WouldBlock) => {}
                }
            }
        }
        let id = process::next_id();
        let guard = self.write(&id)?;
        Ok((id, guard))
    }

    /// Takes a lock. A forked child waits for none that its parent may have left locked: not for long the first time, not
    /// at all later. Maps stay whole while a lock is held (no user code runs), so a poisoned lock is as good as any.
    fn lock<G>(
        &self,
        id: &ObjectId,
        attempt: impl Fn() -> std::result::Result<G, TryLockError<G>>,
        wait: impl FnOnce() -> G,
    ) -> Result<G> {
        match attempt() {
            Ok(guard) => Ok(guard),
            Err(TryLockError::Poisoned(poisoned)) => Ok(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) if process::token() == self.owner => Ok(wait()),
            Err(TryLockError::WouldBlock) => self.wait_in_a_child(&self.dead[id.spread() % SHARDS], attempt),
        }
    }

    #[cold]
    fn wait_in_a_child<G>(
        &self,
        dead: &AtomicU64,
        attempt: impl Fn() -> std::result::Result<G, TryLockError<G>>,
    ) -> Result<G> {
        let (token, deadline) = (process::token(), Instant::now() + Duration::from_secs(2));
        while dead.load(Ordering::Relaxed) != token && Instant::now() < deadline {
            match attempt() {
                Ok(guard) => return Ok(guard),
                Err(TryLockError::Poisoned(poisoned)) => return Ok(poisoned.into_inner()),
                Err(TryLockError::WouldBlock) => std::thread::yield_now(),
            }
        }
        dead.store(token, Ordering::Relaxed);
        let message = "a thread of the parent process held this memory when the process was forked; build a new connector \
                       in the child";
        Err(Error::new(ErrorKind::Unavailable, message).permanent())
    }

    /// Takes `size` bytes of the quota, in place of `freed` ones: both at once, so that no other put can come in between.
    fn reserve(&self, size: usize, freed: usize) -> Result<()> {
        let (size, freed) = (size as u64, freed as u64);
        if self.options.max_total_bytes.is_none() && freed == 0 {
            self.used.fetch_add(size, Ordering::Relaxed);
            return Ok(());
        }
        let max = self.options.max_total_bytes.unwrap_or(u64::MAX);
        // Saturating, as a close may have counted from 0 again.
        let others = |used: u64| used.saturating_sub(freed);
        let take = |used: u64| others(used).checked_add(size).filter(|sum| *sum <= max || size <= freed);
        let taken = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        taken.map(drop).map_err(|used| Error::over_quota(size, others(used), max))
    }

    fn release(&self, object: &Bytes) {
        // Refuses nothing.
        let (Ok(()) | Err(_)) = self.reserve(0, object.len());
    }

    /// A key that is not there and that another process made is refused: its object may well exist over there.
    fn refuse_foreign(&self, id: &ObjectId) -> Result<()> {
        if process::is_foreign(id) { Err(Error::made_elsewhere()) } else { Ok(()) }
    }

    fn find(&self, key: &Key) -> Result<Option<Bytes>> {
        let key = key.as_object()?;
        let found = self.read(&key.id)?.get(&key.id).cloned();
        match &found {
            Some(object) => key.verify_size(object.len() as u64)?,
            None => self.refuse_foreign(&key.id)?,
        }
        Ok(found)
    }
}

impl Default for LocalConnector {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for LocalConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LocalConnector(used_bytes={})", self.used_bytes())
    }
}

impl Connector for LocalConnector {
    fn put(&self, object: Bytes, options: &PutOptions) -> Result<Key> {
        self.properties().require(options.durability)?;
        let (id, mut shard) = self.new_place()?;
        self.reserve(object.len(), 0)?;
        let key = if self.options.may_replace { ObjectKey::bare(id) } else { ObjectKey::sized(id, &object) };
        shard.insert(key.id.clone(), object);
        Ok(key.into())
    }

    fn put_batch(&self, objects: &[Bytes], options: &PutOptions) -> Result<Vec<Key>> {
        self.require_open()?;
        let mut written = Vec::with_capacity(objects.len());
        for object in objects {
            match self.put(object.clone(), options) {
                Ok(key) => written.push(key),
                Err(error) => return Err(undo_batch(self, written, error)),
            }
        }
        Ok(written)
    }

    fn get(&self, key: &Key, _: &GetOptions) -> Result<Option<Bytes>> {
        self.find(key)
    }

    fn get_batch(&self, keys: &[Key], _: &GetOptions) -> Result<Vec<Option<Bytes>>> {
        self.require_open()?;
        keys.iter().map(|key| self.find(key)).collect()
    }

    fn exists(&self, key: &Key) -> Result<bool> {
        Ok(self.find(key)?.is_some())
    }

    fn evict(&self, key: &Key) -> Result<()> {
        let id = &key.as_object()?.id;
        // Dropped after the lock: dropping may run code of whoever owns the buffer.
        let evicted = self.write(id)?.remove(id);
        match &evicted {
            Some(object) => self.release(object),
            None => self.refuse_foreign(id)?,
        }
        Ok(())
    }

    fn deferrable(&self) -> Option<&dyn Deferrable> {
        Some(self)
    }

    fn config(&self) -> ConnectorConfig {
        self.options.config()
    }

    fn properties(&self) -> Properties {
        Properties::NONE
    }

    fn check(&self) -> Result<Checkup> {
        Checkup::of(self)
    }

    fn gc(&self, _: &GcOptions) -> Result<GcReport> {
        self.require_open()?;
        Ok(GcReport::default())
    }

    /// Gives the memory back; views that were handed out stay valid.
    fn close(&self, _: &CloseOptions) -> Result<()> {
        if self.closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        for shard in &self.shards {
            // What cannot be locked now goes when the connector does.
            let objects = shard.try_write().map(|mut shard| std::mem::take(&mut *shard));
            drop(objects);
        }
        self.used.store(0, Ordering::Relaxed);
        Ok(())
    }
}

impl Deferrable for LocalConnector {
    fn new_key(&self, hint: &KeyHint) -> Result<Key> {
        self.properties().require(hint.options.durability)?;
        let id = self.new_place()?.0;
        Ok(ObjectKey { id, size: None, checksum: None }.into())
    }

    fn set(&self, key: &Key, object: Bytes, options: &PutOptions) -> Result<()> {
        self.properties().require(options.durability)?;
        let key = key.as_object()?;
        self.refuse_foreign(&key.id)?;
        key.require_same(&object, Integrity::Size)?;
        let mut shard = self.write(&key.id)?;
        let freed = match shard.get(&key.id) {
            Some(present) if *present == object => return Ok(()),
            Some(_) if !self.options.may_replace => return Err(Error::already_exists(&key.id)),
            Some(present) => present.len(),
            None => 0,
        };
        self.reserve(object.len(), freed)?;
        let replaced = shard.insert(key.id.clone(), object);
        // Dropped after the lock: dropping may run code of whoever owns the buffer.
        drop(shard);
        drop(replaced);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connector::ConnectorExt;

    #[test]
    fn the_quota_counts_bytes_and_gives_them_back() -> Result<()> {
        let local = LocalConnector::with_options(&LocalOptions::new().max_total_bytes(10));
        let key = local.put_bytes("12345678")?;
        assert_eq!(local.put_bytes("123").unwrap_err().kind(), ErrorKind::Full);
        assert_eq!(local.put_bytes("12345678901").unwrap_err().kind(), ErrorKind::TooLarge);
        local.evict(&key)?;
        local.evict(&key)?;
        assert_eq!(local.used_bytes(), 0);
        local.put_bytes("1234567890")?;
        Ok(())
    }

    #[test]
    fn without_write_once_an_object_can_be_replaced() -> Result<()> {
        let local = LocalConnector::with_options(&LocalOptions::new().max_total_bytes(10).write_once(false));
        let key = local.put_bytes("1234")?;
        local.set(&key, "56".into(), &PutOptions::new())?;
        assert_eq!(local.get_bytes(&key)?.as_deref(), Some(&b"56"[..]));
        assert_eq!(local.used_bytes(), 2);
        let once = LocalConnector::new();
        let key = once.put_bytes("1234")?;
        assert_eq!(once.set(&key, "56".into(), &PutOptions::new()).unwrap_err().kind(), ErrorKind::AlreadyExists);
        Ok(())
    }

    #[test]
    fn who_replaces_an_object_never_gives_its_room_to_others() -> Result<()> {
        let local = LocalConnector::with_options(&LocalOptions::new().max_total_bytes(100).write_once(false));
        let key = local.put_bytes(vec![0; 80])?;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..300_000 {
                    let refused = local.set(&key, vec![1; 101].into(), &PutOptions::new());
                    assert_eq!(refused.unwrap_err().kind(), ErrorKind::TooLarge);
                }
            });
            for _ in 0..300_000 {
                assert_eq!(local.put_bytes(vec![2; 30]).unwrap_err().kind(), ErrorKind::Full);
            }
        });
        assert_eq!(local.used_bytes(), 80);
        local.set(&key, vec![3; 100].into(), &PutOptions::new())?;
        local.set(&key, vec![4; 10].into(), &PutOptions::new())?;
        assert_eq!(local.used_bytes(), 10);
        Ok(())
    }

    #[test]
    fn a_batch_over_the_quota_leaves_nothing() {
        let local = LocalConnector::with_options(&LocalOptions::new().max_total_bytes(10));
        let objects = [Bytes::from_static(b"1234"), Bytes::from_static(b"1234"), Bytes::from_static(b"1234")];
        assert_eq!(local.put_batch(&objects, &PutOptions::new()).unwrap_err().kind(), ErrorKind::Full);
        assert_eq!(local.used_bytes(), 0);
    }

    #[test]
    fn an_object_is_handed_out_without_a_copy() -> Result<()> {
        let local = LocalConnector::new();
        let object = Bytes::from(vec![7; 1000]);
        let key = local.put_bytes(object.clone())?;
        assert_eq!(local.get_bytes(&key)?.map(|found| found.as_ptr()), Some(object.as_ptr()));
        Ok(())
    }

    #[test]
    fn a_key_of_another_process_is_refused() {
        // Version 8, another token.
        let foreign = Key::from(ObjectKey::bare("00000000-0001-8001-8000-000000000001"));
        let local = LocalConnector::new();
        assert_eq!(local.get_bytes(&foreign).unwrap_err().kind(), ErrorKind::InvalidKey);
        assert_eq!(local.evict(&foreign).unwrap_err().kind(), ErrorKind::InvalidKey);
    }
}

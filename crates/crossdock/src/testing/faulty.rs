//! A connector whose calls fail, wait or stop half-way as told.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use bytes::Bytes;

use crate::config::ConnectorConfig;
use crate::connector::{Checkup, Connector, Deferrable, Properties};
use crate::error::{Error, ErrorKind, Result};
use crate::key::Key;
use crate::options::{CloseOptions, GcOptions, GcReport, GetOptions, KeyHint, PutOptions};

/// An operation of a connector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are those of the methods")]
pub enum Operation {
    Put,
    PutBatch,
    Get,
    GetBatch,
    Exists,
    Evict,
    Check,
    Gc,
    Close,
    NewKey,
    Set,
}

const OPERATIONS: usize = Operation::Set as usize + 1;

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It fails; nothing is done.
    Fail(ErrorKind),
    /// It waits that long, then goes on.
    Delay(Duration),
    /// It is done (of a batch, the first half of the items), and fails all the same. The error carries the keys of what
    /// was written.
    HalfDone(ErrorKind),
}

#[derive(Clone, Copy, Debug)]
struct Fault {
    operation: Operation,
    nth: Option<usize>,
    effect: Effect,
}

/// Passes calls on to a connector, except those that are to fail, to wait, or to stop half-way.
///
/// ```
/// use crossdock::connectors::LocalConnector;
/// use crossdock::testing::{Effect, FaultyConnector, Operation};
/// use crossdock::{ConnectorExt, ErrorKind};
///
/// let faulty = FaultyConnector::new(LocalConnector::new()).on_nth(Operation::Put, 2, Effect::Fail(ErrorKind::Full));
/// assert!(faulty.put_bytes("first").is_ok());
/// assert_eq!(faulty.put_bytes("second").unwrap_err().kind(), ErrorKind::Full);
/// assert!(faulty.put_bytes("third").is_ok());
/// assert_eq!(faulty.calls(Operation::Put), 3);
/// ```
#[derive(Debug)]
pub struct FaultyConnector {
    inner: Arc<dyn Connector>,
    faults: Mutex<Vec<Fault>>,
    calls: [AtomicUsize; OPERATIONS],
    properties: Properties,
    deferrable: bool,
}

impl FaultyConnector {
    /// A connector without faults so far.
    pub fn new(inner: impl Connector + 'static) -> Self {
        let properties = inner.properties();
        let deferrable = inner.deferrable().is_some();
        let (inner, faults, calls) = (Arc::new(inner), Mutex::default(), Default::default());
        Self { inner, faults, calls, properties, deferrable }
    }

    /// The `nth` call of `operation` from now on is counted from 1 since the connector was made, and has that effect.
    #[must_use]
    pub fn on_nth(self, operation: Operation, nth: usize, effect: Effect) -> Self {
        self.lock().push(Fault { operation, nth: Some(nth), effect });
        self
    }

    /// Every call of `operation` has that effect.
    #[must_use]
    pub fn on_every(self, operation: Operation, effect: Effect) -> Self {
        self.inject(operation, effect);
        self
    }

    /// Every call of `operation` from now on has that effect.
    pub fn inject(&self, operation: Operation, effect: Effect) {
        self.lock().push(Fault { operation, nth: None, effect });
    }

    /// Removes all faults: the backend has recovered.
    pub fn heal(&self) {
        self.lock().clear();
    }

    /// Claims to be remote, so that batches to several such connectors run at the same time.
    #[must_use]
    pub fn remote(mut self) -> Self {
        self.properties.remote = true;
        self
    }

    /// Claims that it cannot make keys before their objects.
    #[must_use]
    pub fn not_deferrable(mut self) -> Self {
        self.deferrable = false;
        self
    }

    /// How often `operation` was called.
    pub fn calls(&self, operation: Operation) -> usize {
        self.calls[operation as usize].load(Ordering::Relaxed)
    }

    /// The connector behind the faults.
    #[must_use]
    pub fn inner(&self) -> &dyn Connector {
        &*self.inner
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Fault>> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts the call and carries out its delays. The kind of error that it is to stop half-way with, if any.
    fn enter(&self, operation: Operation) -> Result<Option<ErrorKind>> {
        let count = 1 + self.calls[operation as usize].fetch_add(1, Ordering::Relaxed);
        let mine = |fault: &&Fault| fault.operation == operation && fault.nth.is_none_or(|nth| nth == count);
        let effects: Vec<Effect> = self.lock().iter().filter(mine).map(|fault| fault.effect).collect();
        for effect in effects {
            match effect {
                Effect::Delay(time) => thread::sleep(time),
                Effect::Fail(kind) => return Err(injected(kind)),
                Effect::HalfDone(kind) => return Ok(Some(kind)),
            }
        }
        Ok(None)
    }

    fn call<T>(&self, operation: Operation, call: impl FnOnce() -> Result<T>) -> Result<T> {
        let half_done = self.enter(operation)?;
        let done = call()?;
        half_done.map_or(Ok(done), |kind| Err(injected(kind)))
    }

    fn require_deferrable(&self) -> Result<&dyn Deferrable> {
        self.inner.deferrable().ok_or_else(|| Error::new(ErrorKind::Unsupported, "the connector inside cannot defer"))
    }
}

fn injected(kind: ErrorKind) -> Error {
    Error::new(kind, "an injected fault")
}

impl Connector for FaultyConnector {
    fn put(&self, object: Bytes, options: &PutOptions) -> Result<Key> {
        let half_done = self.enter(Operation::Put)?;
        let key = self.inner.put(object, options)?;
        half_done.map_or(Ok(key.clone()), |kind| Err(injected(kind).with_keys([key])))
    }

    fn put_batch(&self, objects: &[Bytes], options: &PutOptions) -> Result<Vec<Key>> {
        let Some(kind) = self.enter(Operation::PutBatch)? else { return self.inner.put_batch(objects, options) };
        let (half, _) = objects.split_at(objects.len() / 2);
        Err(injected(kind).with_keys(self.inner.put_batch(half, options)?))
    }

    fn get(&self, key: &Key, options: &GetOptions) -> Result<Option<Bytes>> {
        self.call(Operation::Get, || self.inner.get(key, options))
    }

    fn get_batch(&self, keys: &[Key], options: &GetOptions) -> Result<Vec<Option<Bytes>>> {
        self.call(Operation::GetBatch, || self.inner.get_batch(keys, options))
    }

    fn exists(&self, key: &Key) -> Result<bool> {
        self.call(Operation::Exists, || self.inner.exists(key))
    }

    fn evict(&self, key: &Key) -> Result<()> {
        self.call(Operation::Evict, || self.inner.evict(key))
    }

    fn deferrable(&self) -> Option<&dyn Deferrable> {
        self.deferrable.then_some(self)
    }

    fn config(&self) -> ConnectorConfig {
        self.inner.config()
    }

    fn properties(&self) -> Properties {
        self.properties
    }

    fn check(&self) -> Result<Checkup> {
        self.call(Operation::Check, || self.inner.check())
    }

    fn gc(&self, options: &GcOptions) -> Result<GcReport> {
        self.call(Operation::Gc, || self.inner.gc(options))
    }

    fn close(&self, options: &CloseOptions) -> Result<()> {
        self.call(Operation::Close, || self.inner.close(options))
    }
}

impl Deferrable for FaultyConnector {
    fn new_key(&self, hint: &KeyHint) -> Result<Key> {
        self.call(Operation::NewKey, || self.require_deferrable()?.new_key(hint))
    }

    fn set(&self, key: &Key, object: Bytes, options: &PutOptions) -> Result<()> {
        let half_done = self.enter(Operation::Set)?;
        self.require_deferrable()?.set(key, object, options)?;
        half_done.map_or(Ok(()), |kind| Err(injected(kind).with_keys([key.clone()])))
    }
}

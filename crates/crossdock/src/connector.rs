//! The contract that every connector keeps: the traits [`Connector`] and [`Deferrable`].

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::config::ConnectorConfig;
use crate::error::{Error, ErrorKind, Result};
use crate::interrupt;
use crate::key::Key;
use crate::options::{CloseOptions, Durability, GcOptions, GcReport, GetOptions, KeyHint, PutOptions};

/// One channel for objects: immutable bytes, written once, read many times.
///
/// # The contract
///
/// - **Atomic.** A reader gets the whole object or nothing; never a part, never another object's bytes.
/// - **Write once.** Two puts never share a key. [`Deferrable::set`] with the same bytes is fine; with other bytes it
///   is [`AlreadyExists`](ErrorKind::AlreadyExists) where the connector can tell cheaply, and never a torn read.
/// - **Integrity.** What a key says of the object (its size, its checksum) is checked before bytes are handed out;
///   bytes that differ are [`Corrupt`](ErrorKind::Corrupt). Keys that say nothing still work.
/// - **Missing is `None`.** It is no error to get, ask for or evict what is not there. `None` never means "could not
///   reach it": that is [`Unavailable`](ErrorKind::Unavailable).
/// - **A put that failed left nothing behind**, except after [`Ambiguous`](ErrorKind::Ambiguous), which carries the
///   key.
/// - **Hostile keys.** A key that cannot be this connector's is [`InvalidKey`](ErrorKind::InvalidKey). No key reaches
///   anything but objects.
/// - **Threads and forks.** Every method may be called from many threads. After `fork()` a child works on, sharing no
///   socket, runtime or random-number state with its parent.
/// - **Close.** [`close`](Self::close) may be called again. Afterwards every operation is
///   [`Closed`](ErrorKind::Closed). Only a close that asks for `clear` deletes objects.
///
/// - **Checksums.** A connector whose objects cross a machine or may meet a power cut hands out keys with a checksum, unless
///   it was asked not to: [`ObjectKey::sealed`](crate::ObjectKey::sealed) and
///   [`ObjectKey::verify`](crate::ObjectKey::verify). Memory that processes of one host share may do with the size.
///
/// All methods are required (new ones may come with any 0.x release), so that a wrapper cannot inherit a default that is slow or wrong for what it wraps;
/// conveniences live in [`ConnectorExt`]. `crossdock::conformance!` (feature `testing`) tests the contract.
pub trait Connector: fmt::Debug + Send + Sync {
    /// Stores `object` under a new key.
    ///
    /// # Errors
    /// `Full`, `TooLarge`, `Unavailable`, `Timeout`, `Ambiguous`, `Closed`; `Unsupported` for a durability level that
    /// the connector does not reach.
    fn put(&self, object: Bytes, options: &PutOptions) -> Result<Key>;

    /// Stores several objects; the keys come in the same order. All are stored, or the call fails and evicts what it
    /// wrote. Keys that could not be evicted are in the error.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    fn put_batch(&self, objects: &[Bytes], options: &PutOptions) -> Result<Vec<Key>>;

    /// The object, or `None` if there is none.
    ///
    /// # Errors
    /// `Corrupt`, `InvalidKey`, `Unavailable`, `Timeout`, `Closed`.
    fn get(&self, key: &Key, options: &GetOptions) -> Result<Option<Bytes>>;

    /// Several objects in the order of their keys.
    ///
    /// # Errors
    /// As [`get`](Self::get), for the first key that fails.
    fn get_batch(&self, keys: &[Key], options: &GetOptions) -> Result<Vec<Option<Bytes>>>;

    /// Whether the object is there.
    ///
    /// # Errors
    /// `InvalidKey`, `Unavailable`, `Timeout`, `Closed`.
    fn exists(&self, key: &Key) -> Result<bool>;

    /// Removes the object. Bytes that were handed out before stay valid.
    ///
    /// # Errors
    /// `InvalidKey`, `Unavailable`, `Timeout`, `Ambiguous`, `Closed`.
    fn evict(&self, key: &Key) -> Result<()>;

    /// Makes and fills keys before their objects, or `None` where the connector cannot.
    fn deferrable(&self) -> Option<&dyn Deferrable>;

    /// All that another process needs to build this connector again. Secrets appear as references, never as values.
    fn config(&self) -> ConnectorConfig;

    /// What this connector can do. Fixed for its lifetime; no I/O.
    fn properties(&self) -> Properties;

    /// Whether the connector works now, and how: a small object is put, got and evicted on the real backend.
    /// [`Checkup::of`] does that.
    ///
    /// # Errors
    /// `Unavailable` and whatever else the backend says, in words that tell what to do.
    fn check(&self) -> Result<Checkup>;

    /// Removes what processes left behind that were killed in the middle of a call. Never touches an object, and
    /// nothing that does not carry crossdock's or ProxyStore's names.
    ///
    /// # Errors
    /// `Unavailable`, `Closed`.
    fn gc(&self, options: &GcOptions) -> Result<GcReport>;

    /// Releases what the connector holds. Objects stay unless `options` asks to clear.
    ///
    /// # Errors
    /// What clearing met. The connector is closed all the same.
    fn close(&self, options: &CloseOptions) -> Result<()>;
}

/// A connector that can name an object before it has it: for futures and streams.
///
/// ```
/// use crossdock::connectors::LocalConnector;
/// use crossdock::{ConnectorExt, Deferrable, KeyHint, PutOptions};
/// let local = LocalConnector::new();
/// let key = local.new_key(&KeyHint::new())?;
/// assert_eq!(local.get_bytes(&key)?, None);
/// local.set(&key, "later".into(), &PutOptions::new())?;
/// assert_eq!(local.get_bytes(&key)?.as_deref(), Some(&b"later"[..]));
/// # Ok::<(), crossdock::Error>(())
/// ```
pub trait Deferrable: Connector {
    /// A key whose object does not exist yet: `exists` is false and `get` is `None` until [`set`](Self::set).
    ///
    /// # Errors
    /// `NoRoute` from a multi-connector; `Unavailable`, `Closed`.
    fn new_key(&self, hint: &KeyHint) -> Result<Key>;

    /// Stores `object` under `key`. Setting the same bytes again is fine.
    ///
    /// # Errors
    /// As [`Connector::put`]; `AlreadyExists` if the key holds other bytes; `InvalidKey`.
    fn set(&self, key: &Key, object: Bytes, options: &PutOptions) -> Result<()>;
}

/// A shared connector is the connector that is shared.
impl<C: Connector + ?Sized> Connector for Arc<C> {
    fn put(&self, object: Bytes, options: &PutOptions) -> Result<Key> {
        (**self).put(object, options)
    }

    fn put_batch(&self, objects: &[Bytes], options: &PutOptions) -> Result<Vec<Key>> {
        (**self).put_batch(objects, options)
    }

    fn get(&self, key: &Key, options: &GetOptions) -> Result<Option<Bytes>> {
        (**self).get(key, options)
    }

    fn get_batch(&self, keys: &[Key], options: &GetOptions) -> Result<Vec<Option<Bytes>>> {
        (**self).get_batch(keys, options)
    }

    fn exists(&self, key: &Key) -> Result<bool> {
        (**self).exists(key)
    }

    fn evict(&self, key: &Key) -> Result<()> {
        (**self).evict(key)
    }

    fn deferrable(&self) -> Option<&dyn Deferrable> {
        (**self).deferrable()
    }

    fn config(&self) -> ConnectorConfig {
        (**self).config()
    }

    fn properties(&self) -> Properties {
        (**self).properties()
    }

    fn check(&self) -> Result<Checkup> {
        (**self).check()
    }

    fn gc(&self, options: &GcOptions) -> Result<GcReport> {
        (**self).gc(options)
    }

    fn close(&self, options: &CloseOptions) -> Result<()> {
        (**self).close(options)
    }
}

/// What opens a connector at first use: its options, read and checked, but with no I/O done yet.
///
/// The example `own_connector` of this crate has a connector from its options to its tests.
///
/// ```
/// use crossdock::connectors::LocalOptions;
/// use crossdock::{ConnectorExt, Opener};
/// let opener = LocalOptions::new().max_total_bytes(10);
/// assert_eq!(opener.config().type_name, "local");
/// assert!(opener.open()?.put_bytes("more than ten").is_err());
/// # Ok::<(), crossdock::Error>(())
/// ```
pub trait Opener: fmt::Debug + Send + Sync {
    /// Opens the connector.
    ///
    /// # Errors
    /// `Unavailable` where the backend or a reference in the options is missing; `InvalidConfig`.
    fn open(&self) -> Result<Arc<dyn Connector>>;

    /// The config that this was made from.
    fn config(&self) -> ConnectorConfig;

    /// What the connector can do, as [`Connector::properties`] will say once it is open.
    fn properties(&self) -> Properties;
}

/// Conveniences over any connector.
pub trait ConnectorExt: Connector {
    /// [`Connector::put`] with default options.
    ///
    /// # Errors
    /// As there.
    fn put_bytes(&self, object: impl Into<Bytes>) -> Result<Key> {
        self.put(object.into(), &PutOptions::default())
    }

    /// [`Connector::get`] with default options.
    ///
    /// # Errors
    /// As there.
    fn get_bytes(&self, key: &Key) -> Result<Option<Bytes>> {
        self.get(key, &GetOptions::default())
    }

    /// The connector as a [`Deferrable`] one.
    ///
    /// # Errors
    /// `Unsupported` where it is none.
    fn require_deferrable(&self) -> Result<&dyn Deferrable> {
        self.deferrable().ok_or_else(Error::not_deferrable)
    }
}

impl<C: Connector + ?Sized> ConnectorExt for C {}

/// What a connector can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Properties {
    /// The most durable level that it reaches; `None` for memory of the process. A connector of a service knows only once it
    /// has reached it, and says `None` until then.
    pub durability: Option<Durability>,
    /// Whether its calls wait for another machine, so that batches to several of them should run at the same time.
    pub remote: bool,
    /// Whether other processes that hold the key and the config can read its objects.
    pub shared: bool,
}

impl Properties {
    /// Nothing: not durable, not remote, not shared.
    pub const NONE: Self = Self { durability: None, remote: false, shared: false };

    /// The same properties, reaching that durability.
    #[must_use]
    pub const fn durable(self, most: Durability) -> Self {
        Self { durability: Some(most), ..self }
    }

    /// The same properties, with calls that wait for another machine.
    #[must_use]
    pub const fn remote(self) -> Self {
        Self { remote: true, ..self }
    }

    /// The same properties, with objects that other processes can read. Their keys must carry a checksum
    /// ([`ObjectKey::sealed`](crate::ObjectKey::sealed)), but in the memory of one host.
    #[must_use]
    pub const fn shared(self) -> Self {
        Self { shared: true, ..self }
    }

    /// Refuses a level that is not reached.
    ///
    /// # Errors
    /// `Unsupported`, naming both levels.
    pub fn require(&self, asked: Option<Durability>) -> Result<()> {
        let Some(asked) = asked.filter(|asked| self.durability < Some(*asked)) else { return Ok(()) };
        let most = self.durability.map_or("none", Durability::as_str);
        Err(Error::new(
            ErrorKind::Unsupported,
            format!(
                "durability \"{}\" is asked for, the most that this connector reaches is {most}; lower it or choose \
                 another connector",
                asked.as_str(),
            ),
        ))
    }
}

/// What a check has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Checkup {
    /// The server, with its version and address, without secrets; `None` where there is none.
    pub server: Option<String>,
    /// The most durable level that is reached now; `None` for none.
    pub durability: Option<Durability>,
    /// How long putting a small object took.
    pub put: Duration,
    /// How long getting it took.
    pub get: Duration,
    /// How long evicting it took.
    pub evict: Duration,
    /// What works, but should be known: a sentence each.
    pub warnings: Vec<String>,
}

impl Checkup {
    /// Puts, gets and evicts an object of a few bytes, and looks at the clock.
    ///
    /// # Errors
    /// What the connector says, with the key of the object where it may be left; `Unavailable` where it forgets what is put.
    pub fn of(connector: &dyn Connector) -> Result<Self> {
        let started = Instant::now();
        let key = connector.put(Bytes::from_static(b"crossdock"), &PutOptions::default())?;
        let put = started.elapsed();
        let found = connector.get(&key, &GetOptions::default());
        let got = started.elapsed();
        // Who does not want the rest any more wants nothing to be left all the same.
        let evicted = match &found {
            Ok(_) => connector.evict(&key),
            Err(_) => interrupt::scope(|| false, || connector.evict(&key)),
        };
        if let Err(error) = evicted {
            let first = found.err().map(|first| first.context(&error)).unwrap_or(error);
            return Err(first.context("the object of the check is left").with_keys([key]));
        }
        let evict = started.elapsed().saturating_sub(got);
        if found?.is_none() {
            let message = "an object was put and is not there; look for what deletes objects there";
            return Err(Error::new(ErrorKind::Unavailable, message));
        }
        let durability = connector.properties().durability;
        Ok(Self { durability, put, get: got.saturating_sub(put), evict, ..Self::default() })
    }
}

/// What a [`Connector::put_batch`] does when an item fails: evicts `written`, and puts the keys that resist into the
/// error.
pub fn undo_batch(connector: &dyn Connector, written: Vec<Key>, error: Error) -> Error {
    left_behind(error, written.into_iter().filter(|key| connector.evict(key).is_err()).collect())
}

/// The error of a batch that could not evict these objects again.
pub(crate) fn left_behind(error: Error, stuck: Vec<Key>) -> Error {
    match stuck.len() {
        0 => error,
        count => error
            .context(format_args!("{count} objects that were already written could not be evicted"))
            .with_keys(stuck),
    }
}

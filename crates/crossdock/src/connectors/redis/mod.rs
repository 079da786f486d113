//! Objects in Redis or Valkey: one server, one behind sentinels, or a cluster.
//!
//! On the wire an object is what ProxyStore's `RedisConnector` makes of it: its bytes under a UUID.
//!
//! The way of the bytes is our own ([`connection`]), not that of a client library: an object is sent from where it lies and
//! read to where it stays.

mod batch;
mod call;
mod clear;
mod cluster;
mod connection;
mod endpoint;
mod failure;
mod options;
mod pool;
mod resp;
mod server;
mod stream;
#[cfg(feature = "redis-tls")]
mod tls;
mod url;

use std::cell::RefCell;
use std::fmt;
use std::mem::MaybeUninit;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;

use crate::config::ConnectorConfig;
use crate::connector::{Checkup, Connector, Deferrable, Opener, Properties};
use crate::deadline::Deadline;
use crate::error::{Error, ErrorKind, Result};
use crate::key::{Key, ObjectId, ObjectKey};
use crate::memory::Buffer;
use crate::options::{CloseOptions, Durability, GcOptions, GcReport, GetOptions, KeyHint, PutOptions};
use crate::process::{self, PerProcess};

use batch::{Part, next_object};
use call::Call;
use cluster::Slots;
pub use options::RedisOptions;
use pool::Pool;
use resp::Reply;
use server::Server;

/// Keeps objects in Redis or Valkey, for every process and host that reaches the server.
///
/// An object is a string under a UUID (behind a prefix, if there is one): exactly what ProxyStore's `RedisConnector` writes
/// and reads, so both may work on one server at the same time. Ids that are no UUIDs are refused: what others keep on the server
/// stays out of reach.
///
/// - **Servers**: one, over TCP, TLS (feature `redis-tls`) or a unix socket; the primary that sentinels name; a cluster.
/// - **Deadlines**: every call ends within its deadline (15 seconds, and one more for each 8 MiB), retries included. What
///   cannot be reached is `Unavailable`, what does not answer `Timeout`. A put whose outcome is not known is tried again under
///   the same key until the deadline, then it is `Ambiguous`.
/// - **Durability** depends on the server, and is known once a connection was made: `process` with an append-only file, `host`
///   with `appendfsync always`, none without, or where the server may evict objects. What asks for more is refused.
///   While its disk syncs, a server with `appendfsync everysec` answers before it has written to its file: killed then, it has
///   lost what it acknowledged in that time, two seconds at most. Stopped in order it loses nothing.
/// - **Sizes**: up to what the server takes for one value (512 MiB unless its `proto-max-bulk-len` says otherwise); what is
///   larger is `TooLarge`, before anything is sent.
/// - **Connections** are kept per process: a forked child makes its own.
///
/// ```no_run
/// use crossdock::connectors::{RedisConnector, RedisOptions};
/// use crossdock::ConnectorExt;
/// let redis = RedisConnector::open(&RedisOptions::new("localhost", 6379).prefix("my-run:"))?;
/// let key = redis.put_bytes("object")?;
/// assert_eq!(redis.get_bytes(&key)?.as_deref(), Some(&b"object"[..]));
/// # Ok::<(), crossdock::Error>(())
/// ```
pub struct RedisConnector {
    options: RedisOptions,
    prefix: String,
    pool: PerProcess<Pool>,
    closed: AtomicBool,
    /// Only the process that asked for clearing clears.
    owner: u64,
}

impl RedisConnector {
    /// Connects.
    ///
    /// # Errors
    /// `InvalidConfig` for options that contradict each other; `Unavailable` or `Timeout` if the server cannot be used.
    pub fn open(options: &RedisOptions) -> Result<Self> {
        let connector = Self::attach(options)?;
        connector.call(Call::default(), |_, _| Ok(()))?;
        Ok(connector)
    }

    /// Connects at the first call: what configs do.
    ///
    /// # Errors
    /// `InvalidConfig` for options that contradict each other, `Unavailable` for a prefix whose reference is missing.
    pub fn attach(options: &RedisOptions) -> Result<Self> {
        options.validate()?;
        Ok(Self {
            options: options.clone(),
            prefix: options.prefix.resolve().map_err(|why| why.of_field("prefix"))?,
            pool: PerProcess::empty(),
            closed: AtomicBool::new(false),
            owner: process::token(),
        })
    }

    /// The object, read into memory of the caller's: what [`Connector::get`] does, without its buffer. `allocate` is told the
    /// size in bytes and gives memory of at least that size, whose first bytes are all filled when it comes back. It may be
    /// called again, after a connection has broken in the middle of an object.
    ///
    /// # Errors
    /// As there, and what `allocate` says.
    pub fn get_into<M: AsMut<[MaybeUninit<u8>]>>(
        &self,
        key: &Key,
        options: &GetOptions,
        mut allocate: impl FnMut(usize) -> Result<M>,
    ) -> Result<Option<M>> {
        self.read_within(None, key, options, &mut allocate)
    }

    /// As part of a call whose deadline that is, or as one of its own.
    fn read_within<M: AsMut<[MaybeUninit<u8>]>>(
        &self,
        deadline: Option<Deadline>,
        key: &Key,
        options: &GetOptions,
        allocate: &mut impl FnMut(usize) -> Result<M>,
    ) -> Result<Option<M>> {
        self.require_open()?;
        let key = key.as_object()?;
        let name = self.name(&key.id)?;
        let call = Call { name: Some(&name), deadline, ..Call::default() };
        let integrity = options.integrity.unwrap_or(self.options.integrity);
        self.call(call, |connection, deadline| {
            connection.push(&[b"GET", &name]);
            connection.send(deadline)?;
            next_object(connection, key, integrity, deadline, &mut *allocate)
        })
    }

    /// Refuses where the connector was closed.
    ///
    /// # Errors
    /// `Closed`.
    pub fn require_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::new(ErrorKind::Closed, "the redis connector is closed; build a new one"));
        }
        Ok(())
    }

    fn pool(&self) -> Result<Arc<Pool>> {
        self.require_open()?;
        Ok(self.pool.load().unwrap_or_else(|| {
            let new = Arc::new(Pool::default());
            self.pool.store(new.clone());
            new
        }))
    }

    /// The map of the cluster.
    fn slots(&self, deadline: Deadline) -> Result<Arc<Slots>> {
        let pool = self.pool()?;
        self.call(Call { deadline: Some(deadline), ..Call::default() }, |_, deadline| {
            pool.slots(&self.options, deadline)
        })
    }

    /// The name of an object on the server.
    ///
    /// # Errors
    /// `InvalidKey` for what is no UUID: it belongs to somebody else.
    fn name(&self, id: &ObjectId) -> Result<Vec<u8>> {
        if id.as_uuid().is_none() {
            let shown: String = id.to_string().chars().take(80).collect();
            let message =
                format!("{shown:?} is no key of Redis objects, which are UUIDs; use keys as put returned them");
            return Err(Error::new(ErrorKind::InvalidKey, message));
        }
        Ok(id.with_str(|id| [self.prefix.as_bytes(), id.as_bytes()].concat()))
    }

    /// What a key says of these bytes.
    fn key_of(&self, id: ObjectId, object: &[u8]) -> ObjectKey {
        if self.options.write_once {
            ObjectKey::sealed(id, object, self.options.integrity)
        } else {
            ObjectKey::bare(id)
        }
    }

    fn level(&self, options: &PutOptions) -> Option<Durability> {
        options.durability.or(self.options.durability)
    }

    fn options_properties(&self, server: &Server) -> Properties {
        Properties { durability: server.durability(self.options.ttl.is_some()), ..self.options.properties() }
    }

    /// The words behind an object in a request.
    fn conditions(&self, only_if_new: bool) -> Vec<Vec<u8>> {
        let mut words = Vec::new();
        if let Some(ttl) = self.options.ttl {
            words.extend([b"PX".to_vec(), ttl.as_millis().to_string().into_bytes()]);
        }
        if only_if_new {
            words.push(b"NX".to_vec());
        }
        words
    }

    /// Stores an object. Whether it did, where it was to do so only if there was none. `call` has the deadline, the durability,
    /// and where to note what was lost.
    fn store(&self, call: Call<'_>, key: &ObjectKey, object: &[u8], only_if_new: bool) -> Result<bool> {
        let name = self.name(&key.id)?;
        let writes = [Key::from(key.clone())];
        let call = Call { name: Some(&name), largest: object.len() as u64, writes: &writes, ..call };
        let conditions = self.conditions(only_if_new);
        let after: Vec<&[u8]> = conditions.iter().map(Vec::as_slice).collect();
        self.call(call, |connection, deadline| {
            connection.push_object(&[b"SET", &name], object, &after, deadline)?;
            connection.send(deadline)?;
            let reply = connection.reply(deadline)?;
            Ok(!reply.is_nothing())
        })
    }

    /// For a key that was set before: whether these are the bytes.
    ///
    /// # Errors
    /// `AlreadyExists`. `false` if it has gone since.
    fn is_same(&self, deadline: Deadline, key: &ObjectKey, object: &[u8]) -> Result<bool> {
        let bare = ObjectKey::bare(key.id.clone()).into();
        // It may be ours, stored by a request that was not answered.
        let found = self.get_within(Some(deadline), &bare, &GetOptions::default());
        match found.map_err(|error| error.with_keys([key.clone().into()]))? {
            Some(found) if found == object => Ok(true),
            Some(_) => Err(Error::already_exists(&key.id)),
            None => Ok(false),
        }
    }

    #[expect(unsafe_code, reason = "the length of a buffer that was filled")]
    fn get_within(&self, deadline: Option<Deadline>, key: &Key, options: &GetOptions) -> Result<Option<Bytes>> {
        let buffer = self.read_within(deadline, key, options, &mut Buffer::of)?;
        // SAFETY: `read_within` has filled what it hands out, which is as large as it was asked for.
        Ok(buffer.map(|buffer| unsafe { buffer.filled() }))
    }

    fn evict_within(&self, deadline: Option<Deadline>, key: &Key) -> Result<()> {
        self.require_open()?;
        let name = self.name(&key.as_object()?.id)?;
        let call = Call { name: Some(&name), deadline, writes: std::slice::from_ref(key), ..Call::default() };
        self.call(call, |connection, deadline| connection.ask(&[b"UNLINK", &name], deadline).map(drop))
    }
}

/// How often a set begins anew because the object that was there has gone in the meantime.
const ROUNDS_OF_A_SET: u32 = 16;

impl fmt::Debug for RedisConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisConnector({})", self.options.shown())
    }
}

impl Connector for RedisConnector {
    fn put(&self, object: Bytes, options: &PutOptions) -> Result<Key> {
        self.require_open()?;
        let key = self.key_of(ObjectId::random(), &object);
        let lost = RefCell::default();
        let deadline = Some(self.deadline(object.len() as u64));
        let call = Call { deadline, durability: self.level(options), lost: Some(&lost), ..Call::default() };
        match self.store(call, &key, &object, false) {
            Ok(_) => Ok(key.into()),
            // Whoever wants no more does not want the key either.
            Err(error) if error.kind() == ErrorKind::Interrupted => {
                let part = Part { touched: error.keys().to_vec(), lost: lost.into_inner() };
                Err(self.undo(&[part], error))
            }
            Err(error) => Err(error),
        }
    }

    /// One pipeline; of a cluster, one for each node, all at the same time.
    fn put_batch(&self, objects: &[Bytes], options: &PutOptions) -> Result<Vec<Key>> {
        self.put_batch_while(objects, options, |_| {})
    }

    fn get(&self, key: &Key, options: &GetOptions) -> Result<Option<Bytes>> {
        self.get_within(None, key, options)
    }

    #[expect(unsafe_code, reason = "the length of buffers that were filled")]
    fn get_batch(&self, keys: &[Key], options: &GetOptions) -> Result<Vec<Option<Bytes>>> {
        let buffers = self.get_batch_into(keys, options, |_, size| Buffer::of(size))?;
        // SAFETY: as for one object.
        Ok(buffers.into_iter().map(|buffer| buffer.map(|buffer| unsafe { buffer.filled() })).collect())
    }

    fn exists(&self, key: &Key) -> Result<bool> {
        self.require_open()?;
        let name = self.name(&key.as_object()?.id)?;
        self.call(Call { name: Some(&name), ..Call::default() }, |connection, deadline| {
            Ok(connection.ask(&[b"EXISTS", &name], deadline)? == Reply::Integer(1))
        })
    }

    fn evict(&self, key: &Key) -> Result<()> {
        self.evict_within(None, key)
    }

    fn deferrable(&self) -> Option<&dyn Deferrable> {
        Some(self)
    }

    fn config(&self) -> ConnectorConfig {
        self.options.config()
    }

    /// The durability is that of the server as it was when this process has connected last; before, there is none.
    fn properties(&self) -> Properties {
        match self.pool.load().and_then(|pool| pool.server()) {
            Some(server) => self.options_properties(&server),
            None => self.options.properties(),
        }
    }

    fn check(&self) -> Result<Checkup> {
        let mut checkup = Checkup::of(self)?;
        if let Some(server) = self.pool()?.server() {
            let kind = if self.options.cluster { "cluster, " } else { "" };
            let shown = self.options.shown();
            let place = shown.strip_prefix("redis ").unwrap_or(&shown);
            checkup.server = Some(format!("{kind}{} {place}", server.version));
            checkup.warnings = server.warnings(self.options.ttl.is_some());
        }
        Ok(checkup)
    }

    /// A server keeps no parts of objects, so there is nothing to collect.
    fn gc(&self, _: &GcOptions) -> Result<GcReport> {
        self.require_open()?;
        Ok(GcReport::default())
    }

    fn close(&self, options: &CloseOptions) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Ok(());
        }
        let asked_here = self.options.clear && self.owner == process::token();
        let cleared = if options.clear.unwrap_or(asked_here) { self.clear() } else { Ok(()) };
        if !self.closed.swap(true, Ordering::AcqRel)
            && let Some(pool) = self.pool.take()
        {
            pool.forget();
        }
        cleared
    }
}

impl Deferrable for RedisConnector {
    fn new_key(&self, hint: &KeyHint) -> Result<Key> {
        self.require_open()?;
        if let Some(level) = hint.options.durability {
            // Only a server can say whether it will do.
            self.call(Call { durability: Some(level), ..Call::default() }, |_, _| Ok(()))?;
        }
        Ok(ObjectKey::bare(ObjectId::random()).into())
    }

    fn set(&self, key: &Key, object: Bytes, options: &PutOptions) -> Result<()> {
        self.require_open()?;
        let key = key.as_object()?;
        key.require_same(&object, self.options.integrity)?;
        let deadline = self.deadline(object.len() as u64);
        let call = Call { deadline: Some(deadline), durability: self.level(options), ..Call::default() };
        for _ in 0..ROUNDS_OF_A_SET {
            if self.store(call, key, &object, self.options.write_once)? || self.is_same(deadline, key, &object)? {
                return Ok(());
            }
        }
        let message = "others set and evict the object all the time; call again when they have come to an end";
        Err(Error::new(ErrorKind::Unavailable, message))
    }
}

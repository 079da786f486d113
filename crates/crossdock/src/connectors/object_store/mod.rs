//! Objects in object stores: S3, Google Cloud Storage, Azure Blob Storage, and WebDAV servers.

mod batch;
mod call;
mod errors;
mod fields;
mod get;
mod http;
mod names;
mod options;
mod place;
mod put;
mod remove;
mod runtime;
mod store;
#[cfg(feature = "s3")]
mod uploads;

use std::fmt;
use std::mem::MaybeUninit;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use object_store::path::Path;

use crate::config::ConnectorConfig;
use crate::connector::{Checkup, Connector, Deferrable, Opener, Properties};
use crate::error::{Error, ErrorKind, Result};
use crate::key::{Key, ObjectId, ObjectKey};
use crate::options::{CloseOptions, GcOptions, GcReport, GetOptions, Integrity, KeyHint, PutOptions};
use crate::process::{self, PerProcess};

use batch::Item;
use call::{Call, Engine};
pub use options::ObjectStoreOptions;
use place::Place;
use put::{Left, Stored, Unwritten};

/// The longest id that may be a key, in bytes.
const LONGEST_ID: usize = 128;

/// Keeps objects in a bucket (or a container, or a WebDAV directory), for every process that can reach it.
///
/// An object is stored under its id behind the prefix of the URL: `s3://bucket/prefix/<uuid>`. A put creates and never
/// replaces; above [`multipart_threshold`](ObjectStoreOptions::multipart_threshold) it goes in parts, several at a time, and a
/// get comes so into one buffer. No key reaches anything that is not right below the prefix.
///
/// - **Deadline.** A call with all its retries takes no longer than
///   [`deadline`](ObjectStoreOptions::deadline), a second more for each 8 MiB, and a tenth more to clean up. A retry uses the id
///   of the first attempt, so it leaves no second copy. Where nobody knows how a write ended, the error is
///   [`Ambiguous`](crate::ErrorKind::Ambiguous) and has the key.
/// - **Credentials** come from the options, else from the environment (`AWS_ACCESS_KEY_ID` and the like), else from the
///   machine's role. `~/.aws` is not read. Secrets in options must be references.
/// - **Proxies** are those of the environment (`HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`) or the option `proxy_url`;
///   none leads to a server on this machine that is called by its loopback address.
/// - **TLS** trusts what the system does, and [`ca_file`](ObjectStoreOptions::ca_file).
/// - **Threads and forks.** A few threads of its own move bytes; they begin with the first call. A forked child begins its own.
///   It may be called, and dropped, inside of an asynchronous runtime, which it blocks meanwhile.
/// - **WebDAV** servers know neither conditions nor parts, and may show an object while it is being written: so there are no keys
///   before their objects.
/// - **Leftovers.** Who is killed in the middle of a large put leaves an upload that nobody sees and everybody pays for.
///   [`gc`](Connector::gc) aborts those of S3, where the server lists them; a lifecycle rule of the bucket (`AbortIncompleteMultipartUpload`) does so for S3 and
///   Google Cloud Storage without being asked. Azure forgets them after a week.
///
/// ```no_run
/// use crossdock::ConnectorExt;
/// use crossdock::config::Reference;
/// use crossdock::connectors::{ObjectStoreConnector, ObjectStoreOptions};
/// let options = ObjectStoreOptions::new("s3://runs/today")
///     .option("endpoint", Reference::literal("http://127.0.0.1:9000"))
///     .option("access_key_id", Reference::literal("me"))
///     .option("secret_access_key", Reference::new("${env:MY_SECRET}")?);
/// let store = ObjectStoreConnector::open(&options)?;
/// let key = store.put_bytes("object")?;
/// assert_eq!(store.get_bytes(&key)?.as_deref(), Some(&b"object"[..]));
/// # Ok::<(), crossdock::Error>(())
/// ```
pub struct ObjectStoreConnector {
    options: ObjectStoreOptions,
    place: Place,
    shape: Shape,
    engine: PerProcess<Engine>,
    closed: AtomicBool,
    /// Only the process that asked for clearing clears.
    owner: u64,
}

/// How objects are cut into requests.
#[derive(Clone, Copy, Debug)]
struct Shape {
    threshold: usize,
    part_size: usize,
    concurrency: usize,
    has_ranges: bool,
}

impl Shape {
    fn is_large(self, size: usize) -> bool {
        size > self.threshold
    }
}

impl ObjectStoreConnector {
    /// Resolves the references and checks the options. Reaches no server yet: [`check`](Connector::check) does.
    ///
    /// # Errors
    /// `InvalidConfig`; `Unavailable` where a reference cannot be resolved or this build lacks the service.
    pub fn open(options: &ObjectStoreOptions) -> Result<Self> {
        let options = options.clone().checked()?;
        let place = Place::of(&options)?;
        let in_memory = |size: u64| usize::try_from(size).unwrap_or(usize::MAX);
        let shape = Shape {
            threshold: in_memory(options.multipart_threshold),
            part_size: in_memory(options.part_size),
            concurrency: options.concurrency,
            has_ranges: place.has_ranges(),
        };
        let owner = process::token();
        let connector =
            Self { options, place, shape, engine: PerProcess::empty(), closed: AtomicBool::new(false), owner };
        connector.engine()?;
        Ok(connector)
    }

    /// The object, read into memory of the caller's: what [`Connector::get`] does, without its buffer. `allocate` is told the
    /// size in bytes and gives memory of at least that size, whose first bytes are all filled when it comes back.
    ///
    /// # Errors
    /// As there, and what `allocate` says.
    pub fn get_into<M: AsMut<[MaybeUninit<u8>]>>(
        &self,
        key: &Key,
        options: &GetOptions,
        allocate: impl FnOnce(usize) -> Result<M>,
    ) -> Result<Option<M>> {
        let call = self.call("get an object from", 0)?;
        let key = key.as_object()?;
        get::read_into(&call, &self.path(&key.id)?, key, self.integrity(options), self.shape, allocate)
    }

    /// Refuses where the connector was closed.
    ///
    /// # Errors
    /// `Closed`.
    pub fn require_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::new(ErrorKind::Closed, "the object store connector is closed; build a new one"));
        }
        Ok(())
    }

    /// What this process reaches the store with.
    fn engine(&self) -> Result<Arc<Engine>> {
        if let Some(engine) = self.engine.load() {
            return Ok(engine);
        }
        let engine = Arc::new(Engine::new(self.place.connect(self.options.write_once)?));
        self.engine.store(engine.clone());
        Ok(engine)
    }

    /// A call that does something with the store, and moves so many bytes as far as is known.
    fn call(&self, doing: &str, bytes: u64) -> Result<Call> {
        self.require_open()?;
        self.reach(doing, bytes)
    }

    fn reach(&self, doing: &str, bytes: u64) -> Result<Call> {
        let doing = format!("{doing} {}", self.place.named);
        let call = Call::new(self.engine()?, self.options.deadline, self.options.retries, bytes, doing);
        let no_credentials = "; no credentials were given, so this machine's role was asked for some: set AWS_ACCESS_KEY_ID and \
                              AWS_SECRET_ACCESS_KEY, or access_key_id and secret_access_key (~/.aws is not read)";
        Ok(if self.place.asks_for_credentials { call.hinting(no_credentials) } else { call })
    }

    /// Where the object is, if its id can be one of ours: one segment of a path that means nothing else.
    fn path(&self, id: &ObjectId) -> Result<Path> {
        id.with_str(|text| {
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
            if text.is_empty() || text.len() > LONGEST_ID || text.starts_with('.') || !text.bytes().all(is_plain) {
                let shown: String = text.chars().take(80).collect();
                let message = format!(
                    "{shown:?} cannot be the key of an object in a store: it must be at most {LONGEST_ID} letters, digits, \
                     '-', '_' and '.'; use keys as put returned them"
                );
                return Err(Error::new(ErrorKind::InvalidKey, message));
            }
            Ok(self.place.object(text))
        })
    }

    fn integrity(&self, options: &GetOptions) -> Integrity {
        let own = if options.view { Integrity::Size } else { self.options.integrity };
        options.integrity.unwrap_or(own)
    }

    /// A reader who has the key before the object must not see a part of it.
    fn require_atomic(&self) -> Result<()> {
        if self.place.is_atomic() { Ok(()) } else { Err(Error::not_deferrable()) }
    }

    fn creates(&self) -> bool {
        self.place.is_conditional() && self.options.write_once
    }

    fn key_of(&self, id: ObjectId, object: &Bytes) -> ObjectKey {
        if self.options.write_once {
            ObjectKey::sealed(id, object, self.options.integrity)
        } else {
            ObjectKey::bare(id)
        }
    }

    /// The error of a put under a new id, or of a set. What was written when the caller wanted no more is taken back.
    fn not_written(&self, call: &Call, key: &ObjectKey, path: &Path, unwritten: Unwritten) -> Error {
        let Unwritten { tried, left } = unwritten;
        let is_gone = match left {
            Left::Nothing => true,
            Left::Object => remove::evict_all(call, std::slice::from_ref(path)) == [true],
            Left::Unknown => false,
        };
        let keys = [key.clone().into()];
        match (is_gone, tried.failure.is_interrupted()) {
            (true, _) => call.error(tried),
            (false, false) => call.ambiguous(tried, keys),
            (false, true) => call.error(tried).context("but the object may be there").with_keys(keys),
        }
    }

    /// For a put that finds something under its id, which nobody else knows: its own earlier attempt, if the size is right.
    fn require_own(&self, call: &Call, key: &ObjectKey, path: &Path, object: &Bytes) -> Result<()> {
        match get::size(call, path) {
            Ok(Some(size)) if size == object.len() as u64 => Ok(()),
            Ok(_) => Err(Error::already_exists(&key.id)),
            Err(tried) => Err(call.ambiguous(tried, [key.clone().into()])),
        }
    }

    /// Whether the bytes are stored under the path; `None` if nothing is.
    fn holds(&self, call: &Call, path: &Path, object: &Bytes) -> Result<Option<bool>> {
        let size = get::size(call, path).map_err(|tried| call.error(tried))?;
        match size {
            None => Ok(None),
            Some(size) if size != object.len() as u64 => Ok(Some(false)),
            Some(size) => {
                let key = ObjectKey { size: Some(size), ..ObjectKey::bare("any") };
                let found = get::read(call, path, &key, Integrity::Size, self.shape)?;
                Ok(found.map(|found| found == *object))
            }
        }
    }
}

impl fmt::Debug for ObjectStoreConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ObjectStoreConnector({:?})", self.place.named)
    }
}

impl Connector for ObjectStoreConnector {
    fn put(&self, object: Bytes, options: &PutOptions) -> Result<Key> {
        let call = self.call("put an object into", object.len() as u64)?;
        self.properties().require(options.durability)?;
        let key = self.key_of(ObjectId::random(), &object);
        let path = self.path(&key.id)?;
        match put::write(&call, &path, &object, self.creates(), self.shape) {
            Ok(Stored::New) => {}
            Ok(Stored::Taken) => self.require_own(&call, &key, &path, &object)?,
            Err(unwritten) => return Err(self.not_written(&call, &key, &path, unwritten)),
        }
        Ok(key.into())
    }

    fn put_batch(&self, objects: &[Bytes], options: &PutOptions) -> Result<Vec<Key>> {
        let total: u64 = objects.iter().map(|object| object.len() as u64).sum();
        let call = self.call("put a batch into", total)?;
        self.properties().require(options.durability)?;
        let item = |(id, object)| {
            let key = self.key_of(id, object);
            let path = self.path(&key.id)?;
            Ok(Item::new(key, path, object))
        };
        let mut items =
            ObjectId::several(objects.len()).into_iter().zip(objects).map(item).collect::<Result<Vec<_>>>()?;
        batch::write_all(&call, &mut items, self.creates(), self.shape)?;
        Ok(items.into_iter().map(|item| item.key.into()).collect())
    }

    fn get(&self, key: &Key, options: &GetOptions) -> Result<Option<Bytes>> {
        let call = self.call("get an object from", 0)?;
        let key = key.as_object()?;
        get::read(&call, &self.path(&key.id)?, key, self.integrity(options), self.shape)
    }

    fn get_batch(&self, keys: &[Key], options: &GetOptions) -> Result<Vec<Option<Bytes>>> {
        let call = self.call("get a batch from", 0)?;
        let keys = keys.iter().map(Key::as_object).collect::<Result<Vec<_>>>()?;
        let keys = keys.into_iter().map(|key| Ok((self.path(&key.id)?, key))).collect::<Result<Vec<_>>>()?;
        batch::read_all(&call, keys, self.integrity(options), self.shape)
    }

    fn exists(&self, key: &Key) -> Result<bool> {
        let call = self.call("look for an object in", 0)?;
        let path = self.path(&key.as_object()?.id)?;
        get::size(&call, &path).map(|size| size.is_some()).map_err(|tried| call.error(tried))
    }

    fn evict(&self, key: &Key) -> Result<()> {
        let call = self.call("evict an object from", 0)?;
        let path = self.path(&key.as_object()?.id)?;
        call.ask(async || remove::evict(&call, &path).await).map_err(|tried| {
            let is_known = !tried.failure.may_have_written() || tried.failure.is_interrupted();
            if is_known { call.error(tried) } else { call.ambiguous(tried, [key.clone()]) }
        })
    }

    fn deferrable(&self) -> Option<&dyn Deferrable> {
        self.place.is_atomic().then_some(self)
    }

    fn config(&self) -> ConnectorConfig {
        self.options.config()
    }

    fn properties(&self) -> Properties {
        self.options.properties()
    }

    fn check(&self) -> Result<Checkup> {
        let mut checkup = Checkup::of(self)?;
        let engine = self.engine()?;
        let name = engine.store.http.server().map_or_else(String::new, |name| format!("{name}, "));
        checkup.server = Some(format!("{name}{}", self.place.named));
        if self.place.is_plain {
            checkup.warnings.push("requests and objects travel without TLS".to_owned());
        }
        if self.creates() && !self.keeps_the_first()? {
            let warning = "the server replaces an object that should only be created: of two writers of one deferred key the \
                           later one wins";
            checkup.warnings.push(warning.to_owned());
        }
        Ok(checkup)
    }

    fn gc(&self, options: &GcOptions) -> Result<GcReport> {
        let call = self.call("collect what is left in", 0)?;
        #[cfg(feature = "s3")]
        return remove::gc(&call, &self.place, options);
        #[cfg(not(feature = "s3"))]
        {
            let _: (Call, &GcOptions) = (call, options);
            Ok(GcReport::default())
        }
    }

    fn close(&self, options: &CloseOptions) -> Result<()> {
        if self.closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        let asked_here = self.options.clear && self.owner == process::token();
        let cleared = if options.clear.unwrap_or(asked_here) {
            self.reach("clear", 0).and_then(|call| remove::clear(&call, &self.place))
        } else {
            Ok(())
        };
        drop(self.engine.take());
        cleared
    }
}

impl ObjectStoreConnector {
    /// Whether a put that creates leaves alone what is there.
    fn keeps_the_first(&self) -> Result<bool> {
        let call = self.call("put an object into", 0)?;
        let id = ObjectId::random();
        let path = self.path(&id)?;
        let object = Bytes::from_static(b"crossdock");
        let put = || put::write(&call, &path, &object, true, self.shape);
        let outcome = put().and_then(|_| put());
        let removed = call.ask(async || remove::evict(&call, &path).await);
        let stored = outcome.map_err(|unwritten| self.not_written(&call, &ObjectKey::bare(id), &path, unwritten))?;
        removed.map_err(|tried| call.error(tried))?;
        Ok(stored == Stored::Taken)
    }
}

impl Deferrable for ObjectStoreConnector {
    fn new_key(&self, hint: &KeyHint) -> Result<Key> {
        self.require_open()?;
        self.require_atomic()?;
        self.properties().require(hint.options.durability)?;
        Ok(ObjectKey::bare(ObjectId::random()).into())
    }

    fn set(&self, key: &Key, object: Bytes, options: &PutOptions) -> Result<()> {
        let call = self.call("put an object into", object.len() as u64)?;
        self.require_atomic()?;
        self.properties().require(options.durability)?;
        let key = key.as_object()?;
        key.require_same(&object, self.options.integrity)?;
        let path = self.path(&key.id)?;
        // What would be refused at the end is not sent at all, where it is large or the store cannot refuse.
        let looks_first = self.options.write_once && (!self.creates() || self.shape.is_large(object.len()));
        let mut is_known = if looks_first { self.holds(&call, &path, &object)? } else { None };
        while is_known.is_none() {
            match put::write(&call, &path, &object, self.creates(), self.shape) {
                Ok(Stored::New) => return Ok(()),
                // Gone again, if it does not hold anything: then it is our turn once more.
                // It may be ours, stored by a request that was not answered.
                Ok(Stored::Taken) => {
                    let found = self.holds(&call, &path, &object);
                    is_known = found.map_err(|error| error.with_keys([key.clone().into()]))?;
                }
                Err(mut unwritten) => {
                    if unwritten.left == Left::Object && !self.options.write_once {
                        // It may have taken the place of another one.
                        unwritten.left = Left::Unknown;
                    }
                    return Err(self.not_written(&call, key, &path, unwritten));
                }
            }
        }
        if is_known == Some(true) { Ok(()) } else { Err(Error::already_exists(&key.id)) }
    }
}

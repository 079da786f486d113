//! The connectors of the library that keep bytes outside of this process, as one class: each is read and written without
//! the interpreter lock.

use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use crossdock::{
    Checkup, CloseOptions, Connector, Deferrable, Error, ErrorKind, GcOptions, GetOptions, Key, KeyHint, ObjectKey,
    PutOptions, Result, interrupt,
};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};

use crate::batch;
use crate::channel::Channel;
use crate::checkup;
use crate::errors::{pass, raise, raise_in, type_error};
use crate::keys::{ObjectKeys, no_form};
use crate::object::{NewBytes, NewMemory, Object, view};
use crate::options::put_options;
use crate::shares::{self, Task};
use crate::signals::blocking;

/// What a connector of the library does here besides the contract: reading objects into memory of the caller's.
pub(crate) trait Native: Connector {
    /// # Errors
    /// `Closed`.
    fn require_open(&self) -> Result<()>;

    /// Stores several objects; `meanwhile` may be told their keys before they come back, while others do the work.
    fn put_batch_while(
        &self,
        objects: &[Bytes],
        options: &PutOptions,
        _meanwhile: &mut dyn FnMut(&[ObjectKey]),
    ) -> Result<Vec<Key>> {
        self.put_batch(objects, options)
    }

    /// Reads an object into the memory that `allocate` gives for its size in bytes, perhaps more than once. Whether there
    /// is one.
    fn get_into(&self, key: &Key, allocate: &mut dyn FnMut(usize) -> Result<NewMemory>) -> Result<bool>;

    /// Reads several objects: `allocate` is told the place of each as well.
    fn get_batch_into(
        &self,
        keys: &[Key],
        allocate: &mut (dyn FnMut(usize, usize) -> Result<NewMemory> + Send),
    ) -> Result<Vec<bool>> {
        let read = |(place, key)| {
            interrupt::check()?;
            self.get_into(key, &mut |size| allocate(place, size))
        };
        keys.iter().enumerate().map(read).collect()
    }
}

/// The native part of `crossdock.connectors.file.FileConnector` and of its like. `crossdock._crossdock` has a function to
/// open each.
#[pyclass(frozen, subclass, module = "crossdock._crossdock")]
pub(crate) struct StoredBase(OnceLock<Stored>);

pub(crate) struct Stored {
    pub(crate) connector: Box<dyn Native>,
    pub(crate) keys: &'static ObjectKeys,
    pub(crate) zero_copy: bool,
}

/// Up to this size, in bytes, a key is believed before its object was looked for: memory is cheaper to get with the
/// interpreter lock still held.
const MAY_LIE: usize = 1 << 20;
/// The same for all keys of a batch together.
const ALL_MAY_LIE: usize = 64 << 20;

impl StoredBase {
    /// Once, by what opens the connector.
    pub(crate) fn fill(&self, stored: Stored) -> PyResult<()> {
        self.0.set(stored).map_err(|_| type_error("the connector was built already"))
    }

    pub(crate) fn stored(&self) -> Result<&Stored> {
        self.0.get().ok_or_else(|| Error::new(ErrorKind::Closed, "the connector was never built"))
    }
}

impl Stored {
    /// Whether its calls wait for another machine.
    pub(crate) fn is_remote(&self) -> bool {
        self.connector.properties().remote
    }

    fn shown<'py>(&self, py: Python<'py>, key: &Key) -> Result<Bound<'py, PyAny>> {
        self.keys.to_python(py, key.as_object()?).map_err(pass)
    }

    fn shown_all(&self, py: Python<'_>, keys: &[ObjectKey]) -> PyResult<Vec<Py<PyAny>>> {
        keys.iter().map(|key| self.keys.to_python(py, key).map(Bound::unbind)).collect()
    }

    fn deferrable(&self) -> Result<&dyn Deferrable> {
        self.connector.deferrable().ok_or_else(Error::not_deferrable)
    }

    fn read<'py>(&self, py: Python<'py>, key: &Key, as_view: bool) -> Result<Option<Bound<'py, PyAny>>> {
        if as_view {
            let found = blocking(py, || self.connector.get(key, &GetOptions::view()))?;
            return found.map(|bytes| view(py, bytes)).transpose();
        }
        let mut object = match told_size(key)? {
            Some(size) if size <= MAY_LIE => Some(NewBytes::allocate(py, size)?),
            _ => None,
        };
        let found = blocking(py, || self.connector.get_into(key, &mut |size| memory_in(&mut object, size)))?;
        Ok(object.filter(|_| found).map(|object| object.filled(py).into_any()))
    }
}

/// The share of one connector in a batch of puts.
pub(crate) struct PutShare<'a> {
    stored: &'a Stored,
    objects: Vec<Bytes>,
    options: &'a PutOptions,
    /// The keys as Python has them, where they were told while others did the work.
    shown: Option<PyResult<Vec<Py<PyAny>>>>,
}

impl<'a> PutShare<'a> {
    pub(crate) fn prepare(stored: &'a Stored, objects: &[&Object<'_>], options: &'a PutOptions) -> Result<Self> {
        let objects = objects.iter().map(|object| object.to_native()).collect::<Result<_>>()?;
        Ok(Self { stored, objects, options, shown: None })
    }
}

impl Task for PutShare<'_> {
    type Done = Vec<Key>;
    type Item<'py> = Bound<'py, PyAny>;

    fn run(&mut self) -> Result<Vec<Key>> {
        let Self { stored, objects, options, shown } = self;
        let mut show = |keys: &[ObjectKey]| *shown = Some(Python::attach(|py| stored.shown_all(py, keys)));
        stored.connector.put_batch_while(objects, options, &mut show)
    }

    fn finish<'py>(self, py: Python<'py>, keys: Vec<Key>) -> Result<Vec<Bound<'py, PyAny>>> {
        match self.shown {
            Some(shown) => Ok(shown.map_err(pass)?.into_iter().map(|key| key.into_bound(py)).collect()),
            None => keys.iter().map(|key| self.stored.shown(py, key)).collect(),
        }
    }
}

/// The share of one connector in a batch of gets.
pub(crate) struct GetShare<'a> {
    stored: &'a Stored,
    keys: Vec<Key>,
    /// Memory for the objects, unless they are to be views; made here already where their keys are believed.
    memory: Option<Vec<Option<NewBytes>>>,
}

/// What was found.
pub(crate) enum Found {
    Views(Vec<Option<Bytes>>),
    /// Whether each object was read into its memory.
    Read(Vec<bool>),
}

impl<'a> GetShare<'a> {
    pub(crate) fn prepare(stored: &'a Stored, keys: &[Bound<'_, PyAny>], view: Option<bool>) -> Result<Self> {
        stored.connector.require_open()?;
        let given = keys;
        let keys: Vec<Key> = keys.iter().map(|key| stored.keys.to_native(key)).collect::<Result<_>>()?;
        let Some(first) = given.first().filter(|_| !view.unwrap_or(stored.zero_copy)) else {
            return Ok(Self { stored, keys, memory: None });
        };
        let mut believed = 0;
        let believe = |key: &Key| match told_size(key)? {
            Some(size) if size <= MAY_LIE && size <= ALL_MAY_LIE - believed => {
                believed += size;
                NewBytes::allocate(first.py(), size).map(Some)
            }
            _ => Ok(None),
        };
        let memory = keys.iter().map(believe).collect::<Result<_>>()?;
        Ok(Self { stored, keys, memory: Some(memory) })
    }
}

impl Task for GetShare<'_> {
    type Done = Found;
    type Item<'py> = Option<Bound<'py, PyAny>>;

    fn run(&mut self) -> Result<Found> {
        let connector = &self.stored.connector;
        let Some(memory) = &mut self.memory else {
            return connector.get_batch(&self.keys, &GetOptions::view()).map(Found::Views);
        };
        let mut allocate = |place: usize, size| match memory.get_mut(place) {
            Some(object) => memory_in(object, size),
            None => Err(Error::new(ErrorKind::Unsupported, "there is no such place in the batch")),
        };
        connector.get_batch_into(&self.keys, &mut allocate).map(Found::Read)
    }

    fn finish<'py>(self, py: Python<'py>, found: Found) -> Result<Vec<Option<Bound<'py, PyAny>>>> {
        match found {
            Found::Views(found) => {
                found.into_iter().map(|bytes| bytes.map(|bytes| view(py, bytes)).transpose()).collect()
            }
            Found::Read(found) => {
                let objects = self.memory.into_iter().flatten().zip(found);
                Ok(objects
                    .map(|(object, found)| object.filter(|_| found).map(|object| object.filled(py).into_any()))
                    .collect())
            }
        }
    }
}

/// The size in bytes that a key says, if there can be so much memory at all.
fn told_size(key: &Key) -> Result<Option<usize>> {
    Ok(key.as_object()?.size.and_then(|size| usize::try_from(size).ok()))
}

/// Memory of `bytes` that are made now, unless they are there and of that size.
#[expect(unsafe_code, reason = "the way of the bytes")]
fn memory_in(object: &mut Option<NewBytes>, size: usize) -> Result<NewMemory> {
    let new = match object {
        Some(object) if object.size() == size => object,
        _ => Python::attach(|py| NewBytes::allocate(py, size).map(|new| object.insert(new)))?,
    };
    // SAFETY: whoever reads into the memory has forgotten it when he asks for this object's again, and when he returns; only
    // then is the object replaced or handed out.
    Ok(unsafe { new.detached_memory() })
}

impl Channel for StoredBase {
    fn put<'py>(&self, py: Python<'py>, object: &Object<'py>, options: &PutOptions) -> Result<Bound<'py, PyAny>> {
        let stored = self.stored()?;
        let bytes = object.to_native()?;
        let key = blocking(py, || stored.connector.put(bytes.clone(), options))?;
        stored.shown(py, &key)
    }

    fn put_batch<'py>(
        &self,
        py: Python<'py>,
        objects: &[&Object<'py>],
        options: &PutOptions,
    ) -> Result<Vec<Bound<'py, PyAny>>> {
        shares::alone(py, PutShare::prepare(self.stored()?, objects, options)?)
    }

    fn get<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
        view: Option<bool>,
    ) -> Result<Option<Bound<'py, PyAny>>> {
        let stored = self.stored()?;
        stored.read(py, &stored.keys.to_native(key)?, view.unwrap_or(stored.zero_copy))
    }

    fn get_batch<'py>(
        &self,
        py: Python<'py>,
        keys: &[Bound<'py, PyAny>],
        view: Option<bool>,
    ) -> Result<Vec<Option<Bound<'py, PyAny>>>> {
        shares::alone(py, GetShare::prepare(self.stored()?, keys, view)?)
    }

    fn exists(&self, py: Python<'_>, key: &Bound<'_, PyAny>) -> Result<bool> {
        let stored = self.stored()?;
        let key = stored.keys.to_native(key)?;
        blocking(py, || stored.connector.exists(&key))
    }

    fn evict(&self, py: Python<'_>, key: &Bound<'_, PyAny>) -> Result<()> {
        let stored = self.stored()?;
        let key = stored.keys.to_native(key)?;
        blocking(py, || stored.connector.evict(&key))
    }

    fn new_key<'py>(
        &self,
        py: Python<'py>,
        _: Option<&Object<'py>>,
        options: &PutOptions,
    ) -> Result<Option<Bound<'py, PyAny>>> {
        let stored = self.stored()?;
        let hint = KeyHint::new().options(options.clone());
        let key = blocking(py, || stored.deferrable()?.new_key(&hint))?;
        stored.shown(py, &key).map(Some)
    }

    fn set<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
        object: &Object<'py>,
        options: &PutOptions,
    ) -> Result<()> {
        let stored = self.stored()?;
        let (key, bytes) = (stored.keys.to_native(key)?, object.to_native()?);
        blocking(py, || stored.deferrable()?.set(&key, bytes.clone(), options))
    }

    fn check(&self, py: Python<'_>) -> Result<Checkup> {
        let stored = self.stored()?;
        blocking(py, || stored.connector.check())
    }

    fn shown_key<'py>(&self, py: Python<'py>, key: &Key) -> PyResult<Bound<'py, PyAny>> {
        let Key::Object(own) = key else { return Err(no_form(key)) };
        self.stored().map_err(|error| raise(py, &error))?.keys.to_python(py, own)
    }
}

#[pymethods]
impl StoredBase {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self(OnceLock::new())
    }

    /// For types only: `StoredBase[FileKey]` is this class.
    #[classmethod]
    #[pyo3(signature = (_keys, /))]
    fn __class_getitem__<'py>(cls: &Bound<'py, PyType>, _keys: &Bound<'py, PyAny>) -> Bound<'py, PyType> {
        cls.clone()
    }

    fn _close(&self, py: Python<'_>, clear: Option<bool>) -> PyResult<()> {
        let Some(stored) = self.0.get() else { return Ok(()) };
        let options = clear.map_or_else(CloseOptions::default, |clear| CloseOptions::default().clear(clear));
        blocking(py, || stored.connector.close(&options)).map_err(|error| raise_in(py, self, error, "close"))
    }

    /// Store an object under a new key.
    ///
    /// Args:
    ///     obj: `bytes` or another contiguous buffer.
    ///     durability: `'process'` or `'host'`: what the object survives once this returns. Default: the connector's.
    ///
    /// Returns:
    ///     The key, with the size and the checksum.
    ///
    /// Raises:
    ///     TypeError: The object is no buffer.
    ///     ValueError: It is not contiguous in memory.
    ///     FullError, TooLargeError, UnavailableError: It could not be written; nothing was.
    ///     UnsupportedError: The durability is not reached here.
    ///     ClosedError: The connector is closed.
    ///
    /// Example:
    ///     >>> import tempfile
    ///     >>> from crossdock.connectors.file import FileConnector
    ///     >>> connector = FileConnector(tempfile.mkdtemp())
    ///     >>> key = connector.put(b'object')
    ///     >>> connector.get(key)
    ///     b'object'
    #[pyo3(signature = (obj, *, durability=None))]
    fn put<'py>(
        &self,
        py: Python<'py>,
        obj: &Bound<'py, PyAny>,
        durability: Option<&str>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let put = Channel::put(self, py, &Object::new(obj)?, &put_options(None, None, durability)?);
        put.map_err(|error| raise_in(py, self, error, "put"))
    }

    /// Store several objects: all of them or none.
    ///
    /// When one fails, those already written are evicted again.
    ///
    /// Args:
    ///     objs: The objects, each as for `put`.
    ///     durability: `'process'` or `'host'`: what the object survives once this returns. Default: the connector's.
    ///
    /// Returns:
    ///     Their keys, in their order.
    ///
    /// Raises:
    ///     As `put`.
    #[pyo3(signature = (objs, *, durability=None))]
    fn put_batch<'py>(
        &self,
        py: Python<'py>,
        objs: &Bound<'py, PyAny>,
        durability: Option<&str>,
    ) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let objects = batch::objects(objs)?;
        let put = Channel::put_batch(self, py, &batch::all(&objects), &put_options(None, None, durability)?);
        put.map_err(|error| raise_in(py, self, error, "put_batch"))
    }

    /// The object of a key.
    ///
    /// Args:
    ///     key: The key, as `put` returned it; a tuple or list of the same items will do.
    ///     zero_copy: A read-only memoryview that keeps its memory alive, instead of `bytes`. Default: what the connector
    ///         was built with.
    ///
    /// Returns:
    ///     The object, or `None` if there is none.
    ///
    /// Raises:
    ///     InvalidKeyError: The key is none of this connector's.
    ///     CorruptError: The bytes found are not those that the key speaks of.
    ///     UnavailableError: The directory cannot be reached.
    ///     ClosedError: The connector is closed.
    #[pyo3(signature = (key, *, zero_copy=None))]
    fn get<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
        zero_copy: Option<bool>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        Channel::get(self, py, key, zero_copy).map_err(|error| raise_in(py, self, error, "get"))
    }

    /// Several objects.
    ///
    /// Args:
    ///     keys: Their keys.
    ///     zero_copy: As for `get`.
    ///
    /// Returns:
    ///     The objects in the order of their keys, `None` where there is none.
    ///
    /// Raises:
    ///     As `get`, for the first key that fails.
    #[pyo3(signature = (keys, *, zero_copy=None))]
    fn get_batch<'py>(
        &self,
        py: Python<'py>,
        keys: &Bound<'py, PyAny>,
        zero_copy: Option<bool>,
    ) -> PyResult<Vec<Option<Bound<'py, PyAny>>>> {
        let got = Channel::get_batch(self, py, &batch::keys(keys)?, zero_copy);
        got.map_err(|error| raise_in(py, self, error, "get_batch"))
    }

    /// Whether the object is there.
    ///
    /// Raises:
    ///     InvalidKeyError: The key is none of this connector's.
    ///     UnavailableError: The directory cannot be reached.
    ///     ClosedError: The connector is closed.
    fn exists(&self, py: Python<'_>, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        Channel::exists(self, py, key).map_err(|error| raise_in(py, self, error, "exists"))
    }

    /// Remove the object. It is no error if there is none; what was handed out stays valid.
    ///
    /// Raises:
    ///     InvalidKeyError: The key is none of this connector's.
    ///     UnavailableError: The directory cannot be reached.
    ///     ClosedError: The connector is closed.
    fn evict(&self, py: Python<'_>, key: &Bound<'_, PyAny>) -> PyResult<()> {
        Channel::evict(self, py, key).map_err(|error| raise_in(py, self, error, "evict"))
    }

    /// A key whose object does not exist yet: `exists` is false and `get` is `None` until `set`.
    ///
    /// Args:
    ///     obj: Not looked at; ProxyStore passes it.
    ///
    /// Raises:
    ///     ClosedError: The connector is closed.
    #[pyo3(signature = (obj=None))]
    fn new_key<'py>(&self, py: Python<'py>, obj: Option<&Bound<'py, PyAny>>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let object = obj.map(Object::new).transpose()?;
        let key = Channel::new_key(self, py, object.as_ref(), &PutOptions::new());
        key.map_err(|error| raise_in(py, self, error, "new_key"))
    }

    /// Store the object of a key that `new_key` made. Setting the same bytes again is fine.
    ///
    /// Args:
    ///     key: The key.
    ///     obj: The object, as for `put`.
    ///     durability: As for `put`.
    ///
    /// Raises:
    ///     AlreadyExistsError: The key holds other bytes; objects are written once.
    ///     Others: As `put`.
    #[pyo3(signature = (key, obj, *, durability=None))]
    fn set<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
        obj: &Bound<'py, PyAny>,
        durability: Option<&str>,
    ) -> PyResult<()> {
        let set = Channel::set(self, py, key, &Object::new(obj)?, &put_options(None, None, durability)?);
        set.map_err(|error| raise_in(py, self, error, "set"))
    }

    /// Put, get and evict a small object, and tell how that went.
    ///
    /// Raises:
    ///     UnavailableError: It does not work; the message says why.
    ///     Others: As `put`, `get` and `evict`.
    fn check<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let checked = Channel::check(self, py).map_err(|error| raise_in(py, self, error, "check"))?;
        checkup::to_python(py, &checked)
    }

    /// Remove what killed writers left behind. Objects are never touched.
    ///
    /// Args:
    ///     min_age: Leave what is younger, in seconds: somebody may still be writing it.
    ///     dry_run: Only count.
    ///
    /// Returns:
    ///     `removed` and `kept`, in leftovers, and `bytes` of those removed.
    #[pyo3(signature = (min_age=3600.0, dry_run=false))]
    fn gc<'py>(&self, py: Python<'py>, min_age: f64, dry_run: bool) -> PyResult<Bound<'py, PyDict>> {
        let age = Duration::try_from_secs_f64(min_age)
            .map_err(|_| PyValueError::new_err(format!("min_age is a number of seconds from 0 up, not {min_age}")))?;
        let options = GcOptions::default().min_age(age).dry_run(dry_run);
        let report = self.stored().and_then(|stored| blocking(py, || stored.connector.gc(&options)));
        let report = report.map_err(|error| raise_in(py, self, error, "gc"))?;
        let found = PyDict::new(py);
        found.set_item("removed", report.removed)?;
        found.set_item("bytes", report.bytes)?;
        found.set_item("kept", report.kept)?;
        Ok(found)
    }
}

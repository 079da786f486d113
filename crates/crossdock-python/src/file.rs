//! `FileConnector`: objects as files, read and written without the interpreter lock.

use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use crossdock::config::Reference;
use crossdock::connectors::{FileConnector, FileOptions};
use crossdock::{
    CloseOptions, Connector, Deferrable, Error, ErrorKind, GcOptions, GetOptions, Key, KeyHint, PutOptions, Result,
};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::channel::Channel;
use crate::errors::{pass, raise};
use crate::object::{NewBytes, NewMemory, Object, view};
use crate::options::{parse_durability, parse_integrity, put_options};
use crate::signals::blocking;
use crate::{batch, keys};

/// The native part of `crossdock.connectors.file.FileConnector`.
#[pyclass(frozen, subclass, module = "crossdock._crossdock")]
pub(crate) struct FileBase(OnceLock<Files>);

/// Up to this size, in bytes, a key is believed before its file was looked at: memory is cheaper to get with the interpreter
/// lock still held.
const MAY_LIE: usize = 1 << 20;

struct Files {
    connector: FileConnector,
    dir: String,
    zero_copy: bool,
}

impl FileBase {
    fn files(&self) -> Result<&Files> {
        self.0.get().ok_or_else(|| Error::new(ErrorKind::Closed, "the file connector was never built"))
    }
}

impl Files {
    fn key<'py>(&self, py: Python<'py>, key: &Key) -> Result<Bound<'py, PyAny>> {
        keys::from_native(py, key).map_err(pass)
    }

    fn read<'py>(&self, py: Python<'py>, key: &Key, as_view: bool) -> Result<Option<Bound<'py, PyAny>>> {
        if as_view {
            let found = blocking(py, || self.connector.get(key, &GetOptions::view()))?;
            return found.map(|bytes| view(py, bytes)).transpose();
        }
        let mut object = match key.as_object()?.size.and_then(|size| usize::try_from(size).ok()) {
            Some(size) if size <= MAY_LIE => Some(NewBytes::allocate(py, size)?),
            _ => None,
        };
        let found = blocking(py, || {
            let allocate = |size| match &mut object {
                Some(object) if object.size() == size => Ok(detached(object)),
                _ => Python::attach(|py| NewBytes::allocate(py, size).map(|new| detached(object.insert(new)))),
            };
            self.connector.get_into(key, &GetOptions::default(), allocate).map(|filled| filled.is_some())
        })?;
        Ok(object.filter(|_| found).map(|object| object.filled(py).into_any()))
    }
}

/// The memory of bytes that stay where they are until the file has been read into it.
#[expect(unsafe_code, reason = "the way of the bytes")]
fn detached(object: &mut NewBytes) -> NewMemory {
    // SAFETY: `read` keeps the object, and hands it out only after `get_into` has returned and its memory is forgotten.
    unsafe { object.detached_memory() }
}

impl Channel for FileBase {
    fn put<'py>(&self, py: Python<'py>, object: &Object<'py>, options: &PutOptions) -> Result<Bound<'py, PyAny>> {
        let files = self.files()?;
        let bytes = object.to_native()?;
        let key = blocking(py, || files.connector.put(bytes.clone(), options))?;
        files.key(py, &key)
    }

    fn put_batch<'py>(
        &self,
        py: Python<'py>,
        objects: &[&Object<'py>],
        options: &PutOptions,
    ) -> Result<Vec<Bound<'py, PyAny>>> {
        let files = self.files()?;
        let bytes: Vec<Bytes> = objects.iter().map(|object| object.to_native()).collect::<Result<_>>()?;
        let keys = blocking(py, || files.connector.put_batch(&bytes, options))?;
        keys.iter().map(|key| files.key(py, key)).collect()
    }

    fn get<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
        view: Option<bool>,
    ) -> Result<Option<Bound<'py, PyAny>>> {
        let files = self.files()?;
        files.read(py, &keys::to_native(key)?, view.unwrap_or(files.zero_copy))
    }

    fn get_batch<'py>(
        &self,
        py: Python<'py>,
        keys: &[Bound<'py, PyAny>],
        view: Option<bool>,
    ) -> Result<Vec<Option<Bound<'py, PyAny>>>> {
        self.files()?.connector.require_open()?;
        keys.iter().map(|key| Channel::get(self, py, key, view)).collect()
    }

    fn exists(&self, py: Python<'_>, key: &Bound<'_, PyAny>) -> Result<bool> {
        let (files, key) = (self.files()?, keys::to_native(key)?);
        blocking(py, || files.connector.exists(&key))
    }

    fn evict(&self, py: Python<'_>, key: &Bound<'_, PyAny>) -> Result<()> {
        let (files, key) = (self.files()?, keys::to_native(key)?);
        blocking(py, || files.connector.evict(&key))
    }

    fn new_key<'py>(
        &self,
        py: Python<'py>,
        _: Option<&Object<'py>>,
        options: &PutOptions,
    ) -> Result<Option<Bound<'py, PyAny>>> {
        let files = self.files()?;
        let hint = KeyHint::new().options(options.clone());
        let key = blocking(py, || files.connector.new_key(&hint))?;
        files.key(py, &key).map(Some)
    }

    fn set<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
        object: &Object<'py>,
        options: &PutOptions,
    ) -> Result<()> {
        let (files, key, bytes) = (self.files()?, keys::to_native(key)?, object.to_native()?);
        blocking(py, || files.connector.set(&key, bytes.clone(), options))
    }
}

#[pymethods]
impl FileBase {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self(OnceLock::new())
    }

    /// `dir` may hold references; without any it is taken from the working directory now. `clear`: `None` where the
    /// connector comes from a config, whose directory only a put makes.
    #[expect(clippy::too_many_arguments, reason = "one for each option of the constructor")]
    fn _setup(
        &self,
        py: Python<'_>,
        dir: &str,
        clear: Option<bool>,
        durability: &str,
        integrity: &str,
        allow_foreign_owner: bool,
        make_dir: bool,
        write_once: bool,
        max_total_bytes: Option<u64>,
        zero_copy: bool,
    ) -> PyResult<()> {
        let options = if dir.contains("${") {
            FileOptions::at(Reference::new(dir).map_err(|error| raise(py, &error))?)
        } else {
            FileOptions::new(dir)
        };
        let options = options
            .clear(clear.unwrap_or(false))
            .durability(parse_durability(durability)?)
            .integrity(parse_integrity(integrity)?)
            .allow_foreign_owner(allow_foreign_owner)
            .make_dir(make_dir)
            .write_once(write_once);
        let options = match max_total_bytes {
            Some(bytes) => options.max_total_bytes(bytes),
            None => options,
        };
        let open = || match clear {
            Some(_) if make_dir => FileConnector::open(&options),
            _ => FileConnector::attach(&options),
        };
        let connector = blocking(py, open).map_err(|error| raise(py, &error.during("open")))?;
        let files = Files { connector, dir: options.dir().to_owned(), zero_copy };
        self.0.set(files).map_err(|_| crate::errors::type_error("the connector was built already"))
    }

    /// The directory as the config says it.
    #[getter]
    fn _dir(&self, py: Python<'_>) -> PyResult<&str> {
        Ok(&self.files().map_err(|error| raise(py, &error))?.dir)
    }

    fn _close(&self, py: Python<'_>, clear: Option<bool>) -> PyResult<()> {
        let Some(files) = self.0.get() else { return Ok(()) };
        let options = clear.map_or_else(CloseOptions::default, |clear| CloseOptions::default().clear(clear));
        blocking(py, || files.connector.close(&options)).map_err(|error| raise(py, &error.during("close")))
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
        put.map_err(|error| raise(py, &error.during("put")))
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
        put.map_err(|error| raise(py, &error.during("put_batch")))
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
        Channel::get(self, py, key, zero_copy).map_err(|error| raise(py, &error.during("get")))
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
        got.map_err(|error| raise(py, &error.during("get_batch")))
    }

    /// Whether the object is there.
    ///
    /// Raises:
    ///     InvalidKeyError: The key is none of this connector's.
    ///     UnavailableError: The directory cannot be reached.
    ///     ClosedError: The connector is closed.
    fn exists(&self, py: Python<'_>, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        Channel::exists(self, py, key).map_err(|error| raise(py, &error.during("exists")))
    }

    /// Remove the object. It is no error if there is none; what was handed out stays valid.
    ///
    /// Raises:
    ///     InvalidKeyError: The key is none of this connector's.
    ///     UnavailableError: The directory cannot be reached.
    ///     ClosedError: The connector is closed.
    fn evict(&self, py: Python<'_>, key: &Bound<'_, PyAny>) -> PyResult<()> {
        Channel::evict(self, py, key).map_err(|error| raise(py, &error.during("evict")))
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
        key.map_err(|error| raise(py, &error.during("new_key")))
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
        set.map_err(|error| raise(py, &error.during("set")))
    }

    /// Write, read and evict a small object.
    ///
    /// Raises:
    ///     UnavailableError: It does not work; the message says why.
    fn check(&self, py: Python<'_>) -> PyResult<()> {
        let checked = self.files().and_then(|files| blocking(py, || files.connector.check()));
        checked.map_err(|error| raise(py, &error.during("check")))
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
        let report = self.files().and_then(|files| blocking(py, || files.connector.gc(&options)));
        let report = report.map_err(|error| raise(py, &error.during("gc")))?;
        let found = PyDict::new(py);
        found.set_item("removed", report.removed)?;
        found.set_item("bytes", report.bytes)?;
        found.set_item("kept", report.kept)?;
        Ok(found)
    }
}

//! `LocalConnector`: objects in a dictionary of Python, so that what was put comes back as the same object.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crossdock::connectors::LocalOptions;
use crossdock::{Error, ErrorKind, ObjectId, Opener, PutOptions, Result, process};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString, PyTuple};
use pyo3::{PyTraverseError, PyVisit};

use crate::channel::{Channel, undo};
use crate::errors::{pass, raise};
use crate::keys;
use crate::object::{Object, size_of, view_of};
use crate::options::put_options;
use crate::store::Store;

/// The native part of `crossdock.connectors.local.LocalConnector`.
#[pyclass(frozen, subclass, module = "crossdock._crossdock")]
pub(crate) struct LocalBase(OnceLock<Local>);

struct Local {
    /// From `LocalKey` to `bytes`.
    store: Store,
    max_total_bytes: Option<u64>,
    used: AtomicU64,
    zero_copy: bool,
    write_once: bool,
    closed: AtomicBool,
}

fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the local connector is closed; build a new one")
}

impl LocalBase {
    fn open(&self) -> Result<&Local> {
        self.0.get().filter(|local| !local.closed.load(Ordering::Relaxed)).ok_or_else(closed)
    }
}

impl Local {
    /// Finds the object of a key; one that another process made is refused where it is not here.
    fn find<'py>(&self, py: Python<'py>, key: &Bound<'py, PyAny>) -> Result<Option<Bound<'py, PyAny>>> {
        let listed;
        let tuple = match key.cast::<PyTuple>() {
            Ok(tuple) => tuple,
            Err(_) => {
                listed = keys::local_tuple(key)?;
                &listed
            }
        };
        match self.store.get(py, tuple) {
            Ok(Some(object)) => Ok(Some(object)),
            Ok(None) => self.refuse_foreign(key, tuple).map(|_| None),
            // What cannot be hashed is no key.
            Err(raised) if raised.is_instance_of::<PyTypeError>(py) => Err(keys::invalid(key, keys::LOCAL_KEY)),
            Err(raised) => Err(pass(raised)),
        }
    }

    fn refuse_foreign(&self, key: &Bound<'_, PyAny>, tuple: &Bound<'_, PyTuple>) -> Result<ObjectId> {
        let id = keys::local_id(key, tuple)?;
        if process::is_foreign(&id) { Err(Error::made_elsewhere()) } else { Ok(id) }
    }

    fn new_key<'py>(&self, py: Python<'py>) -> Result<Bound<'py, PyAny>> {
        let id = process::next_id().with_str(|id| PyString::new(py, id));
        keys::local_key(py).and_then(|class| keys::new_tuple(class, [id.into_any()])).map_err(pass)
    }

    /// The count with `size` bytes in place of `freed` ones.
    fn with_room(&self, size: u64, freed: u64) -> Result<u64> {
        let others = self.used.load(Ordering::Relaxed).saturating_sub(freed);
        let sum = others.saturating_add(size);
        match self.max_total_bytes {
            Some(max) if sum > max && size > freed => Err(Error::over_quota(size, others, max)),
            _ => Ok(sum),
        }
    }

    fn release(&self, size: u64) {
        self.used.store(self.used.load(Ordering::Relaxed).saturating_sub(size), Ordering::Relaxed);
    }

    /// Puts an object in place of the one that is there, if one is. The bytes were made before anybody looked: in between,
    /// no other thread gets a turn, unless the store is the caller's and lets it.
    fn insert<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
        bytes: &Bound<'py, PyBytes>,
        present: Option<&Bound<'py, PyAny>>,
    ) -> Result<()> {
        let (size, freed) = (bytes.as_bytes().len() as u64, present.map_or(0, size_of));
        self.used.store(self.with_room(size, freed)?, Ordering::Relaxed);
        self.store.set(py, key, bytes).map_err(|raised| {
            self.used.store(self.used.load(Ordering::Relaxed).saturating_add(freed), Ordering::Relaxed);
            self.release(size);
            pass(raised)
        })
    }

    fn handed_out<'py>(&self, object: Bound<'py, PyAny>, view: Option<bool>) -> Result<Bound<'py, PyAny>> {
        if view.unwrap_or(self.zero_copy) { view_of(&object) } else { Ok(object) }
    }
}

impl Channel for LocalBase {
    fn put<'py>(&self, py: Python<'py>, object: &Object<'py>, options: &PutOptions) -> Result<Bound<'py, PyAny>> {
        let local = self.open()?;
        LocalOptions::new().properties().require(options.durability)?;
        let bytes = object.to_pybytes()?;
        let key = local.new_key(py)?;
        local.insert(py, &key, &bytes, None)?;
        Ok(key)
    }

    fn put_batch<'py>(
        &self,
        py: Python<'py>,
        objects: &[&Object<'py>],
        options: &PutOptions,
    ) -> Result<Vec<Bound<'py, PyAny>>> {
        self.open()?;
        let mut written = Vec::with_capacity(objects.len());
        for object in objects {
            match Channel::put(self, py, object, options) {
                Ok(key) => written.push(key),
                Err(error) => return Err(undo(self, py, written, error)),
            }
        }
        Ok(written)
    }

    fn get<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
        view: Option<bool>,
    ) -> Result<Option<Bound<'py, PyAny>>> {
        let local = self.open()?;
        match local.find(py, key)? {
            Some(object) => local.handed_out(object, view).map(Some),
            None => Ok(None),
        }
    }

    fn get_batch<'py>(
        &self,
        py: Python<'py>,
        keys: &[Bound<'py, PyAny>],
        view: Option<bool>,
    ) -> Result<Vec<Option<Bound<'py, PyAny>>>> {
        self.open()?;
        keys.iter().map(|key| Channel::get(self, py, key, view)).collect()
    }

    fn exists(&self, py: Python<'_>, key: &Bound<'_, PyAny>) -> Result<bool> {
        Ok(self.open()?.find(py, key)?.is_some())
    }

    fn evict(&self, py: Python<'_>, key: &Bound<'_, PyAny>) -> Result<()> {
        let local = self.open()?;
        if let Some(object) = local.find(py, key)? {
            let tuple = keys::local_tuple(key)?;
            if local.store.remove(py, &tuple).map_err(pass)? {
                local.release(size_of(&object));
            }
        }
        Ok(())
    }

    fn new_key<'py>(
        &self,
        py: Python<'py>,
        _: Option<&Object<'py>>,
        options: &PutOptions,
    ) -> Result<Option<Bound<'py, PyAny>>> {
        let local = self.open()?;
        LocalOptions::new().properties().require(options.durability)?;
        local.new_key(py).map(Some)
    }

    fn set<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
        object: &Object<'py>,
        options: &PutOptions,
    ) -> Result<()> {
        let local = self.open()?;
        LocalOptions::new().properties().require(options.durability)?;
        let bytes = object.to_pybytes()?;
        let present = local.find(py, key)?;
        let tuple = keys::local_tuple(key)?;
        let own = || {
            let class = keys::local_key(py)?;
            keys::new_tuple(class, [tuple.get_item(0)?])
        };
        match present {
            Some(present) if present.eq(&bytes).map_err(pass)? => Ok(()),
            None => local.insert(py, &own().map_err(pass)?, &bytes, None),
            Some(present) if !local.write_once => local.insert(py, &own().map_err(pass)?, &bytes, Some(&present)),
            Some(_) => Err(Error::already_exists(&keys::local_id(key, &tuple)?)),
        }
    }

    fn is_instant(&self) -> bool {
        true
    }
}

#[pymethods]
impl LocalBase {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self(OnceLock::new())
    }

    fn _setup(
        &self,
        py: Python<'_>,
        store: &Bound<'_, PyAny>,
        max_total_bytes: Option<u64>,
        zero_copy: bool,
        write_once: bool,
    ) -> PyResult<()> {
        let store = Store::new(store);
        let used = store.size(py)?;
        let local = Local {
            store,
            max_total_bytes,
            used: AtomicU64::new(used),
            zero_copy,
            write_once,
            closed: AtomicBool::new(false),
        };
        self.0.set(local).map_err(|_| crate::errors::type_error("the connector was built already"))
    }

    fn _close(&self) {
        if let Some(local) = self.0.get() {
            local.closed.store(true, Ordering::Relaxed);
        }
    }

    /// Store an object under a new key.
    ///
    /// Args:
    ///     obj: `bytes`, which are kept as they are, or another contiguous buffer, which is copied.
    ///
    /// Returns:
    ///     The key.
    ///
    /// Raises:
    ///     TypeError: The object is no buffer.
    ///     ValueError: It is not contiguous in memory.
    ///     FullError, TooLargeError: It is over `max_total_bytes`.
    ///     ClosedError: The connector is closed.
    ///
    /// Example:
    ///     >>> from crossdock.connectors.local import LocalConnector
    ///     >>> connector = LocalConnector()
    ///     >>> key = connector.put(b'object')
    ///     >>> connector.get(key)
    ///     b'object'
    fn put<'py>(&self, py: Python<'py>, obj: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let put = Channel::put(self, py, &Object::new(obj)?, &PutOptions::new());
        put.map_err(|error| raise(py, &error.during("put")))
    }

    /// Store several objects: all of them or none.
    ///
    /// When one fails, those already written are evicted again.
    ///
    /// Args:
    ///     objs: The objects, each as for `put`.
    ///
    /// Returns:
    ///     Their keys, in their order.
    ///
    /// Raises:
    ///     As `put`.
    fn put_batch<'py>(&self, py: Python<'py>, objs: &Bound<'py, PyAny>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let objects = crate::batch::objects(objs)?;
        let put = Channel::put_batch(self, py, &crate::batch::all(&objects), &PutOptions::new());
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
    ///     InvalidKeyError: The key is none of this connector's, or of another process.
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
        let got = Channel::get_batch(self, py, &crate::batch::keys(keys)?, zero_copy);
        got.map_err(|error| raise(py, &error.during("get_batch")))
    }

    /// Whether the object is there.
    ///
    /// Raises:
    ///     InvalidKeyError: The key is none of this connector's, or of another process.
    ///     ClosedError: The connector is closed.
    fn exists(&self, py: Python<'_>, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        Channel::exists(self, py, key).map_err(|error| raise(py, &error.during("exists")))
    }

    /// Remove the object. It is no error if there is none; what was handed out stays valid.
    ///
    /// Raises:
    ///     InvalidKeyError: The key is none of this connector's, or of another process.
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
        let key = Channel::new_key(self, py, object.as_ref(), &put_options(None, None, None)?);
        key.map_err(|error| raise(py, &error.during("new_key")))
    }

    /// Store the object of a key that `new_key` made. Setting the same bytes again is fine.
    ///
    /// Args:
    ///     key: The key.
    ///     obj: The object, as for `put`.
    ///
    /// Raises:
    ///     AlreadyExistsError: The key holds other bytes; objects are written once.
    ///     Others: As `put`.
    fn set<'py>(&self, py: Python<'py>, key: &Bound<'py, PyAny>, obj: &Bound<'py, PyAny>) -> PyResult<()> {
        let set = Channel::set(self, py, key, &Object::new(obj)?, &PutOptions::new());
        set.map_err(|error| raise(py, &error.during("set")))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.0.get().map_or(Ok(()), |local| local.store.traverse(&visit))
    }
}

//! Keys: named tuples in Python, ours behind them.

use crossdock::{Error, ErrorKind, Key, ObjectId, ObjectKey, Result};
use pyo3::exceptions::{PyOverflowError, PyTypeError};
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyList, PyString, PyTuple, PyType};

use crate::errors::{pass, type_name};

macro_rules! key_class {
    ($name:ident, $module:literal, $class:literal) => {
        pub(crate) fn $name(py: Python<'_>) -> PyResult<&Bound<'_, PyType>> {
            static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
            let class = CLASS.get_or_try_init(py, || key_class(py, $module, $class))?;
            Ok(class.bind(py))
        }
    };
}

/// # Errors
/// `TypeError` for what is no class of tuples.
fn key_class(py: Python<'_>, module: &str, name: &str) -> PyResult<Py<PyType>> {
    let class = py.import(module)?.getattr(name)?.cast_into::<PyType>()?;
    if class.is_subclass_of::<PyTuple>()? {
        return Ok(class.unbind());
    }
    Err(PyTypeError::new_err(format!("{module}.{name} must be a class of tuples")))
}

key_class!(local_key, "crossdock.connectors.local", "LocalKey");
key_class!(multi_key, "crossdock.connectors.multi", "MultiKey");

/// A named tuple, made without running the Python code of its constructor: what `tuple.__new__(class, items)` does, without
/// looking it up.
#[expect(unsafe_code, reason = "a put makes two of these, and a call through Python costs as much as the rest of it")]
pub(crate) fn new_tuple<'py, const N: usize>(
    class: &Bound<'py, PyType>,
    items: [Bound<'py, PyAny>; N],
) -> PyResult<Bound<'py, PyAny>> {
    let py = class.py();
    let arguments = PyTuple::new(py, [PyTuple::new(py, items)?])?;
    // SAFETY: the slot of the type `tuple` is a constructor (a null one would be `None`); it takes a subclass of `tuple`,
    // which `key_class` has made sure of, a tuple of arguments, and no keywords. It returns a new reference, or null and an
    // exception.
    unsafe {
        let slot = ffi::PyType_GetSlot(&raw mut ffi::PyTuple_Type, ffi::Py_tp_new);
        let new = std::mem::transmute::<*mut std::ffi::c_void, Option<ffi::newfunc>>(slot);
        let new = new.ok_or_else(|| PyTypeError::new_err("tuples cannot be made"))?;
        Bound::from_owned_ptr_or_err(py, new(class.as_type_ptr(), arguments.as_ptr(), std::ptr::null_mut()))
    }
}

/// The tuple of a key; lists come from JSON.
pub(crate) fn tuple<'py>(key: &Bound<'py, PyAny>) -> Option<Bound<'py, PyTuple>> {
    match key.cast::<PyTuple>() {
        Ok(tuple) => Some(tuple.clone()),
        Err(_) => key.cast::<PyList>().ok().map(PyListMethods::to_tuple),
    }
}

/// The tuple of a `LocalKey`.
pub(crate) fn local_tuple<'py>(key: &Bound<'py, PyAny>) -> Result<Bound<'py, PyTuple>> {
    tuple(key).ok_or_else(|| invalid(key, LOCAL_KEY))
}

/// Whether a tuple is the key of another kind of connector: a named tuple whose first field has another name.
pub(crate) fn is_foreign(key: &Bound<'_, PyAny>, first_field: &str) -> bool {
    let Ok(fields) = key.getattr(intern!(key.py(), "_fields")) else { return false };
    fields.get_item(0).and_then(|field| field.eq(first_field)).is_ok_and(|same| !same)
}

pub(crate) fn invalid(key: &Bound<'_, PyAny>, wanted: &str) -> Error {
    let class = type_name(key);
    let message = if wanted.starts_with(&class) {
        format!("a field of this {class} is not as it can be: {wanted}; use keys as put returned them")
    } else {
        format!("{class} is not a key of this connector, whose keys are {wanted}; use keys as put returned them")
    };
    Error::new(ErrorKind::InvalidKey, message)
}

/// What keys look like, for messages.
pub(crate) const LOCAL_KEY: &str = "LocalKey(id: str)";

/// How the keys of a connector of the library look in Python: `Class(id, size, checksum)`.
pub(crate) struct ObjectKeys {
    module: &'static str,
    class: &'static str,
    /// The name of the first field.
    id: &'static str,
    /// For messages.
    shape: &'static str,
    found: PyOnceLock<Py<PyType>>,
}

macro_rules! object_keys {
    ($name:ident, $module:literal, $class:literal, $id:literal) => {
        pub(crate) static $name: ObjectKeys = ObjectKeys {
            module: concat!("crossdock.connectors.", $module),
            class: $class,
            id: $id,
            shape: concat!($class, "(", $id, ": str, size: int or None, checksum: 16 hexadecimal digits or None)"),
            found: PyOnceLock::new(),
        };
    };
}

object_keys!(FILE_KEYS, "file", "FileKey", "filename");
object_keys!(REDIS_KEYS, "redis", "RedisKey", "redis_key");
object_keys!(OBJECT_STORE_KEYS, "object_store", "ObjectStoreKey", "object_key");
object_keys!(SHM_KEYS, "shm", "SharedMemoryKey", "object_id");

impl ObjectKeys {
    fn class<'py>(&self, py: Python<'py>) -> PyResult<&Bound<'py, PyType>> {
        Ok(self.found.get_or_try_init(py, || key_class(py, self.module, self.class))?.bind(py))
    }

    /// Ours of one of Python's.
    pub(crate) fn to_native(&self, key: &Bound<'_, PyAny>) -> Result<Key> {
        let wrong = || invalid(key, self.shape);
        let items = tuple(key).ok_or_else(wrong)?;
        if !key.get_type().is(self.class(key.py()).map_err(pass)?) && is_foreign(key, self.id) {
            return Err(wrong());
        }
        let item = |place| items.get_item(place).ok().filter(|item: &Bound<'_, PyAny>| !item.is_none());
        if !(1..=3).contains(&items.len()) {
            return Err(wrong());
        }
        let id = item(0).ok_or_else(wrong)?;
        let id = id.cast::<PyString>().map_err(|_| wrong())?.to_str().map_err(|_| wrong())?.into();
        let size = item(1).map(|size| size.extract::<u64>().map_err(|_| wrong())).transpose()?;
        let checksum = item(2).map(|checksum| parse_checksum(&checksum).ok_or_else(wrong)).transpose()?;
        Ok(ObjectKey { id, size, checksum }.into())
    }

    /// Python's of one of ours.
    pub(crate) fn to_python<'py>(&self, py: Python<'py>, key: &ObjectKey) -> PyResult<Bound<'py, PyAny>> {
        let ObjectKey { id, size, checksum } = key;
        let id = id.with_str(|id| PyString::new(py, id)).into_any();
        let size = size.into_pyobject(py)?;
        let checksum = match checksum {
            Some(checksum) => with_digits(*checksum, |digits| PyString::new(py, digits)).into_any(),
            None => py.None().into_bound(py),
        };
        new_tuple(self.class(py)?, [id, size, checksum])
    }
}

/// The checksum in 16 hexadecimal digits, without allocating.
fn with_digits<T>(checksum: u64, f: impl FnOnce(&str) -> T) -> T {
    let mut digits = [0; 16];
    for (place, digit) in digits.iter_mut().enumerate() {
        *digit = b"0123456789abcdef"[(checksum >> (60 - 4 * place)) as usize & 15];
    }
    f(std::str::from_utf8(&digits).unwrap_or_default())
}

fn parse_checksum(checksum: &Bound<'_, PyAny>) -> Option<u64> {
    let digits: &[u8; 16] = checksum.cast::<PyString>().ok()?.to_str().ok()?.as_bytes().try_into().ok()?;
    digits.iter().try_fold(0, |sum: u64, digit| match digit {
        b'0'..=b'9' => Some(sum << 4 | u64::from(digit - b'0')),
        b'a'..=b'f' => Some(sum << 4 | u64::from(digit - b'a' + 10)),
        _ => None,
    })
}

/// For a key of ours that belongs to no connector here.
pub(crate) fn no_form(key: &Key) -> PyErr {
    PyOverflowError::new_err(format!("the key {key:?} has no form in Python"))
}

/// The id in the tuple of a `LocalKey`.
pub(crate) fn local_id(key: &Bound<'_, PyAny>, tuple: &Bound<'_, PyTuple>) -> Result<ObjectId> {
    let id = match tuple.len() {
        1 if !is_foreign(key, "id") => tuple.get_item(0).ok(),
        _ => None,
    };
    let id = id.as_ref().and_then(|id| id.cast::<PyString>().ok()).and_then(|id| id.to_str().ok());
    id.map(ObjectId::from).ok_or_else(|| invalid(key, LOCAL_KEY))
}

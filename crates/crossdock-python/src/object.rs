//! Bytes in and out: borrowed where nobody can change them, copied once where somebody could.

use std::mem::MaybeUninit;
use std::ptr::NonNull;

use bytes::Bytes;
use crossdock::memory::prefer_huge_pages;
use crossdock::{Error, ErrorKind, Result};
use pyo3::exceptions::{PyMemoryError, PyTypeError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyByteArray, PyBytes, PyMemoryView, PyString};

use crate::errors::{pass, type_error, type_name};

/// From this size on, in bytes, memory is copied without the interpreter lock.
const LARGE: usize = 64 << 10;

/// What a caller wants to put.
pub(crate) struct Object<'py> {
    /// As it was given: Python connectors get this.
    pub(crate) given: Bound<'py, PyAny>,
    memory: Memory<'py>,
}

enum Memory<'py> {
    /// Immutable: borrowed.
    Bytes(Bound<'py, PyBytes>),
    /// Somebody may change it as soon as we look away: copied when it is needed.
    /// Its size in bytes.
    Buffer(usize),
}

impl<'py> Object<'py> {
    /// # Errors
    /// `TypeError` for what is no buffer, `ValueError` for one that is not contiguous.
    pub(crate) fn new(given: &Bound<'py, PyAny>) -> PyResult<Self> {
        if let Ok(bytes) = given.cast::<PyBytes>() {
            return Ok(Self { given: given.clone(), memory: Memory::Bytes(bytes.clone()) });
        }
        let buffer = Buffer::of(given).map_err(|raised| refuse(given, raised))?;
        if holds_references(given) {
            let class = type_name(given);
            return Err(type_error(format!(
                "this {class} holds references to Python objects, not bytes; serialize it first"
            )));
        }
        // Given back at once: a connector of Python may want to resize or release what it gets.
        Ok(Self { given: given.clone(), memory: Memory::Buffer(buffer.size()) })
    }

    /// Its size in bytes.
    pub(crate) fn size(&self) -> usize {
        match &self.memory {
            Memory::Bytes(bytes) => bytes.as_bytes().len(),
            Memory::Buffer(size) => *size,
        }
    }

    /// The object as `bytes`: the very same where it is such already.
    pub(crate) fn to_pybytes(&self) -> Result<Bound<'py, PyBytes>> {
        match &self.memory {
            Memory::Bytes(bytes) => Ok(bytes.clone()),
            Memory::Buffer(size) => {
                let buffer = Buffer::of(&self.given).map_err(pass)?;
                if buffer.size() == *size { joined(self.given.py(), &[buffer]) } else { Err(pass(resized())) }
            }
        }
    }

    /// The object for a native connector.
    pub(crate) fn to_native(&self) -> Result<Bytes> {
        // A Python object as owner is given back with the interpreter lock held, as whoever asks keeps a clone.
        Ok(Bytes::from_owner(PyBackedBytes::from(self.to_pybytes()?)))
    }
}

fn resized() -> PyErr {
    PyValueError::new_err("the object was resized while it was put; put it again")
}

/// References to objects are of use to nobody else.
fn holds_references(given: &Bound<'_, PyAny>) -> bool {
    let format = || PyMemoryView::from(given)?.getattr("format")?.extract::<String>();
    !given.is_instance_of::<PyByteArray>() && format().is_ok_and(|format| format.contains('O'))
}

fn refuse(given: &Bound<'_, PyAny>, raised: PyErr) -> PyErr {
    if let Ok(view) = PyMemoryView::from(given) {
        let is_contiguous = view.getattr("c_contiguous").and_then(|answer| answer.extract::<bool>());
        return match is_contiguous {
            Ok(false) => PyValueError::new_err(format!(
                "this {} is not contiguous in memory, and an object is one piece of it; pass a contiguous copy, such as \
                 bytes(x) or numpy.ascontiguousarray(x)",
                type_name(given)
            )),
            _ => raised,
        };
    }
    if !raised.is_instance_of::<PyTypeError>(given.py()) {
        return raised;
    }
    let advice = if given.is_instance_of::<PyString>() {
        "encode it first: text.encode()"
    } else {
        "serialize it first, for example with pickle.dumps, or use a ProxyStore Store"
    };
    let class = type_name(given);
    type_error(format!("an object is bytes or another buffer (bytearray, memoryview, array), not {class}; {advice}"))
}

/// Contiguous memory of a Python object, which stays where it is until this is dropped.
struct Buffer(Box<ffi::Py_buffer>);

// SAFETY: the memory is only read from, and given back with the interpreter lock held, wherever that happens.
#[expect(unsafe_code, reason = "the buffer protocol")]
unsafe impl Send for Buffer {}

#[expect(unsafe_code, reason = "the buffer protocol")]
impl Buffer {
    fn of(given: &Bound<'_, PyAny>) -> PyResult<Self> {
        let mut view = Box::new(ffi::Py_buffer::new());
        // SAFETY: the view is new, and stays in its box. A simple request is granted for contiguous memory only.
        let answer = unsafe { ffi::PyObject_GetBuffer(given.as_ptr(), &raw mut *view, ffi::PyBUF_SIMPLE) };
        if answer == 0 { Ok(Self(view)) } else { Err(PyErr::fetch(given.py())) }
    }

    fn size(&self) -> usize {
        usize::try_from(self.0.len).unwrap_or(0)
    }

    fn start(&self) -> *const u8 {
        self.0.buf.cast_const().cast()
    }
}

impl Drop for Buffer {
    #[expect(unsafe_code, reason = "the buffer protocol")]
    fn drop(&mut self) {
        // SAFETY: the view was filled by `PyObject_GetBuffer`, and is given back once.
        Python::attach(|_| unsafe { ffi::PyBuffer_Release(&raw mut *self.0) });
    }
}

/// The size of an object in bytes, also where it is a buffer of larger elements.
pub(crate) fn size_of(object: &Bound<'_, PyAny>) -> u64 {
    let size = match object.cast::<PyBytes>() {
        Ok(bytes) => Ok(bytes.as_bytes().len()),
        Err(_) => PyMemoryView::from(object).and_then(|view| view.getattr("nbytes")?.extract()),
    };
    // Connectors of Python may answer with what is no buffer.
    size.unwrap_or(0) as u64
}

/// All of these buffers, one behind the other, in new `bytes`.
///
/// # Errors
/// `TypeError` for what is no buffer; `MemoryError`.
#[pyfunction]
pub(crate) fn join<'py>(py: Python<'py>, parts: Vec<Bound<'py, PyAny>>) -> PyResult<Bound<'py, PyBytes>> {
    let buffers = parts.iter().map(Buffer::of).collect::<PyResult<Vec<_>>>()?;
    joined(py, &buffers).map_err(|error| PyMemoryError::new_err(error.message().to_owned()))
}

/// Without the interpreter lock where that is worth it.
///
/// # Errors
/// `Unavailable` if there is no memory.
#[expect(unsafe_code, reason = "the way of the bytes")]
fn joined<'py>(py: Python<'py>, buffers: &[Buffer]) -> Result<Bound<'py, PyBytes>> {
    struct Source(*const u8, usize);
    // SAFETY: the pointer is only read from, while its buffer keeps the memory in place.
    unsafe impl Send for Source {}
    let sources: Vec<_> = buffers.iter().map(|buffer| Source(buffer.start(), buffer.size())).collect();
    let size = sources.iter().try_fold(0, |sum: usize, source| sum.checked_add(source.1));
    let size = size.ok_or_else(|| no_memory(usize::MAX))?;
    let mut memory = NewBytes::allocate(py, size)?;
    let target = memory.memory();
    let copy = move || {
        let mut place = target.as_mut_ptr().cast::<u8>();
        for Source(start, size) in sources {
            // SAFETY: the buffers are contiguous and exported, so `size` bytes are readable at `start` until they are released;
            // the target is new memory, as large as all of them together. A thread that writes to a buffer meanwhile gets a
            // mixture stored, as with every copy that Python makes without the lock.
            unsafe {
                start.copy_to_nonoverlapping(place, size);
                place = place.add(size);
            }
        }
    };
    if size < LARGE {
        copy();
    } else {
        py.detach(copy);
    }
    Ok(memory.filled(py))
}

/// `bytes` of which nobody knows yet, so that they can still be written.
pub(crate) struct NewBytes(Py<PyBytes>);

/// The memory of [`NewBytes`], as long as these live.
pub(crate) struct NewMemory {
    start: NonNull<MaybeUninit<u8>>,
    size: usize,
}

// SAFETY: it is just memory, whose owner keeps it in place and looks away until it is filled, in whichever thread.
#[expect(unsafe_code, reason = "the way of the bytes")]
unsafe impl Send for NewMemory {}

#[expect(unsafe_code, reason = "the way of the bytes")]
impl NewBytes {
    /// # Errors
    /// `Unavailable` if there is no memory.
    pub(crate) fn allocate(py: Python<'_>, size: usize) -> Result<Self> {
        let wanted = ffi::Py_ssize_t::try_from(size).map_err(|_| no_memory(size))?;
        // SAFETY: without a source the call makes `bytes` whose contents are not initialised, as documented; a null that
        // comes back is an exception.
        let made =
            unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyBytes_FromStringAndSize(std::ptr::null(), wanted)) };
        let made =
            made.map_err(
                |raised| {
                    if raised.is_instance_of::<PyMemoryError>(py) { no_memory(size) } else { pass(raised) }
                },
            )?;
        let bytes = made.cast_into::<PyBytes>().map_err(|wrong| pass(wrong.into()))?;
        let mut new = Self(bytes.unbind());
        prefer_huge_pages(new.memory());
        Ok(new)
    }

    fn start(&self) -> *mut MaybeUninit<u8> {
        // SAFETY: it is a `bytes` object; the memory stays where it is as long as that lives.
        unsafe { ffi::PyBytes_AsString(self.0.as_ptr()).cast() }
    }

    pub(crate) fn size(&self) -> usize {
        // SAFETY: it is a `bytes` object.
        usize::try_from(unsafe { ffi::PyBytes_Size(self.0.as_ptr()) }).unwrap_or(0)
    }

    /// The memory, to be filled. The empty `bytes` are shared by all of Python, and have none.
    pub(crate) fn memory(&mut self) -> &mut [MaybeUninit<u8>] {
        // SAFETY: the memory is as large as the object says, and nobody else has the object yet.
        unsafe { std::slice::from_raw_parts_mut(self.start(), self.size()) }
    }

    /// The memory, for work without the interpreter lock.
    ///
    /// # Safety
    /// It must not be used once `self` is gone or handed out.
    pub(crate) unsafe fn detached_memory(&mut self) -> NewMemory {
        NewMemory { start: NonNull::new(self.start()).unwrap_or(NonNull::dangling()), size: self.size() }
    }

    /// The `bytes`, every byte of which has been written.
    pub(crate) fn filled(self, py: Python<'_>) -> Bound<'_, PyBytes> {
        self.0.into_bound(py)
    }
}

#[expect(unsafe_code, reason = "the way of the bytes")]
impl AsMut<[MaybeUninit<u8>]> for NewMemory {
    fn as_mut(&mut self) -> &mut [MaybeUninit<u8>] {
        // SAFETY: whoever called `detached_memory` keeps the object, of which nobody else knows.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.size) }
    }
}

fn no_memory(size: usize) -> Error {
    let message =
        format!("there is no memory for the {size} bytes of the object; free some, or read it with zero_copy=True");
    Error::new(ErrorKind::Unavailable, message).permanent()
}

/// Memory of an object that Python looks at without a copy.
#[pyclass(frozen, module = "crossdock._crossdock")]
pub(crate) struct View(Bytes);

#[expect(unsafe_code, reason = "the buffer protocol")]
#[pymethods]
impl View {
    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: std::ffi::c_int) -> PyResult<()> {
        let bytes = &slf.get().0;
        let size = ffi::Py_ssize_t::try_from(bytes.len())?;
        // SAFETY: `view` comes from Python; the memory is read-only for whoever looks, and lives as long as `slf`, which
        // the view refers to.
        let filled =
            unsafe { ffi::PyBuffer_FillInfo(view, slf.as_ptr(), bytes.as_ptr().cast_mut().cast(), size, 1, flags) };
        if filled == 0 { Ok(()) } else { Err(PyErr::fetch(slf.py())) }
    }
}

/// A read-only view of the bytes that keeps their memory.
pub(crate) fn view(py: Python<'_>, bytes: Bytes) -> Result<Bound<'_, PyAny>> {
    let make = || PyMemoryView::from(Bound::new(py, View(bytes))?.as_any()).map(Bound::into_any);
    make().map_err(pass)
}

/// A read-only view of a Python buffer.
pub(crate) fn view_of<'py>(object: &Bound<'py, PyAny>) -> Result<Bound<'py, PyAny>> {
    PyMemoryView::from(object).and_then(|view| view.call_method0("toreadonly")).map_err(pass)
}

"""Python objects as bytes and back: for ProxyStore's `Store(serializer=..., deserializer=...)`, and for direct use.

What `serialize` gives is little-endian and has no gaps but those named here:

| bytes | what |
|---|---|
| 0-1 | `d0 cc` |
| 2 | the version of the format: 1 |
| 3 | what follows: `b` bytes, `a` a bytearray, `s` a str in UTF-8 (lone surrogates as they are), `p` a pickle |
| 4-7 | the number of buffers; 0 unless it is a pickle |
| 8-15 | the size of the bytes, the text or the pickle, in bytes |
| 16- | the size of each buffer in bytes, 8 bytes each |
| 4 more | the CRC-32 of all bytes up to here |
| then | the bytes, the text or the pickle (protocol 5) |
| then | each buffer that the pickle has out of band, after zeros up to the next multiple of 64; of 16 for one below 1,024 bytes |

The object ends where its last part does. Multiples are counted from its beginning, which is where a page begins in what
connectors map.
"""

from __future__ import annotations

import copyreg
import io
import pickle
import struct
import sys
from binascii import crc32
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any, NoReturn

from crossdock._crossdock import join
from crossdock.exceptions import SerializationError
from crossdock.serialize import BytesLike

__all__ = ['BytesLike', 'SerializationError', 'deserialize', 'serialize']

_MAGIC = b'\xd0\xcc'
_VERSION = 1
_BYTES, _BYTEARRAY, _STR, _PICKLE = b'basp'
_HEADER = struct.Struct('<2sBBIQ')
_CHECKSUM = struct.Struct('<I')
# What every Python reads that crossdock runs on.
_PROTOCOL = 5
_SMALL = 1024
# From this size on, in bytes, new memory costs more than what is copied into it.
_LARGE = 4 << 20
_ZEROS = bytes(64)


def serialize(obj: Any) -> bytes:
    """The object as bytes, which `deserialize` turns back into an equal object.

    Large memory in it (of NumPy arrays, pandas, polars and Arrow tables, and whatever else gives pickle its buffers) is
    copied once, into the bytes that are returned. `bytes`, `bytearray` and `str` are written as they are; everything else
    is pickled, and what pickle refuses (lambdas, local classes) is left to cloudpickle if that is installed.

    Args:
        obj: Any object that pickle or cloudpickle takes. The same object gives the same bytes wherever its pickle is the
            same.

    Returns:
        The bytes: the object's own, and 20 or more before them.

    Raises:
        SerializationError: Neither pickle nor cloudpickle takes the object, or cloudpickle would be needed and is not
            installed; the message says why, and `__cause__` is what was raised.
        MemoryError: There is no memory for the bytes.

    Example:
        >>> import crossdock
        >>> crossdock.deserialize(crossdock.serialize({'answer': 42}))
        {'answer': 42}
    """
    if type(obj) is bytes:
        return _joined(_BYTES, [obj], [])
    if type(obj) is str:
        return _joined(_STR, [obj.encode('utf-8', 'surrogatepass')], [])
    if type(obj) is bytearray:
        return _joined(_BYTEARRAY, [obj], [])
    return _joined(_PICKLE, *_pickled(obj))


def deserialize(data: BytesLike) -> Any:
    """The object of which `serialize` made these bytes.

    Arrays and tables are read-only views of `data`, not copies: they keep all of it in memory for as long as they live, and
    `data` must not change meanwhile. Where a connector gives a view (`zero_copy=True`), nothing is read before it is used.
    Copy an array to change it. `bytes`, `bytearray` and `str` are copies always; a bytearray may be changed.

    Bytes that ProxyStore 1.1's own serializer made are read as well, without views.

    Warning:
        Unpickling runs code that the bytes name. Deserialize only what comes from somebody whom you trust as you trust
        code, as with ProxyStore's own deserializer.

    Args:
        data: What `serialize` returned, as bytes or another buffer that is contiguous.

    Raises:
        TypeError: `data` is no buffer.
        SerializationError: `data` was not made by `serialize`, or was damaged, cut short or added to; its format is newer
            than this version of crossdock; or the object in it cannot be built here, for which `__cause__` is the reason.
        MemoryError: There is no memory for the object.

    Example:
        >>> import crossdock
        >>> crossdock.deserialize(crossdock.serialize(b'object'))
        b'object'
    """
    view = _view_of(data)
    if view[:2] != _MAGIC:
        return _from_proxystore(view)
    kind, payload, buffers = _taken_apart(view)
    read = _READERS.get(kind)
    if read is None:
        raise SerializationError(
            f'the object is of a kind ({kind}) that this version of crossdock does not know; upgrade it'
        )
    return _built(read, payload, buffers)


class _Parts(list[Any]):
    """A file for a pickler: keeps what it is given, large `bytes` among it, instead of copying it."""

    write = list.append


def _pickled(obj: Any) -> tuple[list[Any], list[memoryview]]:
    """The parts of the pickle, and the memory that is out of band."""
    try:
        return _dumped(pickle, obj)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        refused = error
    except Exception as error:
        _refuse(obj, error)
    try:
        cloudpickle = import_module('cloudpickle')
    except ImportError:
        advice = 'cloudpickle may take it, but is not installed: pip install cloudpickle'
        raise SerializationError(f'pickle refuses this {_name_of(obj)} ({refused}); {advice}') from refused
    try:
        return _dumped(cloudpickle, obj)
    except Exception as error:
        _refuse(obj, error)


def _dumped(module: Any, obj: Any) -> tuple[list[Any], list[memoryview]]:
    parts = _Parts()
    buffers: list[pickle.PickleBuffer] = []
    if sys.modules.get('polars') is not None:
        from crossdock._polars import REDUCERS

        pickler = module.Pickler(parts, _PROTOCOL, buffer_callback=buffers.append)
        pickler.dispatch_table = {**getattr(pickler, 'dispatch_table', copyreg.dispatch_table), **REDUCERS}
        pickler.dump(obj)
    else:
        module.dump(obj, parts, _PROTOCOL, buffer_callback=buffers.append)
    return parts, [buffer.raw() for buffer in buffers]


def _refuse(obj: Any, error: Exception) -> NoReturn:
    if isinstance(error, MemoryError):
        raise error
    if isinstance(error, RecursionError) or isinstance(error.__cause__, RecursionError):
        message = f'this {_name_of(obj)} is nested too deeply to be pickled; flatten it, or raise the recursion limit'
    else:
        message = f'this {_name_of(obj)} cannot be pickled: {error}'
    raise SerializationError(message) from error


def _name_of(obj: Any) -> str:
    return type(obj).__name__


def _joined(kind: int, parts: list[Any], buffers: list[memoryview]) -> bytes:
    """One allocation of the whole size, and one copy of each part into it."""
    size = sum(map(len, parts))
    header = _HEADER.pack(_MAGIC, _VERSION, kind, len(buffers), size)
    if not buffers:
        return _join([header, _CHECKSUM.pack(crc32(header)), *parts], size)
    sizes = [buffer.nbytes for buffer in buffers]
    header += _table(len(sizes)).pack(*sizes)
    pieces = [header, _CHECKSUM.pack(crc32(header)), *parts]
    end = len(header) + _CHECKSUM.size + size
    for buffer, start, stop in zip(buffers, *_places(end, sizes)):
        pieces += (_ZEROS[: start - end], buffer)
        end = stop
    return _join(pieces, end)


def _join(pieces: list[Any], size: int) -> bytes:
    """What is large comes into memory of large pages, which takes a third of the time."""
    return b''.join(pieces) if size < _LARGE else join(pieces)


def _table(count: int) -> struct.Struct:
    return struct.Struct(f'<{count}Q')


def _places(end: int, sizes: Iterable[int]) -> tuple[list[int], list[int]]:
    """Where buffers of these sizes begin and where they end, if what is before them ends at `end`."""
    starts, ends = [], []
    for size in sizes:
        start = end + -end % (16 if size < _SMALL else 64)
        end = start + size
        starts.append(start)
        ends.append(end)
    return starts, ends


def _view_of(data: BytesLike) -> memoryview:
    """All bytes of it, whatever its elements are."""
    try:
        return pickle.PickleBuffer(data).raw().toreadonly()
    except TypeError:
        raise TypeError(f'deserialize takes bytes or another buffer, not {_name_of(data)}') from None
    except BufferError:
        raise SerializationError(
            f'this {_name_of(data)} is not contiguous in memory, and an object is one piece'
        ) from None


def _taken_apart(view: memoryview) -> tuple[int, memoryview, list[memoryview]]:
    """The kind, the payload and the buffers, once all sizes are known to be true."""
    actual = len(view)
    if actual < _HEADER.size:
        raise _cut_short(actual, _HEADER.size)
    _, version, kind, count, size = _HEADER.unpack_from(view)
    if version != _VERSION:
        raise SerializationError(
            f'the object has version {version} of the format, and this version of crossdock reads {_VERSION}; upgrade it',
        )
    table = _HEADER.size + 8 * count
    start = table + _CHECKSUM.size
    if actual < start:
        raise _cut_short(actual, start)
    if _CHECKSUM.unpack_from(view, table)[0] != crc32(view[:table]):
        raise SerializationError('the object is damaged: its header does not fit its checksum')
    if count and kind != _PICKLE:
        raise SerializationError('the object is damaged: it has buffers, but no pickle that they belong to')
    end = stop = start + size
    starts, ends = _places(stop, _table(count).unpack_from(view, _HEADER.size)) if count else ([], [])
    if ends:
        end = ends[-1]
    if actual < end:
        raise _cut_short(actual, end)
    if actual > end:
        raise SerializationError(f'the object ends after {end} bytes, but {actual} were given')
    return kind, view[start:stop], [view[one:other] for one, other in zip(starts, ends)]


def _cut_short(actual: int, needed: int) -> SerializationError:
    return SerializationError(f'the object was cut short: {actual} bytes were given, and it has {needed} or more')


def _built(read: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return read(*arguments)
    except (SerializationError, MemoryError):
        raise
    except ModuleNotFoundError as error:
        message = f'the object needs the module {error.name}, which is not installed here'
        raise SerializationError(message) from error
    except Exception as error:
        raise SerializationError(f'the object cannot be built: {type(error).__name__}: {error}') from error


def _unpickled(payload: memoryview, buffers: list[memoryview]) -> Any:
    if not buffers:
        return pickle.loads(payload)
    unused = iter(buffers)
    found = pickle.loads(payload, buffers=unused)
    if next(unused, None) is not None:
        raise SerializationError('the object is damaged: its pickle does not use all of its buffers')
    return found


_READERS: dict[int, Callable[[memoryview, list[memoryview]], Any]] = {
    _BYTES: lambda payload, _: bytes(payload),
    _BYTEARRAY: lambda payload, _: bytearray(payload),
    _STR: lambda payload, _: str(payload, 'utf-8', 'surrogatepass'),
    _PICKLE: _unpickled,
}


def _from_proxystore(view: memoryview) -> Any:
    read = _PROXYSTORE.get(bytes(view[:3]))
    if read is None:
        raise SerializationError(
            f'these {len(view)} bytes were made neither by crossdock.serialize nor by the serializer of ProxyStore 1.1',
        )
    return _built(read, view[3:])


def _numpy_of_proxystore(view: memoryview) -> Any:
    return import_module('numpy').load(io.BytesIO(view), allow_pickle=True)


def _pandas_of_proxystore(view: memoryview) -> Any:
    return import_module('pandas').read_pickle(io.BytesIO(view))


def _polars_of_proxystore(view: memoryview) -> Any:
    return import_module('polars').read_ipc(bytes(view))


_PROXYSTORE: dict[bytes, Callable[[memoryview], Any]] = {
    b'BS\n': bytes,
    b'US\n': lambda view: str(view, 'utf-8'),
    b'NP\n': _numpy_of_proxystore,
    b'PD\n': _pandas_of_proxystore,
    b'PL\n': _polars_of_proxystore,
    b'PK\n': pickle.loads,
    b'CP\n': pickle.loads,
}
"""What ProxyStore 1.1 begins each object with, and how it goes on."""

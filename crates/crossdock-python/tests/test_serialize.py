"""Objects as bytes and back: what is copied, what is a view, and what is refused."""

from __future__ import annotations

import array
import collections
import dataclasses
import datetime
import decimal
import gc
import importlib
import mmap
import os
import pathlib
import pickle
import random
import struct
import subprocess
import sys
import threading
import tracemalloc
import uuid
from binascii import crc32
from collections.abc import Callable, Iterator
from typing import Any

import numpy
import pandas
import polars
import proxystore.serialize
import pyarrow
import pytest
from proxystore.proxy import Proxy, extract
from proxystore.store import Store
from proxystore.store.config import StoreConfig

import crossdock
from crossdock.connectors.file import FileConnector
from crossdock.connectors.local import LocalConnector
from crossdock.connectors.multi import MultiConnector, Policy
from crossdock.exceptions import CrossdockError, SerializationError
from helpers import elsewhere

HEADER, CHECKSUM = struct.Struct('<2sBBIQ'), struct.Struct('<I')


class Name(str):
    pass


class Blob(bytes):
    pass


@dataclasses.dataclass
class Record:
    name: str
    values: Any


Pair = collections.namedtuple('Pair', ['first', 'second'])


class Raising:
    """Pickled, but not unpickled."""

    def __reduce__(self) -> Any:
        return (int, ('no number',))


def exhaust() -> None:
    raise MemoryError


class Exhausting:
    """The same, for want of memory."""

    def __reduce__(self) -> Any:
        return (exhaust, ())


def same(one: Any, other: Any) -> bool:
    """Whether both are the same: in type, in every value, and in what arrays and tables say of themselves."""
    if type(one) is not type(other):
        return False
    if isinstance(one, numpy.ndarray):
        if (one.dtype, one.shape) != (other.dtype, other.shape):
            return False
        if one.dtype.hasobject and one.dtype.kind == 'O':
            return all(same(a, b) for a, b in zip(one.ravel(), other.ravel()))
        return bool((one == other).all())
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other))
    if isinstance(one, Record):
        return same(vars(one), vars(other))
    if isinstance(one, pandas.DataFrame):
        return one.equals(other) and list(one.dtypes) == list(other.dtypes)
    if isinstance(one, pandas.Series | pandas.Index):
        return one.equals(other) and one.dtype == other.dtype
    if isinstance(one, polars.DataFrame):
        return one.schema == other.schema and one.equals(other, null_equal=True)
    if isinstance(one, polars.Series):
        return (one.name, one.dtype) == (other.name, other.dtype) and one.equals(other, null_equal=True)
    return bool(one == other)


numbers = numpy.arange(600, dtype='f8').reshape(20, 30)
masked = numpy.ma.masked_array(numpy.arange(5), mask=[0, 1, 0, 0, 1])
everything = polars.DataFrame(
    {
        'i8': polars.Series([1, None, 3], dtype=polars.Int8),
        'u64': polars.Series([1, 2, 2**63], dtype=polars.UInt64),
        'f32': polars.Series([1.0, None, 3.0], dtype=polars.Float32),
        'boolean': [True, None, False],
        'string': ['a', None, 'longer than the twelve bytes of a view'],
        'binary': [b'a', None, b'c' * 20],
        'date': [datetime.date(2020, 1, 1)] * 3,
        'instant': polars.Series([datetime.datetime(2020, 1, 1)] * 3, dtype=polars.Datetime('ms', 'UTC')),
        'duration': [datetime.timedelta(1)] * 3,
        'time': [datetime.time(1)] * 3,
        'decimal': polars.Series([decimal.Decimal('1.5')] * 3, dtype=polars.Decimal(20, 2)),
        'list': [['x', 'y'], None, []],
        'array': polars.Series([[1, 2], [3, 4], [5, 6]], dtype=polars.Array(polars.Int64, 2)),
        'struct': [{'x': 1, 'y': 'b'}] * 3,
        'null': [None] * 3,
        'categorical': polars.Series(['a', 'b', None], dtype=polars.Categorical),
        'enum': polars.Series(['a', 'b', None], dtype=polars.Enum(['b', 'a'])),
    },
)
VALUES: dict[str, Any] = {
    'none': None,
    'int': 2**200,
    'empty bytes': b'',
    'bytes': bytes(range(256)),
    'a bytes of its own class': Blob(b'blob'),
    'empty bytearray': bytearray(),
    'bytearray': bytearray(b'changes'),
    'empty str': '',
    'str': 'text, \N{GREEK SMALL LETTER OMEGA}, \N{GRINNING FACE}',
    'lone surrogates': 'a\ud800b\udfff',
    'a str of its own class': Name('name'),
    'long str': 'x' * 200_000,
    'nested': {'a': [1, (2.5, {3}), None], 'b': {'c': b'bytes', 'd': bytearray(b'array'), 'e': 'text'}},
    'large bytes in a list': [b'x' * 200_000, bytearray(b'y' * 200_000), 'z' * 200_000],
    'namedtuple': Pair(1, [2]),
    'dataclass': Record('name', numbers),
    'datetime': datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC),
    'uuid': uuid.UUID(int=7),
    'class': Record,
    'array.array': array.array('d', [1.0, 2.0]),
    'numpy': numbers,
    'numpy scalar': numpy.float32(1.5),
    'numpy, no dimension': numpy.array(3.0),
    'numpy, nothing': numpy.zeros(0),
    'numpy, nothing in two dimensions': numpy.zeros((0, 3), dtype='i2'),
    'numpy, Fortran order': numpy.asfortranarray(numbers),
    'numpy, every other column': numbers[:, ::2],
    'numpy, backwards': numbers[::-1],
    'numpy, transposed': numbers.T,
    'numpy, broadcast': numpy.broadcast_to(numpy.arange(3), (4, 3)),
    'numpy, big-endian': numbers.astype('>f8'),
    'numpy, structured': numpy.array([(1, 2.5)], dtype=[('a', 'i4'), ('b', 'f8')]),
    'numpy, times': numpy.array(['2020-01-01', 'NaT'], dtype='M8[D]')[:1],
    'numpy, fixed strings': numpy.array(['a', 'bcd']),
    'numpy, strings': numpy.array(['a', 'bcd'], dtype=numpy.dtypes.StringDType()),
    'numpy, booleans': numpy.array([True, False]),
    'numpy, objects': numpy.array([1, 'a', None, [numbers]], dtype=object),
    'numpy, many': [numpy.full(count, count % 251, dtype='u1') for count in range(0, 3_000, 7)],
    'numpy, the same twice': [numbers, numbers],
    'pandas': pandas.DataFrame({'a': [1.5, None], 'b': [1, 2], 'c': ['x', 'y'], 'd': pandas.Categorical(['u', 'v'])}),
    'pandas, times': pandas.DataFrame({'t': pandas.date_range('2020', periods=3, tz='UTC')}),
    'pandas, nullable': pandas.DataFrame({'n': pandas.array([1, None], dtype='Int64')}),
    'pandas, series': pandas.Series([1.5, 2.5], name='s'),
    'pandas, index': pandas.MultiIndex.from_product([['a', 'b'], [1, 2]]),
    'pandas, nothing': pandas.DataFrame(),
    'polars': everything,
    'polars, int128': polars.DataFrame({'n': polars.Series([1, None, 2**70], dtype=polars.Int128)}),
    'polars, nothing': polars.DataFrame(),
    'polars, no rows': everything.clear(),
    'polars, several chunks': polars.concat([everything, everything], rechunk=False),
    'polars, part': everything.slice(1, 1),
    'polars, series': everything['list'],
    'polars, nested': {'frames': [everything, {'series': everything['enum']}]},
    'arrow': pyarrow.table({'a': [1, None], 'b': ['x', 'y']}),
}


@pytest.fixture(params=VALUES)
def value(request: pytest.FixtureRequest) -> Any:
    return VALUES[request.param]


def test_what_goes_in_comes_out(value: Any) -> None:
    data = crossdock.serialize(value)
    assert type(data) is bytes
    for given in (data, bytearray(data), memoryview(data), memoryview(data).cast('b'), numpy.frombuffer(data, 'u1')):
        assert same(crossdock.deserialize(given), value)


def test_the_same_object_gives_the_same_bytes(value: Any) -> None:
    assert crossdock.serialize(value) == crossdock.serialize(value)


def test_another_process_makes_the_same_bytes() -> None:
    for name in ('str', 'nested', 'numpy', 'numpy, many', 'polars'):
        if name != 'nested':  # the order of a set is its process's
            assert elsewhere(crossdock.serialize, VALUES[name]) == crossdock.serialize(VALUES[name])


def test_masked_arrays_keep_their_masks() -> None:
    found = crossdock.deserialize(crossdock.serialize(masked))
    assert type(found) is numpy.ma.MaskedArray
    assert found.tolist() == masked.tolist() == [0, None, 2, 3, None]


def test_what_may_be_changed() -> None:
    found = crossdock.deserialize(bytearray(crossdock.serialize([numbers, numpy.zeros(3), bytearray(b'a')])))
    assert not found[0].flags.writeable and not found[1].flags.writeable, 'large or small, in memory that may change'
    found[2] += b'b'
    frozen = numbers.copy()
    frozen.flags.writeable = False
    assert not crossdock.deserialize(crossdock.serialize(frozen)).flags.writeable
    whole = bytearray(crossdock.serialize(bytearray(b'abc')))
    mine = crossdock.deserialize(whole)
    mine[0] = 0
    assert crossdock.deserialize(whole) == b'abc'


def test_the_order_of_arrays_is_kept() -> None:
    found = crossdock.deserialize(crossdock.serialize([numbers, numpy.asfortranarray(numbers)]))
    assert [array.flags.c_contiguous for array in found] == [True, False]
    assert [array.flags.f_contiguous for array in found] == [False, True]


def addresses(arrays: list[Any], data: Any) -> list[int]:
    """Where each begins, counted from where the bytes do."""
    start = numpy.frombuffer(data, 'u1').ctypes.data
    return [array.ctypes.data - start for array in arrays]


def test_large_memory_is_aligned_and_a_view() -> None:
    arrays = [numpy.arange(count, dtype='u1') for count in (1, 2_000, 0, 15, 1_023, 1_024, 5_000, 1_025, 16)]
    data = crossdock.serialize(arrays)
    found = crossdock.deserialize(data)
    for one, address in zip(found, addresses(found, data)):
        if one.nbytes:
            assert 0 < address < len(data)
            assert address % (64 if one.nbytes >= 1_024 else 16) == 0
            assert numpy.shares_memory(one, numpy.frombuffer(data, 'u1'))


def tables(count: int) -> dict[str, Any]:
    values = numpy.random.default_rng(1).random(count)
    texts = [f'text number {number}' for number in range(100)] * (count // 100)
    return {
        'numpy': values.reshape(-1, 10),
        'pandas': pandas.DataFrame({'a': values, 'b': numpy.arange(count)}),
        'pandas, texts': pandas.DataFrame({'a': values, 'c': texts}),
        'polars': polars.DataFrame({'a': values, 'b': numpy.arange(count), 'c': texts}),
        'arrow': pyarrow.table({'a': values, 'c': texts}),
    }


def peak_of(work: Callable[[], Any]) -> tuple[Any, int]:
    """What it returns, and how much memory Python and NumPy had on top at most."""
    gc.collect()
    tracemalloc.start()
    try:
        done = work()
        return done, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize('kind', ['numpy', 'pandas', 'pandas, texts', 'arrow'])
def test_one_copy_in_and_none_out(kind: str) -> None:
    table = tables(200_000)[kind]
    crossdock.deserialize(crossdock.serialize(table))
    data, peak = peak_of(lambda: crossdock.serialize(table))
    assert len(data) > 1_500_000
    assert peak < len(data) + 100_000
    arrow = pyarrow.total_allocated_bytes()
    found, peak = peak_of(lambda: crossdock.deserialize(data))
    assert peak < 100_000
    assert pyarrow.total_allocated_bytes() - arrow < 100_000
    assert same(found, table)


def test_large_bytes_within_an_object_are_copied_once() -> None:
    large = {'a': bytes(10_000_000), 'b': [bytes(10_000_000)]}
    _, peak = peak_of(lambda: crossdock.serialize(large))
    assert peak < 20_100_000


def test_plain_bytes_and_text_are_copied_once() -> None:
    for plain in (bytes(10_000_000), bytearray(10_000_000)):
        data, peak = peak_of(lambda: crossdock.serialize(plain))
        assert peak < 10_100_000
        assert peak_of(lambda: crossdock.deserialize(data))[1] < 10_100_000


def test_views_keep_their_memory(tmp_path: pathlib.Path) -> None:
    connector = FileConnector(tmp_path / 'objects', zero_copy=True)
    for table in tables(100_000).values():
        key = connector.put(crossdock.serialize(table))
        found = crossdock.deserialize(connector.get(key))
        connector.evict(key)
        gc.collect()
        assert same(found, table)
        fragment = found[1:2]
        del found
        gc.collect()
        assert len(fragment) == 1 and str(fragment)
    connector.close(clear=True)


def resident() -> int:
    return int(pathlib.Path('/proc/self/statm').read_text().split()[1]) * os.sysconf('SC_PAGESIZE')


def first_and_cost(proxy: bytes) -> tuple[Any, int]:
    """The first element of what a proxy stands for, and the memory that it takes."""
    # What is loaded at the first call is not the object's.
    for small in tables(100).values():
        crossdock.deserialize(crossdock.serialize(small))
    loaded: Proxy[Any] = pickle.loads(proxy)
    before = resident()
    table = extract(loaded)
    first = table[0, 0] if isinstance(table, numpy.ndarray) else table['a'][0]
    return getattr(first, 'as_py', lambda: first)(), resident() - before


@pytest.mark.parametrize('kind', ['numpy', 'pandas', 'polars', 'arrow'])
def test_a_proxy_in_another_process_costs_no_memory(kind: str, tmp_path: pathlib.Path) -> None:
    table = tables(10_000_000)[kind]
    with FileConnector(tmp_path / 'objects', zero_copy=True) as connector:
        store = Store(
            f'store-{uuid.uuid4()}', connector, serializer=crossdock.serialize, deserializer=crossdock.deserialize
        )
        proxy = pickle.dumps(store.proxy(table))
        first, cost = elsewhere(first_and_cost, proxy)
        assert first == numpy.random.default_rng(1).random(1)[0]
        assert cost < 30_000_000, 'the object has 80 MB or more'


def connectors(directory: pathlib.Path) -> Iterator[Any]:
    yield LocalConnector()
    yield LocalConnector(zero_copy=True)
    yield FileConnector(directory / 'bytes')
    yield FileConnector(directory / 'views', zero_copy=True)
    yield MultiConnector({'files': (FileConnector(directory / 'multi', zero_copy=True), Policy())})


def test_it_serves_a_store(tmp_path: pathlib.Path) -> None:
    for connector in connectors(tmp_path):
        store = Store(
            f'store-{uuid.uuid4()}',
            connector,
            serializer=crossdock.serialize,
            deserializer=crossdock.deserialize,
            cache_size=0,
            register=True,
        )
        keys = store.put_batch(list(VALUES.values()))
        for key, value in zip(keys, VALUES.values()):
            assert same(store.get(key), value)
        assert same(extract(store.proxy(numbers)), numbers)
        config = pickle.loads(pickle.dumps(store.config()))
        assert isinstance(config, StoreConfig)
        assert (config.serializer, config.deserializer) == (crossdock.serialize, crossdock.deserialize)
        store.close(clear=True)


def test_what_is_mapped_is_aligned(tmp_path: pathlib.Path) -> None:
    with FileConnector(tmp_path / 'objects', zero_copy=True) as connector:
        found = crossdock.deserialize(connector.get(connector.put(crossdock.serialize([numbers, numbers.copy()]))))
        assert [array.ctypes.data % 64 for array in found] == [0, 0]


# --- what pickle cannot do ---


def test_cloudpickle_takes_what_pickle_refuses() -> None:
    factor = 3
    found = crossdock.deserialize(crossdock.serialize({'f': lambda number: factor * number, 'array': numbers}))
    assert found['f'](4) == 12
    assert same(found['array'], numbers) and not found['array'].flags.writeable

    class Local:
        frame = everything

    assert same(crossdock.deserialize(crossdock.serialize(Local)).frame, everything)


def test_without_cloudpickle_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    data = crossdock.serialize(lambda: 7)
    for module in [name for name in sys.modules if name.partition('.')[0] == 'cloudpickle']:
        monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setitem(sys.modules, 'cloudpickle', None)
    with pytest.raises(SerializationError, match='pip install cloudpickle') as raised:
        crossdock.serialize(lambda: 7)
    assert isinstance(raised.value.__cause__, AttributeError | pickle.PicklingError)
    with pytest.raises(SerializationError, match='needs the module cloudpickle'):
        crossdock.deserialize(data)
    assert crossdock.deserialize(crossdock.serialize([1])) == [1]


def test_what_nobody_can_pickle_is_said() -> None:
    with pytest.raises(SerializationError, match=r'this list cannot be pickled: .*lock') as raised:
        crossdock.serialize([threading.Lock()])
    assert isinstance(raised.value.__cause__, TypeError)
    with pytest.raises(SerializationError, match='Object'):
        crossdock.serialize(polars.DataFrame({'o': polars.Series([object()], dtype=polars.Object)}))
    assert issubclass(SerializationError, CrossdockError) and issubclass(SerializationError, ValueError)


def test_what_an_object_raises_is_the_cause() -> None:
    class Own(Exception):
        pass

    class Broken:
        def __reduce__(self) -> Any:
            raise Own('mine')

    with pytest.raises(SerializationError, match='this Broken cannot be pickled: mine') as raised:
        crossdock.serialize(Broken())
    assert isinstance(raised.value.__cause__, Own)

    class Exhausted:
        def __reduce__(self) -> Any:
            raise MemoryError

    with pytest.raises(MemoryError):
        crossdock.serialize(Exhausted())
    with pytest.raises(MemoryError):
        crossdock.deserialize(crossdock.serialize(Exhausting()))
    with pytest.raises(SerializationError, match="invalid literal for int.*'no number'") as raised:
        crossdock.deserialize(crossdock.serialize(Raising()))
    assert isinstance(raised.value.__cause__, ValueError)


@pytest.mark.parametrize('leaf', [None, lambda: None], ids=['pickle', 'cloudpickle'])
def test_deep_nesting_is_an_error(leaf: Any) -> None:
    nested = leaf
    for _ in range(100_000):
        nested = [nested]
    with pytest.raises(SerializationError, match='nested too deeply'):
        crossdock.serialize(nested)
    # Else its destructor is what overflows where a test fails.
    while nested is not leaf:
        nested = nested[0]


def test_a_buffer_that_is_not_contiguous_is_an_error() -> None:
    class Striped:
        def __reduce_ex__(self, protocol: Any) -> Any:
            return bytes, (pickle.PickleBuffer(memoryview(bytes(10))[::2]),)

    with pytest.raises(SerializationError, match='contiguous'):
        crossdock.serialize(Striped())


# --- hostile bytes ---


SOME = [
    'bytes',
    'bytearray',
    'str',
    'nested',
    'dataclass',
    'numpy, nothing',
    'numpy, many',
    'pandas',
    'polars',
    'arrow',
]


@pytest.mark.parametrize('name', SOME)
def test_every_truncation_is_an_error(name: str) -> None:
    data = crossdock.serialize(VALUES[name])
    generator = random.Random(1)
    ends = range(len(data)) if len(data) < 5_000 else [*range(1_000), *generator.sample(range(len(data)), 1_000)]
    for end in ends:
        with pytest.raises(SerializationError):
            crossdock.deserialize(memoryview(data)[:end])
    for more in (b'\0', b'\0' * 64, data):
        with pytest.raises(SerializationError, match=f'ends after {len(data)} bytes, but {len(data) + len(more)}'):
            crossdock.deserialize(data + more)


def header_size(data: bytes) -> int:
    return HEADER.size + 8 * HEADER.unpack_from(data)[3] + CHECKSUM.size


@pytest.mark.parametrize('name', SOME)
def test_every_flipped_bit_of_the_header_is_an_error(name: str) -> None:
    data = bytearray(crossdock.serialize(VALUES[name]))
    end = min(header_size(data), 200)
    for place in range(end):
        for bit in range(8):
            data[place] ^= 1 << bit
            with pytest.raises(SerializationError):
                crossdock.deserialize(data)
            data[place] ^= 1 << bit
    assert same(crossdock.deserialize(data), VALUES[name])


def forged(kind: bytes, count: int, size: int, sizes: list[int], rest: bytes, version: int = 1) -> bytes:
    """An object whose header says what it is told, with the checksum of that."""
    header = HEADER.pack(b'\xd0\xcc', version, ord(kind), count, size) + struct.pack(f'<{len(sizes)}Q', *sizes)
    return header + CHECKSUM.pack(crc32(header)) + rest


HUGE = 2**64 - 1
NONE = pickle.dumps(None, 5)
MISSING = b'cno_such_module\nname\n.'
FORGED = {
    'bytes without end': forged(b'b', 0, HUGE, [], b'abc'),
    'bytes that are fewer': forged(b'b', 0, 4, [], b'abc'),
    'bytes that are more': forged(b'b', 0, 2, [], b'abc'),
    'text without end': forged(b's', 0, 2**63, [], b'abc'),
    'no UTF-8': forged(b's', 0, 2, [], b'\xff\xff'),
    'buffers of bytes': forged(b'b', 1, 3, [0], b'abc' + bytes(64)),
    'buffers without end': forged(b'p', 2**32 - 1, len(NONE), [], NONE),
    'more buffers than there is room for': forged(b'p', 3, len(NONE), [0, 0], NONE),
    'a buffer without end': forged(b'p', 1, len(NONE), [HUGE], NONE),
    'buffers that overflow together': forged(b'p', 4, len(NONE), [2**62] * 4, NONE),
    'buffers that overflow to nothing': forged(b'p', 2, len(NONE), [2**63, 2**63], NONE),
    'a buffer that nobody uses': forged(b'p', 1, len(NONE), [4], NONE + b'abcd'),
    'no pickle': forged(b'p', 0, 0, [], b''),
    'half a pickle': forged(b'p', 0, 1, [], NONE[:1]),
    'a pickle of a later protocol': forged(b'p', 0, 3, [], b'\x80\x63.'),
    'a buffer that is not there': forged(b'p', 0, 4, [], b'\x80\x05\x97.'),
    'an unknown kind': forged(b'q', 0, 0, [], b''),
    'a later version': forged(b'b', 0, 0, [], b'', version=2),
    'a module that is not there': forged(b'p', 0, len(MISSING), [], MISSING),
    'nothing': b'',
    'one byte': b'\xd0',
    'text': b'plain text',
    'a pickle': pickle.dumps([1, 2, 3]),
    'an unknown serializer': b'XX\nabc',
    'half of what ProxyStore writes': b'BS',
    'no UTF-8 of ProxyStore': b'US\n\xff\xff',
    'no array of ProxyStore': b'NP\n\x93NUMPY',
    'no pickle of ProxyStore': b'PK\n',
    'no frame of ProxyStore': b'PL\nabc',
}


@pytest.mark.parametrize('name', FORGED)
def test_forged_bytes_are_an_error_and_take_no_memory(name: str) -> None:
    with pytest.raises(SerializationError):
        crossdock.deserialize(FORGED[name])

    def refused() -> None:
        with pytest.raises(SerializationError):
            crossdock.deserialize(FORGED[name])

    assert peak_of(refused)[1] < 200_000


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        ('bytes that are fewer', 'cut short: 23 bytes were given, and it has 24 or more'),
        ('bytes that are more', 'ends after 22 bytes, but 23 were given'),
        ('buffers of bytes', 'no pickle that they belong to'),
        ('a buffer that nobody uses', '^the object is damaged: its pickle does not use all of its buffers'),
        ('an unknown kind', 'upgrade'),
        ('a later version', 'version 2 of the format, and this version of crossdock reads 1; upgrade'),
        ('text', 'neither by crossdock.serialize nor by the serializer of ProxyStore'),
    ],
)
def test_errors_say_what_is_wrong(name: str, message: str) -> None:
    with pytest.raises(SerializationError, match=message) as raised:
        crossdock.deserialize(FORGED[name])
    assert raised.value.kind == 'serialization'


def test_a_module_that_is_not_there_is_named() -> None:
    with pytest.raises(SerializationError, match='needs the module no_such_module') as raised:
        crossdock.deserialize(FORGED['a module that is not there'])
    assert isinstance(raised.value.__cause__, ModuleNotFoundError)


@pytest.mark.parametrize('wrong', ['text', None, 7, [b'x']], ids=repr)
def test_what_is_no_buffer_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match=f'takes bytes or another buffer, not {type(wrong).__name__}'):
        crossdock.deserialize(wrong)


def test_a_buffer_of_any_shape_is_read() -> None:
    data = crossdock.serialize(bytes(108))
    assert crossdock.deserialize(numpy.frombuffer(data, '>f8')) == bytes(108)
    assert crossdock.deserialize(numpy.frombuffer(data, 'u1').reshape(8, 16)) == bytes(108)
    with pytest.raises(SerializationError, match='not contiguous'):
        crossdock.deserialize(memoryview(data)[::2])


# --- any object ---


def random_object(generator: random.Random, depth: int = 0) -> Any:
    """Something of everything, nested a few levels."""
    leaves: list[Callable[[], Any]] = [
        lambda: generator.choice([None, True, 0, -1, 2**70, 1.5, '', b'']),
        lambda: generator.randbytes(generator.choice([1, 100, 70_000])),
        lambda: bytearray(generator.randbytes(generator.choice([0, 100, 70_000]))),
        lambda: ''.join(chr(generator.randrange(0x11_0000)) for _ in range(generator.randrange(50))),
        lambda: random_array(generator),
        lambda: polars.Series('s', [generator.random() for _ in range(generator.randrange(9))]),
        lambda: pandas.Series([generator.random() for _ in range(1 + generator.randrange(9))]),
    ]
    if depth > 3 or generator.random() < 0.4:
        return generator.choice(leaves)()
    parts = [random_object(generator, depth + 1) for _ in range(generator.randrange(5))]
    forms: list[Callable[[], Any]] = [
        lambda: parts,
        lambda: tuple(parts),
        lambda: dict(enumerate(parts)),
        lambda: Record('random', parts),
    ]
    return generator.choice(forms)()


def random_array(generator: random.Random) -> Any:
    shape = [generator.choice([0, 1, 2, 7, 40]) for _ in range(generator.randrange(4))]
    kind = generator.choice(['u1', 'i2', '<f4', '>f8', 'c16', '?', 'S3', 'U2', 'i4,f8'])
    made = numpy.zeros(shape, dtype=kind)
    made = made + numpy.asarray(generator.randrange(100)).astype(kind) if kind in {'u1', 'i2', '<f4', '>f8'} else made
    way = generator.randrange(4)
    if way == 1:
        return numpy.asfortranarray(made)
    if way == 2 and made.ndim:
        return made[::2]
    return made.T if way == 3 else made


@pytest.mark.parametrize('seed', range(8))
def test_random_objects_come_back_and_their_fragments_do_not(seed: int) -> None:
    generator = random.Random(seed)
    for _ in range(60):
        made = random_object(generator)
        data = crossdock.serialize(made)
        assert same(crossdock.deserialize(data), made)
        assert crossdock.serialize(made) == data
        for end in generator.sample(range(len(data)), min(20, len(data))):
            with pytest.raises(SerializationError):
                crossdock.deserialize(data[:end])
        damaged = bytearray(data)
        damaged[generator.randrange(header_size(data))] ^= 1 << generator.randrange(8)
        with pytest.raises(SerializationError):
            crossdock.deserialize(damaged)


# --- ProxyStore's serializer ---


# Its own deserializer cannot read a frame without columns.
@pytest.mark.parametrize('name', [name for name in VALUES if name != 'polars, nothing'])
def test_what_proxystore_serialized_is_read(name: str) -> None:
    theirs = proxystore.serialize.serialize(VALUES[name])
    expected = proxystore.serialize.deserialize(theirs)
    for given in (theirs, memoryview(theirs)):
        assert same(crossdock.deserialize(given), expected)


def test_cloudpickled_by_proxystore_is_read() -> None:
    data = proxystore.serialize.serialize(lambda: 7)
    assert data[:3] == b'CP\n'
    assert crossdock.deserialize(data)() == 7


def test_proxystore_refuses_what_is_ours(value: Any) -> None:
    with pytest.raises(proxystore.serialize.SerializationError, match='Unknown identifier'):
        proxystore.serialize.deserialize(crossdock.serialize(value))


def test_a_store_of_proxystores_objects_is_read_after_the_change(tmp_path: pathlib.Path) -> None:
    connector = FileConnector(tmp_path / 'objects', clear=False, zero_copy=True)
    before = Store(f'store-{uuid.uuid4()}', connector)
    after = Store(before.name, connector, serializer=crossdock.serialize, deserializer=crossdock.deserialize)
    for value in ('text', b'bytes', numbers, {'a': 1}, VALUES['pandas']):
        assert same(after.get(before.put(value)), value)


# --- what it costs to have it ---


def in_fresh_python(code: str) -> str:
    return subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True).stdout.strip()


def test_importing_the_package_loads_nothing_of_it() -> None:
    code = (
        'import sys; import crossdock, crossdock.connectors.multi, crossdock.connectors.file\n'
        'print([name for name in ("pickle", "crossdock.serialization") if name in sys.modules])\n'
        'crossdock.deserialize(crossdock.serialize({"a": 1}))\n'
        'others = ("numpy", "pandas", "polars", "pyarrow", "cloudpickle", "proxystore")\n'
        'print([name for name in others if name in sys.modules])\n'
    )
    assert in_fresh_python(code).split('\n') == ['[]', '[]']


def test_the_names_are_there_before_they_are_loaded() -> None:
    code = 'from crossdock import *; print(serialize.__name__, deserialize.__name__, load.__name__)'
    assert in_fresh_python(code) == 'serialize deserialize load'
    with pytest.raises(AttributeError, match='no_such_name'):
        _ = crossdock.no_such_name  # type: ignore[attr-defined]


def test_the_module_of_upstreams_name_does_not_hide_the_function() -> None:
    code = (
        'import importlib; from crossdock.serialize import BytesLike, SerializationError, serialize as inner\n'
        'import crossdock.serialize; importlib.import_module("crossdock.serialize")\n'
        'from crossdock import serialize; print(serialize is inner is crossdock.serialize)'
    )
    assert in_fresh_python(code) == 'True'
    names = set(importlib.import_module('crossdock.serialize').__all__)
    assert all(hasattr(proxystore.serialize, name) for name in names)


def test_polars_without_pyarrow(monkeypatch: pytest.MonkeyPatch) -> None:
    data = crossdock.serialize([everything, everything['struct']])
    monkeypatch.setitem(sys.modules, 'pyarrow', None)
    assert same(crossdock.deserialize(data), [everything, everything['struct']])


@pytest.mark.parametrize('size', [(4 << 20) - 100, 4 << 20, (4 << 20) + 12_345])
def test_large_objects_are_joined_whole(size: int) -> None:
    """From 4 MiB on in native code, into huge pages."""
    noise = random.Random(size).randbytes(size)
    assert crossdock.deserialize(crossdock.serialize(noise)) == noise
    arrays = [numpy.frombuffer(noise, 'u1'), numpy.arange(1_000), numpy.frombuffer(noise, 'u1')[::-1].copy()]
    for given, found in zip(arrays, crossdock.deserialize(crossdock.serialize(arrays)), strict=True):
        assert numpy.array_equal(given, found)


def test_more_than_memory_can_be_is_refused() -> None:
    from crossdock._crossdock import join

    # Mapped, but never there: with Linux's MAP_NORESERVE, which Python 3.11 does not name.
    huge = mmap.mmap(-1, 1 << 46, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000)
    for parts in ([huge] * (1 << 18) + [b'rest'], [huge] * 3):
        with pytest.raises(MemoryError):
            join(parts)
    with pytest.raises(TypeError):
        join([b'bytes', 'text'])
    assert join([b'one ', memoryview(b'and '), bytearray(b'another')]) == b'one and another'

"""Objects of every kind go in, and come out as bytes or views; long calls let others run and can be given up."""

from __future__ import annotations

import array
import ctypes
import gc
import mmap
import os
import pathlib
import random
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from typing import Any

import numpy
import pytest

import servers
from crossdock.connectors.file import FileConnector
from crossdock.connectors.local import LocalConnector
from crossdock.connectors.multi import MultiConnector, Policy
from crossdock.connectors.object_store import ObjectStoreConnector
from crossdock.connectors.redis import RedisConnector
from crossdock.connectors.shm import SharedMemoryConnector
from helpers import in_memory

GENEROUS = 120
KINDS = ['local', 'file', 'shm', 'redis', 's3', 'multi', 'multi of file', 'multi of redis', 'multi of all']


def build(kind: str, directory: pathlib.Path, **options: Any) -> Any:
    match kind:
        case 'local':
            return LocalConnector(**options)
        case 'file':
            return FileConnector(directory / 'objects', **options)
        case 'redis':
            return RedisConnector(**servers.options(clear=True, **options))
        case 'shm':
            return SharedMemoryConnector(in_memory(), clear=True, **options)
        case 's3':
            return ObjectStoreConnector(**servers.bucket(clear=True, **options))
        case 'multi':
            return MultiConnector({'only': (LocalConnector(**options), Policy())})
        case 'multi of redis':
            return MultiConnector({'only': (build('redis', directory, **options), Policy())})
        case 'multi of all':
            tiers = {'local': 3, 'file': 1_000, 'redis': 100_000, 's3': 2**62}
            return MultiConnector(
                {tier: (build(tier, directory, **options), Policy(max_size_bytes=most)) for tier, most in tiers.items()}
            )
        case _:
            return MultiConnector({'only': (FileConnector(directory / 'objects', **options), Policy())})


@pytest.fixture(params=KINDS)
def connector(request: pytest.FixtureRequest, tmp_path: pathlib.Path):
    with build(request.param, tmp_path) as built:
        yield built


def mapped(data: bytes) -> mmap.mmap:
    memory = mmap.mmap(-1, len(data))
    memory.write(data)
    return memory


class Pair(ctypes.Structure):
    _fields_ = [('number', ctypes.c_int32), ('letters', ctypes.c_char * 4)]


BUFFERS: dict[str, Callable[[], Any]] = {
    'bytes': lambda: b'object',
    'bytes, empty': lambda: b'',
    'bytes, large': lambda: random.Random(1).randbytes(3_000_000),
    'bytearray': lambda: bytearray(b'object'),
    'bytearray, empty': bytearray,
    'bytearray, large': lambda: bytearray(random.Random(2).randbytes(3_000_000)),
    'memoryview': lambda: memoryview(b'an object')[3:],
    'memoryview, empty': lambda: memoryview(b''),
    'memoryview of float64': lambda: memoryview(array.array('d', [1.5, -2.5, 3.0])),
    'memoryview of two dimensions': lambda: memoryview(bytes(range(24))).cast('B', (4, 6)),
    'array': lambda: array.array('i', range(1000)),
    'array, empty': lambda: array.array('d'),
    'numpy': lambda: numpy.arange(24, dtype=numpy.float64).reshape(4, 6),
    'numpy, empty': lambda: numpy.zeros((0, 3)),
    'numpy, one number': lambda: numpy.float64(2.5),
    'numpy, read-only': lambda: numpy.broadcast_to(numpy.arange(6), (6,)),
    'mmap': lambda: mapped(b'object' * 1000),
    'ctypes array': lambda: (ctypes.c_uint16 * 5)(*range(5)),
    'ctypes structure': lambda: Pair(7, b'abcd'),
}


@pytest.mark.parametrize('size', [(4 << 20) - 1, 4 << 20, (36 << 20) + 7])
def test_bytes_in_huge_pages_are_whole(tmp_path: pathlib.Path, size: int) -> None:
    expected = random.Random(size).randbytes(size)
    with build('file', tmp_path) as files:
        key = files.put(bytearray(expected))
        assert files.get(key) == expected
        assert files.get_batch([key, key]) == [expected, expected]


@pytest.mark.parametrize('name', BUFFERS)
def test_every_buffer_comes_back_as_its_bytes(connector: Any, name: str) -> None:
    given = BUFFERS[name]()
    expected = bytes(memoryview(given))
    key = connector.put(given)
    found = connector.get(key)
    assert type(found) is bytes and found == expected
    assert connector.exists(key)
    [key] = connector.put_batch([given])
    assert connector.get_batch([key]) == [expected]
    key = connector.new_key()
    connector.set(key, given)
    assert connector.get(key) == expected
    view = connector.get(key, zero_copy=True)
    assert type(view) is memoryview and view.readonly and view.nbytes == len(expected) and bytes(view) == expected


SCATTERED: dict[str, Callable[[], Any]] = {
    'memoryview with a step': lambda: memoryview(b'abcdef')[::2],
    'memoryview backwards': lambda: memoryview(b'abcdef')[::-1],
    'numpy in the order of Fortran': lambda: numpy.asfortranarray(numpy.arange(6).reshape(2, 3)),
    'numpy with a step': lambda: numpy.arange(10)[::3],
    'numpy repeated': lambda: numpy.broadcast_to(numpy.int64(1), (4,)),
}


@pytest.mark.parametrize('name', SCATTERED)
def test_what_is_not_in_one_piece_is_a_value_error(connector: Any, name: str) -> None:
    given = SCATTERED[name]()
    key = connector.new_key()
    for call in (lambda: connector.put(given), lambda: connector.put_batch([given]), lambda: connector.set(key, given)):
        with pytest.raises(ValueError, match='contiguous'):
            call()
    assert not connector.exists(key)


@pytest.mark.parametrize(
    'given', ['text', 7, None, [1, 2], {'a': 1}, object(), 1.5], ids=lambda given: type(given).__name__
)
def test_what_is_no_buffer_is_a_type_error(connector: Any, given: Any) -> None:
    key = connector.new_key()
    for call in (lambda: connector.put(given), lambda: connector.put_batch([given]), lambda: connector.set(key, given)):
        with pytest.raises(TypeError, match=type(given).__name__):
            call()
    assert not connector.exists(key)


def test_a_str_is_told_to_be_encoded(connector: Any) -> None:
    with pytest.raises(TypeError, match='encode'):
        connector.put('text')


def test_the_size_is_that_of_the_memory() -> None:
    connector = MultiConnector(
        {'small': (LocalConnector(), Policy(max_size_bytes=1000, priority=1)), 'large': (LocalConnector(), Policy())},
    )
    numbers = array.array('d', range(1000))
    for given in (numbers, memoryview(numbers), numpy.arange(1000, dtype=numpy.float64)):
        assert connector.put(given).connector_name == 'large'
        assert connector.put_batch([given])[0].connector_name == 'large'
        assert connector.new_key(given).connector_name == 'large'
        assert connector.explain(given).route == 'large'
    assert connector.put(memoryview(numbers)[:125]).connector_name == 'small'


@pytest.mark.parametrize('size', [6, 300_000])
def test_changing_a_buffer_later_does_not_change_the_object(connector: Any, size: int) -> None:
    given = bytearray(b'a' * size)
    keys = [connector.put(given), *connector.put_batch([given, memoryview(given)]), connector.new_key()]
    connector.set(keys[-1], given)
    given[:] = b'b' * size
    # Nor is the buffer held on to.
    given.append(1)
    assert connector.get_batch(keys) == [b'a' * size] * len(keys)


@pytest.mark.parametrize('kind', ['local', 'multi'])
def test_bytes_in_memory_come_back_as_the_same_object(kind: str, tmp_path: pathlib.Path) -> None:
    connector = build(kind, tmp_path)
    given = random.Random(3).randbytes(1000)
    keys = [connector.put(given), *connector.put_batch([given]), connector.new_key()]
    connector.set(keys[-1], given)
    assert all(connector.get(key) is given for key in keys)
    assert all(found is given for found in connector.get_batch(keys))


class Kept(bytes):
    pass


def test_subclasses_of_bytes_are_bytes(connector: Any) -> None:
    assert connector.get(connector.put(Kept(b'object'))) == b'object'


@pytest.mark.parametrize('by', ['constructor', 'call'])
@pytest.mark.parametrize('kind', KINDS)
def test_views_stay_valid_when_everything_else_is_gone(kind: str, by: str, tmp_path: pathlib.Path) -> None:
    connector = build(kind, tmp_path, zero_copy=by == 'constructor')
    wanted = {} if by == 'constructor' else {'zero_copy': True}
    data = [b'', b'x', random.Random(4).randbytes(5_000), random.Random(5).randbytes(3_000_000)]
    keys = [connector.put(bytes(each)) for each in data]
    views = [connector.get(key, **wanted) for key in keys] + connector.get_batch(keys, **wanted)
    assert all(type(view) is memoryview and view.readonly for view in views)
    for view in views[1:]:
        if len(view):
            with pytest.raises(TypeError):
                view[0] = 1
    for key in keys:
        connector.evict(key)
        assert connector.get(key, **wanted) is None
    connector.close(clear=True)
    del connector, keys
    gc.collect()
    assert [bytes(view) for view in views] == data * 2
    inner = views[3][1_000:2_000]
    views.clear()
    gc.collect()
    assert bytes(inner) == data[3][1_000:2_000]


@pytest.mark.parametrize('kind', KINDS)
def test_a_call_overrides_what_the_connector_was_built_with(kind: str, tmp_path: pathlib.Path) -> None:
    connector = build(kind, tmp_path, zero_copy=True)
    key = connector.put(b'object')
    assert type(connector.get(key)) is memoryview
    assert type(connector.get(key, zero_copy=None)) is memoryview
    assert type(connector.get(key, zero_copy=False)) is bytes
    assert [type(found) for found in connector.get_batch([key, key], zero_copy=False)] == [bytes, bytes]


def test_numpy_reads_a_view_without_a_copy(connector: Any) -> None:
    numbers = numpy.arange(1000, dtype=numpy.float64)
    view = connector.get(connector.put(numbers), zero_copy=True)
    found = numpy.frombuffer(view, dtype=numpy.float64)
    assert (found == numbers).all() and not found.flags.writeable and not found.flags.owndata


def test_batches_keep_the_order(connector: Any) -> None:
    data = [str(place).encode() * (place % 7) for place in range(50)]
    keys = connector.put_batch(data)
    assert len(set(keys)) == 50
    order = random.Random(6).sample(range(50), 50)
    assert connector.get_batch([keys[place] for place in order]) == [data[place] for place in order]
    connector.evict(keys[3])
    assert connector.get_batch([keys[3], keys[4], keys[3], keys[4]]) == [None, data[4], None, data[4]]


def test_an_empty_batch_is_empty(connector: Any) -> None:
    assert connector.put_batch([]) == []
    assert connector.get_batch([]) == []
    assert connector.put_batch(iter(())) == []


def test_batches_may_come_from_generators(connector: Any) -> None:
    keys = connector.put_batch(each for each in (b'a', bytearray(b'b'), memoryview(b'c')))
    assert connector.get_batch(key for key in keys) == [b'a', b'b', b'c']
    assert connector.get_batch(tuple(keys)) == [b'a', b'b', b'c']


def test_a_generator_that_raises_is_heard(connector: Any) -> None:
    mine = LookupError('mine')

    def items():
        yield b'a'
        raise mine

    with pytest.raises(LookupError) as raised:
        connector.put_batch(items())
    assert raised.value is mine


@pytest.mark.parametrize('wrong', ['text', None, 7], ids=repr)
def test_a_wrong_item_of_a_batch_is_named_by_its_place(wrong: Any, tmp_path: pathlib.Path) -> None:
    for kind in KINDS:
        with build(kind, tmp_path) as connector, pytest.raises(TypeError, match='object 2 of the batch'):
            connector.put_batch([b'a', b'b', wrong, b'd'])
        with build(kind, tmp_path) as connector, pytest.raises(ValueError, match='object 1 of the batch'):
            connector.put_batch([b'a', memoryview(b'abc')[::2]])


def test_one_object_is_no_batch(connector: Any) -> None:
    for one in (b'abc', bytearray(b'abc'), memoryview(b'abc'), 'abc', 7, None):
        with pytest.raises(TypeError, match='batch'):
            connector.put_batch(one)
    with pytest.raises(TypeError, match='batch'):
        connector.get_batch(7)


def test_a_refused_batch_of_files_leaves_nothing(tmp_path: pathlib.Path) -> None:
    connector = FileConnector(tmp_path / 'objects')
    with pytest.raises(TypeError):
        connector.put_batch([b'a', 'b'])
    assert os.listdir(tmp_path / 'objects') == []


def test_a_batch_over_the_quota_is_undone() -> None:
    store: dict[Any, Any] = {}
    connector = LocalConnector(store, max_total_bytes=10)
    with pytest.raises(OSError, match='10'):
        connector.put_batch([b'1234', b'1234', b'1234'])
    assert store == {}
    assert len(connector.put_batch([b'1234', b'123456'])) == 2


def shared_memory() -> pathlib.Path:
    place = pathlib.Path('/dev/shm')
    if not place.is_dir() or os.statvfs(place).f_bavail * os.statvfs(place).f_frsize < 2_000_000_000:
        complaint = 'needs 2 GB in /dev/shm'
        if os.environ.get('CI'):
            pytest.fail(complaint)
        pytest.skip(complaint)
    return place


@pytest.fixture()
def roomy():
    """A directory in memory, which is removed whatever happens."""
    import tempfile

    with tempfile.TemporaryDirectory(dir=shared_memory()) as directory:
        yield pathlib.Path(directory)


@pytest.mark.parametrize('kind', ['file', 'multi of file'])
def test_others_run_during_a_long_call(kind: str, roomy: pathlib.Path) -> None:
    # With an interval that never ends, the lock changes hands only where the call lets go of it.
    interval = sys.getswitchinterval()
    connector = build(kind, roomy)
    data = bytes(300_000_000)
    progress = [0]
    wanted, stopped = threading.Event(), threading.Event()

    def count() -> None:
        wanted.wait()
        while not stopped.is_set():
            progress[0] += 1
            # Hands the lock back at once.
            stopped.wait(0.0001)

    counter = threading.Thread(target=count, daemon=True)
    counter.start()

    def during(call: Callable[[], Any]) -> Any:
        before = progress[0]
        done = call()
        assert progress[0] > before + 1, 'nobody else ran'
        return done

    try:
        sys.setswitchinterval(1_000)
        wanted.set()
        key = during(lambda: connector.put(data))
        found = during(lambda: connector.get(key))
        assert len(found) == len(data)
    finally:
        sys.setswitchinterval(interval)
        stopped.set()
        counter.join(GENEROUS)
    assert not counter.is_alive()


INTERRUPTED = """
    import mmap, os, pathlib, signal, sys, threading
    from crossdock.connectors.file import FileConnector
    from crossdock.connectors.multi import MultiConnector, Policy

    # A shell that starts the tests in the background has them ignore it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    directory, kind, operation = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    files = FileConnector(directory)
    connector = files if kind == 'file' else MultiConnector({'only': (files, Policy())})
    large = bytes(100_000_000)
    kept = connector.put(b'kept')
    keys = [connector.put(large)] if operation == 'get_batch' else []
    before = sorted(os.listdir(directory))

    def resident():
        return int(pathlib.Path('/proc/self/statm').read_text().split()[1]) * mmap.PAGESIZE

    def has_begun(at_first):
        if operation == 'get_batch':
            return resident() > at_first + 150_000_000
        return sorted(os.listdir(directory)) != before

    def interrupt(at_first):
        while not has_begun(at_first):
            pass
        os.kill(os.getpid(), signal.SIGINT)

    try:
        threading.Thread(target=interrupt, args=[resident()], daemon=True).start()
        # Until it is cut short, each of these takes far longer than a signal needs to come.
        if operation == 'put':
            while True:
                connector.evict(connector.put(large))
        elif operation == 'put_batch':
            connector.put_batch([large] * 3 + [bytes(5_000)] * 200_000)
        else:
            connector.get_batch(keys * 100)
    except KeyboardInterrupt:
        print('interrupted')
    if operation == 'put':
        # The signal may also have come between a whole put and the eviction.
        left = [name for name in os.listdir(directory) if name not in before]
        whole = {name.removesuffix('.ready') for name in left if name.endswith('.ready')}
        assert len(whole) <= 1 and all(name.removesuffix('.ready') in whole for name in left), left
    else:
        assert sorted(os.listdir(directory)) == before, os.listdir(directory)
    assert connector.get(kept) == b'kept'
    again = connector.put_batch([b'a', b'b'])
    assert connector.get_batch(again) == [b'a', b'b']
    files.close(clear=True)
    assert not directory.exists(), os.listdir(directory)
    print('works')
"""


@pytest.mark.parametrize('operation', ['put', 'put_batch', 'get_batch'])
@pytest.mark.parametrize('kind', ['file', 'multi'])
def test_ctrl_c_ends_a_long_call(kind: str, operation: str, roomy: pathlib.Path) -> None:
    run = subprocess.run(
        [sys.executable, '-c', textwrap.dedent(INTERRUPTED), roomy / 'objects', kind, operation],
        capture_output=True,
        text=True,
        check=False,
        timeout=GENEROUS,
    )
    assert (run.returncode, run.stdout.split()) == (0, ['interrupted', 'works']), run.stderr

"""Forks, spawned processes and threads, with every connector."""

from __future__ import annotations

import contextlib
import gc
import os
import pathlib
import pickle
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import servers
from crossdock.connectors.file import FileConnector
from crossdock.connectors.local import LocalConnector
from crossdock.connectors.multi import MultiConnector, Policy
from crossdock.connectors.object_store import ObjectStoreConnector
from crossdock.connectors.redis import RedisConnector
from crossdock.connectors.shm import SharedMemoryConnector
from crossdock.exceptions import InvalidKeyError
from helpers import GENEROUS, METHODS, Child, class_path, elsewhere, in_fork, in_memory, in_process

CHILDREN = 64
PUTS = 1000
# Each takes a server of files some milliseconds.
PUTS_OF_S3 = 20
SMALL, LARGE = b'small', bytes(range(256)) * 40
KINDS: dict[str, Callable[[pathlib.Path], Any]] = {
    'local': lambda directory: LocalConnector(),
    'file': lambda directory: FileConnector(str(directory / 'objects')),
    'shm': lambda directory: SharedMemoryConnector(in_memory(), clear=True),
    'redis': lambda directory: RedisConnector(**servers.options(clear=True)),
    's3': lambda directory: ObjectStoreConnector(**servers.bucket(clear=True)),
    'multi': lambda directory: MultiConnector(
        {
            'memory': (LocalConnector(), Policy(max_size_bytes=100, priority=1)),
            'files': (FileConnector(str(directory / 'objects')), Policy()),
        },
    ),
}
NEW_PROCESSES: dict[str, Callable[..., Any]] = {
    'spawn': lambda function, *arguments: in_process('spawn', function, *arguments),
    'forkserver': lambda function, *arguments: in_process('forkserver', function, *arguments),
    'a new python': lambda function, *arguments: elsewhere(function, *arguments),
}
FORKS: dict[str, Callable[..., Any]] = {
    'fork': lambda function, *arguments: in_process('fork', function, *arguments),
    'os.fork': lambda function, *arguments: in_fork(function, *arguments),
}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture()
def connector(kind: str, tmp_path: pathlib.Path) -> Iterator[Any]:
    connector = KINDS[kind](tmp_path)
    yield connector
    connector.close()


def objects(kind: str) -> list[bytes]:
    """One for each connector that the multi-connector has."""
    return [SMALL, LARGE] if kind == 'multi' else [SMALL]


def put_many(connector: Any, data: list[bytes], puts: int) -> list[Any]:
    return [connector.put(data[n % len(data)]) for n in range(puts)]


def test_64_forked_children_put_under_different_keys(connector: Any, kind: str) -> None:
    data, puts = objects(kind), PUTS_OF_S3 if kind == 's3' else PUTS
    # Whatever a connector keeps in store for its next keys is there to be inherited.
    keys = [connector.put(each) for each in data for _ in range(10)]
    keys += [connector.new_key() for _ in range(10)]
    with contextlib.ExitStack() as stack:
        children = [stack.enter_context(Child(put_many, connector, data, puts)) for _ in range(CHILDREN)]
        keys += put_many(connector, data, puts)
        for child in children:
            found = child.answer()
            assert len(found) == puts
            keys += found
    names = {key.connector_name for key in keys} if kind == 'multi' else set()
    assert names == ({'memory', 'files'} if kind == 'multi' else set())
    print(f'{kind}: {CHILDREN} children x {puts} puts, {len(set(keys))} different keys')
    assert len(keys) == CHILDREN * puts + puts + 10 * len(data) + 10
    assert len(set(keys)) == len(keys)
    leaves = {key.connector_key[0] if kind == 'multi' else key[0] for key in keys}
    assert len(leaves) == len(keys), 'the ids alone are different, whatever else keys say'


def grandchildren(connector: Any, depth: int) -> list[Any]:
    keys = [connector.put(SMALL) for _ in range(50)]
    if depth:
        for _ in range(2):
            keys += in_fork(grandchildren, connector, depth - 1)
        keys += [connector.put(SMALL) for _ in range(50)]
    return keys


def test_children_of_children_put_under_different_keys(connector: Any) -> None:
    keys = grandchildren(connector, 3)
    assert len(keys) == 50 * 15 + 50 * 7
    assert len(set(keys)) == len(keys)


def test_threads_that_fork_put_under_different_keys(connector: Any) -> None:
    def work(_: int) -> list[Any]:
        keys = [connector.put(SMALL) for _ in range(50)]
        return keys + in_fork(grandchildren, connector, 0) + [connector.put(SMALL) for _ in range(50)]

    with ThreadPoolExecutor(4) as pool:
        keys = [key for part in pool.map(work, range(8)) for key in part]
    assert len(keys) == len(set(keys)) == 8 * 150


def use(connector: Any, keys: list[Any], data: list[bytes]) -> list[Any]:
    """All that a connector can do; the keys of what stays are the answer."""
    assert [connector.get(key) for key in keys] == data
    assert connector.get_batch(keys) == data
    assert all(connector.exists(key) for key in keys)
    mine = connector.put_batch(data)
    assert connector.get_batch(mine) == data
    deferred = connector.new_key()
    assert not connector.exists(deferred)
    assert connector.get(deferred) is None
    connector.set(deferred, b'deferred')
    assert connector.get(deferred) == b'deferred'
    connector.evict(mine[0])
    assert not connector.exists(mine[0])
    assert connector.get(mine[0]) is None
    return [*mine[1:], deferred]


@pytest.mark.parametrize('process', FORKS)
def test_a_forked_child_reads_what_its_parent_put(connector: Any, kind: str, process: str) -> None:
    data = objects(kind)
    keys = connector.put_batch(data)
    made = FORKS[process](use, connector, keys, data)
    assert len(made) == len(data)
    assert [connector.get(key) for key in keys] == data, 'and the parent still does'
    if kind in ('file', 'shm', 'redis', 's3'):
        assert [connector.get(key) for key in made] == [b'deferred']


def use_pickled(pickled: bytes, data: list[bytes]) -> tuple[str, list[Any]]:
    connector, keys = pickle.loads(pickled)
    return class_path(connector), use(connector, keys, data)


def use_pickled_without_objects(pickled: bytes, data: list[bytes]) -> tuple[str, list[Any]]:
    connector, keys = pickle.loads(pickled)
    for key in keys:
        with pytest.raises(InvalidKeyError):
            connector.get(key)
    return class_path(connector), use(connector, connector.put_batch(data), data)


@pytest.mark.parametrize('process', [*NEW_PROCESSES, *FORKS])
def test_a_pickled_connector_works_in_another_process(connector: Any, kind: str, process: str) -> None:
    run = (NEW_PROCESSES | FORKS)[process]
    # Memory of another process is out of reach; files are not.
    data = [LARGE, LARGE + b'x'] if kind != 'local' else [SMALL]
    function = use_pickled_without_objects if kind == 'local' and process in NEW_PROCESSES else use_pickled
    if kind == 'local' and process in FORKS:
        connector = LocalConnector(include_data_in_config=True)
    keys = connector.put_batch(data)
    path, made = run(function, pickle.dumps((connector, keys)), data)
    assert path == class_path(connector)
    assert [connector.get(key) for key in keys] == data
    if kind in ('file', 'shm', 'redis', 's3'):
        assert [connector.get(key) for key in made] == [LARGE + b'x', b'deferred']


@pytest.mark.parametrize('process', NEW_PROCESSES)
def test_memory_crosses_to_another_process_where_its_config_includes_it(process: str) -> None:
    connector = LocalConnector(include_data_in_config=True)
    keys = [connector.put(SMALL), connector.put(LARGE)]
    path, _ = NEW_PROCESSES[process](use_pickled, pickle.dumps((connector, keys)), [SMALL, LARGE])
    assert path == 'crossdock.connectors.local.LocalConnector'


def read_in_memory(connector: Any, key: Any) -> str:
    with pytest.raises(InvalidKeyError) as raised:
        connector.get(key)
    with pytest.raises(InvalidKeyError):
        connector.exists(key)
    return str(raised.value)


@pytest.mark.parametrize('process', NEW_PROCESSES)
@pytest.mark.parametrize('kind', ['local', 'multi'])
def test_what_is_in_the_memory_of_another_process_is_an_error(connector: Any, kind: str, process: str) -> None:
    key = connector.put(SMALL)
    assert (kind == 'local') or key.connector_name == 'memory'
    text = NEW_PROCESSES[process](read_in_memory, connector, key)
    assert 'process' in text
    assert connector.get(key) == SMALL


def close_it(connector: Any) -> None:
    connector.close()
    connector.close()


def leave_block(connector: Any) -> None:
    with connector:
        connector.put(LARGE)


def rebuild_and_close(connector: Any) -> None:
    type(connector).from_config(connector.config()).close()
    pickle.loads(pickle.dumps(connector)).close()


def let_go(connector: Any) -> None:
    del connector
    gc.collect()


@pytest.mark.parametrize('kind', ['file', 'multi'])
@pytest.mark.parametrize('process', [*METHODS, 'os.fork', 'a new python'])
@pytest.mark.parametrize('way', [close_it, leave_block, rebuild_and_close, let_go], ids=lambda way: way.__name__)
def test_the_close_of_a_child_clears_nothing(tmp_path: pathlib.Path, kind: str, process: str, way: Any) -> None:
    connector = KINDS[kind](tmp_path)
    key = connector.put(LARGE)
    (NEW_PROCESSES | FORKS)[process](way, connector)
    assert connector.get(key) == LARGE
    assert (tmp_path / 'objects').is_dir()
    connector.close()
    assert not (tmp_path / 'objects').exists(), 'the close of who made it does'


def inherited_and_exits(directory: pathlib.Path) -> None:
    """A child that ends as Python ends, with all that is run then."""
    connector = FileConnector(str(directory))
    key = connector.put(LARGE)
    child = os.fork()
    if child == 0:
        raise SystemExit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert connector.get(key) == LARGE


def test_the_end_of_a_child_clears_nothing(tmp_path: pathlib.Path) -> None:
    elsewhere(inherited_and_exits, tmp_path / 'objects')
    assert len(list((tmp_path / 'objects').glob('*.ready'))) == 1, 'nor does the end of the parent, without a close'


def test_a_child_that_is_asked_to_clear_clears(tmp_path: pathlib.Path) -> None:
    connector = FileConnector(str(tmp_path / 'objects'), clear=False)
    connector.put(LARGE)
    in_fork(lambda: connector.close(clear=True))
    assert not (tmp_path / 'objects').exists()


def test_8_threads_put_and_get_through_one_multi_connector(tmp_path: pathlib.Path) -> None:
    connector = MultiConnector(
        {
            'memory': (LocalConnector(), Policy(max_size_bytes=100, priority=1)),
            'files': (FileConnector(str(tmp_path / 'a')), Policy(max_size_bytes=5_000)),
            'views': (FileConnector(str(tmp_path / 'b'), zero_copy=True), Policy()),
        },
    )
    threads, rounds = 8, 300
    start = threading.Barrier(threads)
    shared: list[list[Any]] = [[] for _ in range(threads)]

    def work(number: int) -> list[Any]:
        start.wait(GENEROUS)
        kept = []
        for n in range(rounds):
            data = f'{number}/{n}'.encode() * [1, 100, 3_000][n % 3]
            key = connector.put(data)
            assert connector.exists(key)
            assert connector.get(key) == data
            one, other = connector.put_batch([data, data[:10]])
            assert connector.get_batch([other, one, key]) == [data[:10], data, data]
            connector.evict(other)
            assert connector.get(other) is None
            kept.append((key, data))
            shared[number].append((key, data))
            # What another thread has put meanwhile is read here as well.
            for key, data in shared[(number + 1) % threads][-3:]:
                assert connector.get(key) == data
        return kept

    with ThreadPoolExecutor(threads) as pool:
        kept = [pair for each in pool.map(work, range(threads)) for pair in each]
    assert len({key for key, _ in kept}) == threads * rounds
    assert {key.connector_name for key, _ in kept} == {'memory', 'files', 'views'}
    for key, data in kept:
        assert connector.get(key) == data
    stats = connector.stats()
    assert sum(each['put']['objects'] for each in stats.values() if 'put' in each) >= threads * rounds
    connector.close()


def test_8_threads_use_one_connector_of_each_kind(connector: Any, kind: str) -> None:
    data = objects(kind)

    def work(_: int) -> list[Any]:
        return [key for _ in range(50) for key in use(connector, connector.put_batch(data), data)]

    with ThreadPoolExecutor(8) as pool:
        keys = [key for part in pool.map(work, range(8)) for key in part]
    assert len(keys) == len(set(keys)) == 8 * 50 * len(data)


def test_threads_go_on_while_others_fork(connector: Any, kind: str) -> None:
    """A child gets no lock that a thread of its parent held at that moment."""
    data = objects(kind)
    stop = threading.Event()

    def work() -> int:
        done = 0
        while not stop.is_set():
            use(connector, connector.put_batch(data), data)
            done += 1
        return done

    with ThreadPoolExecutor(3) as pool:
        busy = [pool.submit(work) for _ in range(3)]
        try:
            for _ in range(30):
                made = in_fork(put_and_get, connector, data)
                assert len(set(made)) == len(made) == 20 * len(data)
        finally:
            stop.set()
        assert all(each.result(GENEROUS) > 0 for each in busy)


def test_a_child_forked_while_threads_miss_objects_still_puts(connector: Any, kind: str) -> None:
    """A miss may open the directory anew; a fork copies the descriptors first, the memory with their numbers later."""
    data = objects(kind)
    missing = connector.put_batch(data)
    for key in missing:
        connector.evict(key)
    stop = threading.Event()

    def miss() -> int:
        done = 0
        while not stop.is_set():
            assert connector.get_batch(missing) == [None] * len(missing)
            done += 1
        return done

    with ThreadPoolExecutor(3) as pool:
        busy = [pool.submit(miss) for _ in range(3)]
        try:
            for _ in range(100):
                in_fork(put_and_get, connector, data)
        finally:
            stop.set()
        assert all(each.result(GENEROUS) > 0 for each in busy)


def put_and_get(connector: Any, data: list[bytes]) -> list[Any]:
    keys = [key for _ in range(20) for key in connector.put_batch(data)]
    assert connector.get_batch(keys) == data * 20
    return keys

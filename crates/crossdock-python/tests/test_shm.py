"""SharedMemoryConnector: whose memory it is, views that stay, and what is left of processes that were killed."""

from __future__ import annotations

import os
import pathlib
import pickle
import signal
import stat
from collections.abc import Iterator
from typing import Any

import pytest

from crossdock import load
from crossdock.connectors.multi import MultiConnector, Policy
from crossdock.connectors.shm import SharedMemoryConnector, SharedMemoryKey
from crossdock.exceptions import ClosedError, FullError, InvalidKeyError, TooLargeError, UnavailableError
from helpers import elsewhere, in_fork, in_memory

LARGE = bytes(range(256)) * 4_000


@pytest.fixture()
def connector() -> Iterator[SharedMemoryConnector]:
    with SharedMemoryConnector(in_memory(), clear=True) as built:
        yield built


def files(connector: SharedMemoryConnector) -> list[pathlib.Path]:
    return [path for path in pathlib.Path(str(connector.dir)).rglob('*') if path.is_file()]


def test_keys_are_named_tuples(connector: SharedMemoryConnector) -> None:
    key = connector.put(LARGE)
    assert type(key) is SharedMemoryKey and key.size == len(LARGE) and key.checksum is None
    with SharedMemoryConnector(connector.dir, integrity='checksum') as checked:
        assert len(str(checked.put(b'object').checksum)) == 16
    assert connector.get(tuple(key)) == LARGE
    assert pickle.loads(pickle.dumps(key)) == key


def test_the_config_says_what_is_not_as_by_default(connector: SharedMemoryConnector) -> None:
    assert connector.config() == {'dir': connector.dir}
    assert repr(connector) == f'SharedMemoryConnector(dir={connector.dir!r})'
    default = SharedMemoryConnector.from_config({})
    assert default.dir is None and default.config() == {} and repr(default) == 'SharedMemoryConnector(dir=None)'
    options = {'integrity': 'checksum', 'max_total_bytes': 10, 'recycle_bytes': 0, 'zero_copy': True}
    assert SharedMemoryConnector(connector.dir, **options).config() == {'dir': connector.dir, **options}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ('options', 'error'),
    [
        ({'dir': 3}, TypeError),
        ({'dir': 'a\0b'}, ValueError),
        ({'max_total_bytes': -1}, ValueError),
        ({'recycle_bytes': -1}, ValueError),
        ({'integrity': 'both'}, ValueError),
        ({'zero': 1}, TypeError),
    ],
)
def test_wrong_options_are_refused(options: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        SharedMemoryConnector(**options)


def test_a_view_is_read_only_and_stays_after_its_object(connector: SharedMemoryConnector) -> None:
    for round in range(5):
        data = LARGE[round:]
        key = connector.put(data)
        view = connector.get(key, zero_copy=True)
        assert view is not None and view.readonly
        connector.evict(key)
        other = connector.put(bytes(len(data)))
        assert view == data and connector.get(key) is None
        view.release()
        connector.evict(other)


def put_and_die(connector: SharedMemoryConnector, pipe: int) -> None:
    keys = [connector.put(LARGE), connector.put(LARGE)]
    connector.evict(keys[1])
    os.write(pipe, pickle.dumps(keys[0]))
    signal.pause()


def test_what_a_killed_producer_put_stays_and_what_it_kept_goes(connector: SharedMemoryConnector) -> None:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        put_and_die(connector, writer)
    key = pickle.loads(os.read(reader, 1_000))
    view = connector.get(key, zero_copy=True)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert view == LARGE
    assert len(files(connector)) == 4, 'the object, what the child kept, and its own file'
    SharedMemoryConnector.from_config(connector.config())
    assert len(files(connector)) == 1
    assert connector.get(key) == LARGE
    os.close(reader)
    os.close(writer)


def test_files_are_private(connector: SharedMemoryConnector) -> None:
    connector.put(LARGE)
    assert {stat.S_IMODE(path.stat().st_mode) for path in files(connector)} == {0o600}
    os.chmod(str(connector.dir), 0o777)
    with pytest.raises(UnavailableError, match='chmod'):
        SharedMemoryConnector(connector.dir)
    os.chmod(str(connector.dir), 0o700)


def test_a_bound_is_kept(connector: SharedMemoryConnector) -> None:
    bounded = SharedMemoryConnector(connector.dir, max_total_bytes=1_500_000)
    key = bounded.put(LARGE)
    with pytest.raises(FullError):
        bounded.put(LARGE)
    with pytest.raises(TooLargeError):
        bounded.put(LARGE * 2)
    bounded.evict(key)
    bounded.put(LARGE)


def test_keys_of_other_places_are_refused(connector: SharedMemoryConnector) -> None:
    key = connector.put(b'object')
    other = 'f' if key.object_id[0] != 'f' else '0'
    with pytest.raises(InvalidKeyError, match='another host'):
        connector.get(SharedMemoryKey(other + key.object_id[1:]))
    with pytest.raises(InvalidKeyError):
        connector.get(SharedMemoryKey('../object'))


def test_closing_leaves_objects_unless_asked(connector: SharedMemoryConnector) -> None:
    other = SharedMemoryConnector(connector.dir)
    key = other.put(LARGE)
    other.close()
    with pytest.raises(ClosedError):
        other.get(key)
    assert connector.get(key) == LARGE
    in_fork(connector.close)
    assert connector.get(key) == LARGE, 'a child was not asked to clear'


def read(path: pathlib.Path, keys: list[Any]) -> list[bytes | None]:
    return [load(path).get(key) for key in keys]


def test_behind_a_multi_connector_and_in_a_text_config(
    connector: SharedMemoryConnector, tmp_path: pathlib.Path
) -> None:
    multi = MultiConnector({'fast': (connector, Policy(priority=1, max_size_bytes=2_000_000))})
    keys = multi.put_batch([b'object', LARGE])
    config = tmp_path / 'crossdock.toml'
    config.write_text(f'[connectors.fast]\ntype = "shm"\ndir = "{connector.dir}"\n')
    assert elsewhere(read, config, keys) == [b'object', LARGE]
    assert multi.get_batch(keys) == [b'object', LARGE]
    (slot,) = multi.config().values()
    assert slot[0] == 'crossdock.connectors.shm.SharedMemoryConnector'

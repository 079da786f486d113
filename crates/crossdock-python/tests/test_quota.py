"""Bounds on memory and on a directory: who is refused, where it goes instead, what gives room back."""

from __future__ import annotations

import os
import pathlib
import pickle
import time
from typing import Any

import pytest
from proxystore.connectors.file import FileConnector as UpstreamFileConnector
from proxystore.store import Store

import crossdock
from crossdock import exceptions
from crossdock.connectors.file import FileConnector
from crossdock.connectors.local import LocalConnector
from crossdock.connectors.multi import MultiConnector, Policy
from helpers import GENEROUS, METHODS, in_fork, in_process

COUNT = '.crossdock-usage'


@pytest.fixture(params=['memory', 'files'])
def bounded(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Any:
    """A connector that holds 100 bytes, and lets objects be replaced."""
    if request.param == 'memory':
        return LocalConnector(max_total_bytes=100, write_once=False)
    return FileConnector(tmp_path / 'objects', max_total_bytes=100, write_once=False)


def refused(connector: Any, size: int) -> bool:
    try:
        connector.evict(connector.put(bytes(size)))
    except exceptions.FullError:
        return True
    return False


def test_what_is_over_the_bound_is_an_os_error(bounded: Any) -> None:
    key = bounded.put(bytes(60))
    with pytest.raises(exceptions.FullError, match='60 of max_total_bytes = 100') as raised:
        bounded.put(bytes(41))
    assert isinstance(raised.value, OSError) and not raised.value.retryable
    with pytest.raises(exceptions.TooLargeError):
        bounded.put(bytes(101))
    bounded.put(bytes(40))
    assert refused(bounded, 1)
    bounded.evict(key)
    bounded.evict(key)
    assert refused(bounded, 61) and not refused(bounded, 60)


def test_what_replaces_an_object_counts_in_its_place(bounded: Any) -> None:
    key = bounded.put(bytes(80))
    other = bounded.put(bytes(20))
    with pytest.raises(exceptions.FullError):
        bounded.set(key, bytes(81))
    assert bounded.get(key) == bytes(80)
    bounded.set(key, bytes(30))
    bounded.evict(other)
    assert refused(bounded, 71) and not refused(bounded, 70)
    bounded.set(key, bytes(100))
    assert refused(bounded, 1)


def test_what_goes_over_the_bound_goes_to_the_next_connector(bounded: Any) -> None:
    policy = Policy(priority=1, fallback=True)
    multi = MultiConnector({'bounded': (bounded, policy), 'rest': (LocalConnector(), Policy())})
    strict = MultiConnector({'bounded': (bounded, Policy(priority=1)), 'rest': (LocalConnector(), Policy())})
    key = multi.put(bytes(60))
    assert key.connector_name == 'bounded'
    for size, kind in ((41, exceptions.FullError), (101, exceptions.TooLargeError)):
        assert multi.put(bytes(size)).connector_name == 'rest'
        with pytest.raises(kind) as raised:
            strict.put(bytes(size))
        assert raised.value.connector == 'bounded'
    # A batch as a whole, and nothing of it stays behind.
    batch = [bytes(30), bytes([1] * 30)]
    keys = multi.put_batch(batch)
    assert [each.connector_name for each in keys] == ['rest', 'rest']
    assert multi.get_batch(keys) == batch
    with pytest.raises(exceptions.FullError):
        strict.put_batch(batch)
    assert not refused(bounded, 40) and refused(bounded, 41)
    multi.evict(key)
    assert [each.connector_name for each in multi.put_batch(batch)] == ['bounded', 'bounded']
    assert multi.stats()['bounded']['put_batch']['errors'] == 1


def test_a_store_of_objects_that_refuses_one_keeps_its_room() -> None:
    class Fussy(dict[Any, Any]):
        def __setitem__(self, key: Any, value: Any) -> None:
            if value == b'refused':
                raise RuntimeError('not this one')
            super().__setitem__(key, value)

    connector = LocalConnector(Fussy(), max_total_bytes=10)
    for _ in range(5):
        with pytest.raises(RuntimeError, match='not this one'):
            connector.put(b'refused')
    connector.put(b'0123456789')


def test_the_bound_travels_where_it_is_set(tmp_path: pathlib.Path) -> None:
    assert 'max_total_bytes' not in FileConnector(tmp_path / 'a').config()
    connector = FileConnector(tmp_path / 'b', max_total_bytes=7)
    assert connector.config()['max_total_bytes'] == 7
    for again in (FileConnector.from_config(connector.config()), pickle.loads(pickle.dumps(connector))):
        assert again.config() == connector.config()
        with pytest.raises(exceptions.TooLargeError):
            again.put(bytes(8))
    policies = tmp_path / 'crossdock.toml'
    policies.write_text(f'[connectors.a]\ntype = "file"\ndir = "{tmp_path / "c"}"\nmax_total_bytes = "1 kB"\n')
    with crossdock.load(policies) as loaded, pytest.raises(exceptions.TooLargeError, match='max_total_bytes = 1000'):
        loaded.put(bytes(1001))


@pytest.mark.parametrize('wrong', [-1, 'much', 1.5, 2**64])
def test_a_bound_is_a_size(tmp_path: pathlib.Path, wrong: Any) -> None:
    with pytest.raises((TypeError, ValueError, OverflowError)):
        FileConnector(tmp_path / 'objects', max_total_bytes=wrong)
    assert not (tmp_path / 'objects').exists()


def evict(connector: Any, key: Any) -> None:
    connector.evict(key)


def put(connector: Any, size: int) -> Any:
    return connector.put(bytes(size))


@pytest.mark.parametrize('method', METHODS)
def test_processes_share_the_bound(tmp_path: pathlib.Path, method: str) -> None:
    connector = FileConnector(tmp_path / 'objects', max_total_bytes=100)
    key = in_process(method, put, connector, 70)
    assert refused(connector, 31)
    in_process(method, evict, connector, key)
    key = connector.put(bytes(100))
    in_fork(evict, connector, key)
    assert not refused(connector, 100)


def test_objects_of_proxystore_count_and_its_connector_is_not_disturbed(tmp_path: pathlib.Path) -> None:
    directory = tmp_path / 'objects'
    ours, theirs = FileConnector(directory, max_total_bytes=100), UpstreamFileConnector(str(directory))
    own = ours.put(bytes(10))
    key = theirs.put(bytes(90))
    deadline = time.monotonic() + GENEROUS
    while not refused(ours, 1):
        assert time.monotonic() < deadline, 'their object is never seen'
    # What they remove is seen at once, as a put would be refused without it.
    for _ in range(50):
        theirs.evict(key)
        key = ours.put(bytes(90))
        assert refused(ours, 1)
    theirs.evict(key)
    assert theirs.get(own) == bytes(10) and sorted(os.listdir(directory)) == sorted(
        [COUNT, own.filename, f'{own.filename}.ready'],
    )
    theirs.close(clear=True)
    assert not directory.exists()
    ours.put(bytes(100))
    ours.close()
    assert not directory.exists()


def test_a_store_over_bounded_files_closes_without_a_trace(tmp_path: pathlib.Path) -> None:
    connector = FileConnector(tmp_path / 'objects', max_total_bytes=1_000)
    with Store('bounded-files', connector) as store:
        proxy = store.proxy([1, 2, 3])
        assert proxy == [1, 2, 3]
        with pytest.raises(exceptions.TooLargeError):
            store.proxy(bytes(1_001))
    assert os.listdir(tmp_path) == []

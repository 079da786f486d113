"""ObjectStoreConnector against a real S3 server: what it takes, what it stores, what it says, also while the server fails."""

from __future__ import annotations

import json
import os
import pathlib
import pickle
import subprocess
import sys
import textwrap
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from crossdock.connectors.file import FileKey
from crossdock.connectors.local import LocalConnector
from crossdock.connectors.multi import MultiConnector, MultiKey, Policy
from crossdock.connectors.object_store import ObjectStoreConnector, ObjectStoreKey
from crossdock.exceptions import (
    AlreadyExistsError,
    AmbiguousError,
    ClosedError,
    CorruptError,
    CrossdockError,
    InvalidConfigError,
    InvalidKeyError,
    TimeoutError,
    UnavailableError,
)
from helpers import GENEROUS
from servers import Servers, bucket, in_bucket, shared_store

OBJECT = bytes(range(256)) * 4
# In parts.
LARGE = os.urandom(30_000_000)
# What a call may take here, in seconds, and what it is given on a machine that is busy with other things.
DEADLINE, BUSY = 0.5, 30.0


@pytest.fixture()
def connector() -> Iterator[ObjectStoreConnector]:
    with ObjectStoreConnector(**bucket(clear=True)) as built:
        yield built


def files_of(connector: ObjectStoreConnector) -> list[pathlib.Path]:
    """What the server has below the prefix."""
    prefix = connector.url.removeprefix('s3://objects/')
    directory = pathlib.Path(shared_store()['buckets']['objects']) / prefix
    return sorted(path for path in directory.rglob('*') if path.is_file())


def test_an_object_is_its_bytes_under_its_id(connector: ObjectStoreConnector) -> None:
    key = connector.put(OBJECT)
    assert key == ObjectStoreKey(key.object_key, len(OBJECT), key.checksum)
    assert uuid.UUID(key.object_key).version == 4
    [stored] = files_of(connector)
    assert (stored.name, stored.read_bytes()) == (key.object_key, OBJECT)
    for same in (json.loads(json.dumps(key)), (key.object_key,), pickle.loads(pickle.dumps(key))):
        assert connector.get(same) == OBJECT and connector.exists(same)


def test_large_objects_go_and_come_in_parts(connector: ObjectStoreConnector) -> None:
    key = connector.put(LARGE)
    assert connector.get(key) == LARGE
    assert connector.get(key._replace(size=None, checksum=None)) == LARGE
    view = connector.get(key, zero_copy=True)
    assert type(view) is memoryview and view == LARGE
    keys = connector.put_batch([LARGE, OBJECT, LARGE])
    assert connector.get_batch(keys) == [LARGE, OBJECT, LARGE]
    assert connector.gc(min_age=0) == {'removed': 0, 'bytes': 0, 'kept': 0}


@pytest.mark.parametrize(
    'key',
    [
        ObjectStoreKey('../x'),
        ObjectStoreKey(''),
        ObjectStoreKey('a/b'),
        FileKey('95a1ac5f-0b5b-4a5d-8b0e-3f3b8e1f0a11'),
        (),
        'key',
        7,
    ],
    ids=repr,
)
def test_what_is_no_key_is_refused(connector: ObjectStoreConnector, key: Any) -> None:
    for call in (connector.get, connector.exists, connector.evict, lambda key: connector.get_batch([key])):
        with pytest.raises(InvalidKeyError):
            call(key)
    with pytest.raises(InvalidKeyError):
        connector.set(key, b'object')


def test_other_bytes_than_the_keys_are_corrupt(connector: ObjectStoreConnector) -> None:
    key = connector.put(OBJECT)
    for wrong in (OBJECT[:-1], OBJECT + b'x', bytes(reversed(OBJECT))):
        files_of(connector)[0].write_bytes(wrong)
        for call in (connector.get, lambda key: connector.get_batch([key])):
            with pytest.raises(CorruptError):
                call(key)


def test_objects_are_written_once_unless_told_otherwise(connector: ObjectStoreConnector) -> None:
    key = connector.new_key()
    assert connector.get(key) is None and not connector.exists(key)
    connector.set(key, OBJECT)
    connector.set(key, OBJECT)
    with pytest.raises(AlreadyExistsError):
        connector.set(key, b'other')
    with ObjectStoreConnector(**bucket(write_once=False, clear=True)) as loose:
        key = loose.put(OBJECT)
        assert key == ObjectStoreKey(key.object_key)
        loose.set(key, b'other')
        assert loose.get(key) == b'other'


def test_only_who_built_it_by_hand_clears_and_only_below_the_prefix() -> None:
    given = bucket(clear=True)
    connector = ObjectStoreConnector(**given)
    beside = ObjectStoreConnector(given['url'] + '-beside', options=given['options'])
    kept, key = beside.put(OBJECT), connector.put(OBJECT)
    for other in (
        pickle.loads(pickle.dumps(connector)),
        ObjectStoreConnector.from_config({**connector.config(), 'clear': True}),
    ):
        assert other.clear is False and 'clear' not in other.config()
        other.close()
        assert connector.exists(key)
    connector.close()
    connector.close()
    with pytest.raises(ClosedError):
        connector.get(key)
    assert ObjectStoreConnector(**bucket() | {'url': given['url']}).get(key) is None
    assert beside.get(kept) == OBJECT
    beside.close(clear=True)


def test_a_checkup_tells_of_the_store(connector: ObjectStoreConnector) -> None:
    found = connector.check()
    assert found.durability == 'backend' and found.server is not None and connector.url in found.server
    assert all(0 < seconds < 100 for seconds in (found.put, found.get, found.evict))
    assert any('without TLS' in warning for warning in found.warnings)
    assert connector.get(connector.put(OBJECT, durability='backend')) == OBJECT


def test_a_config_says_what_differs_from_the_defaults() -> None:
    plain = ObjectStoreConnector('s3://runs/today').config()
    assert plain == {'url': 's3://runs/today'}
    given: dict[str, Any] = {
        'url': 's3://runs/today',
        'options': {'region': 'somewhere', 'access_key_id': 'me', 'secret_access_key': '${env:HOME}'},
        'integrity': 'size',
        'write_once': False,
        'conditional_put': False,
        'multipart_threshold': 20_000_000,
        'part_size': 6_000_000,
        'concurrency': 3,
        'deadline': 2.5,
        'retries': 0,
        'zero_copy': True,
    }
    built = ObjectStoreConnector(**given)
    assert built.config() == given
    for again in (
        ObjectStoreConnector(**built.config()),
        ObjectStoreConnector.from_config(json.loads(json.dumps(given))),
        pickle.loads(pickle.dumps(built)),
    ):
        assert type(again) is ObjectStoreConnector and again.config() == given and again.url == given['url']
    assert MultiConnector({'bulk': (built, Policy())}).config()['bulk'][:2] == (
        'crossdock.connectors.object_store.ObjectStoreConnector',
        given,
    )


@pytest.mark.parametrize(
    ('given', 'says'),
    [
        ({'url': ''}, 'url: the URL is missing'),
        ({'url': 'bucket'}, 'no URL of an object store'),
        ({'url': 's3://b', 'options': {'regoin': 'x'}}, 'options.regoin: unknown option'),
        ({'url': 's3://b', 'options': 'x'}, 'options: must be a table'),
        ({'url': 's3://b', 'part_size': '1 MiB'}, 'part_size: must be from'),
        ({'url': 's3://b', 'concurrency': 0}, 'concurrency: must be from 1'),
        ({'url': 's3://b', 'retries': 101}, 'retries: must be from 0'),
        ({'url': 's3://b', 'deadline': -1}, 'deadline: a duration'),
        ({'url': 's3://b', 'integrity': 'none'}, 'integrity: unknown word'),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else '',
)
def test_wrong_options_are_named(given: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidConfigError) as raised:
        ObjectStoreConnector(**given)
    assert says in str(raised.value) and str(raised.value).startswith('ObjectStoreConnector: ')


def test_options_of_types_that_no_config_has_are_type_errors() -> None:
    with pytest.raises(TypeError, match='part_size'):
        ObjectStoreConnector('s3://b', part_size=b'8')  # type: ignore[arg-type]
    with pytest.raises(InvalidConfigError, match="'ulr'"):
        ObjectStoreConnector.from_config({'url': 's3://b', 'ulr': 1})


CANARY = 's3cret-canary'


def test_secrets_are_references_and_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidConfigError, match='env:NAME') as raised:
        ObjectStoreConnector('s3://b', options={'secret_access_key': CANARY})
    assert CANARY not in repr(raised.value) + str(raised.value)
    with pytest.raises(UnavailableError, match='NO_SUCH_SECRET'):
        ObjectStoreConnector('s3://b', options={'secret_access_key': '${env:NO_SUCH_SECRET}'})
    monkeypatch.setenv('THE_SECRET', CANARY)
    given = bucket()
    given['options']['secret_access_key'] = '${env:THE_SECRET}'
    built = ObjectStoreConnector(**given)
    with pytest.raises(UnavailableError) as refused:
        built.put(OBJECT)
    multi = MultiConnector({'bulk': (built, Policy())})
    shown = [built, multi, built.config(), pickle.dumps(built), pickle.dumps(multi), refused.value, str(refused.value)]
    assert CANARY not in ''.join(map(repr, shown))


# A server that fails.


@pytest.fixture()
def server() -> Iterator[Servers]:
    with Servers('s3') as started:
        yield started


def in_time(call: Callable[[], Any]) -> CrossdockError:
    """What the call raises, within its deadline."""
    before = time.monotonic()
    with pytest.raises(CrossdockError) as raised:
        call()
    elapsed = time.monotonic() - before
    print(f'{type(raised.value).__name__} after {elapsed:.3f} s: {raised.value}')
    assert elapsed < BUSY
    return raised.value


def test_a_killed_server_is_unavailable_until_it_is_back(server: Servers) -> None:
    connector = ObjectStoreConnector(**in_bucket(server), deadline=DEADLINE)
    key, new = connector.put(OBJECT), connector.new_key()
    server('kill')
    calls: dict[str, Callable[[], Any]] = {
        'put': lambda: connector.put(OBJECT),
        'put_batch': lambda: connector.put_batch([OBJECT] * 3),
        'get': lambda: connector.get(key),
        'get_batch': lambda: connector.get_batch([key] * 3),
        'exists': lambda: connector.exists(key),
        'evict': lambda: connector.evict(key),
        'set': lambda: connector.set(new, OBJECT),
    }
    for name, call in calls.items():
        error = in_time(call)
        assert type(error) is UnavailableError and error.retryable and error.keys == [], name
        assert error.operation == name
    multi = MultiConnector(
        {'bulk': (connector, Policy(priority=1, fallback=True)), 'memory': (LocalConnector(), Policy())},
    )
    assert multi.put(OBJECT).connector_name == 'memory'
    assert {each.connector_name for each in multi.put_batch([OBJECT] * 3)} == {'memory'}
    server('restart')
    assert connector.get(key) == OBJECT
    assert connector.get(connector.put(LARGE)) == LARGE


def test_a_stopped_server_takes_no_more_than_the_deadline(server: Servers) -> None:
    connector = ObjectStoreConnector(**in_bucket(server), deadline=DEADLINE)
    key = connector.put(OBJECT)
    server('stop')
    for call in (lambda: connector.get(key), lambda: connector.get_batch([key] * 3), lambda: connector.exists(key)):
        assert type(in_time(call)) is TimeoutError
    multi = MultiConnector({'bulk': (connector, Policy())})
    for unknown in (lambda: connector.put(OBJECT), lambda: multi.put(OBJECT)):
        error = in_time(unknown)
        assert type(error) is AmbiguousError
        [named] = error.keys
        if type(named) is MultiKey:
            assert named.connector_name == 'bulk'
            named = named.connector_key
        assert type(named) is ObjectStoreKey
    server('cont')
    assert connector.get(key) == OBJECT
    connector.evict(named)
    assert connector.get(named) is None


CTRL_C = """
    import json, os, pathlib, signal, sys, threading, time
    from crossdock.connectors.object_store import ObjectStoreConnector

    signal.signal(signal.SIGINT, signal.default_int_handler)
    given, server, operation = json.loads(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    connector = ObjectStoreConnector(**given, deadline='1h')
    kept = connector.put(b'kept')
    call = {
        'put': lambda: connector.put(b'object'),
        'put in parts': lambda: connector.put(bytes(30_000_000)),
        'put_batch': lambda: connector.put_batch([b'object'] * 100),
        'get': lambda: connector.get(kept),
        'get_batch': lambda: connector.get_batch([kept] * 10),
        'exists': lambda: connector.exists(kept),
        'evict': lambda: connector.evict(kept),
    }[operation]
    sent = []

    def interrupt():
        time.sleep(0.3)
        sent.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    def is_running(task):
        return (task / 'stat').read_text().rpartition(')')[2].split()[0] != 'T'

    os.kill(server, signal.SIGSTOP)
    while any(map(is_running, pathlib.Path(f'/proc/{server}/task').iterdir())):
        pass
    threading.Thread(target=interrupt, daemon=True).start()
    try:
        call()
    except KeyboardInterrupt:
        print('interrupted', time.monotonic() - sent[0])
    os.kill(server, signal.SIGCONT)
    assert connector.get(kept) in ([None] if operation == 'evict' else []) + [b'kept']
    again = connector.put_batch([b'a', b'b'])
    assert connector.get_batch(again) == [b'a', b'b']
    print('works')
"""


@pytest.mark.parametrize('operation', ['put', 'put in parts', 'put_batch', 'get', 'get_batch', 'exists', 'evict'])
def test_ctrl_c_ends_a_call_to_a_stopped_server(server: Servers, operation: str) -> None:
    command = [
        sys.executable,
        '-c',
        textwrap.dedent(CTRL_C),
        json.dumps(in_bucket(server)),
        str(server['pid']),
        operation,
    ]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=GENEROUS)
    assert run.returncode == 0, run.stderr
    word, seconds, works = run.stdout.split()
    assert (word, works) == ('interrupted', 'works')
    print(f'{operation}: {float(seconds) * 1000:.0f} ms')

"""What goes wrong is raised as the type that one expects, with a sentence that helps and no secret in it."""

from __future__ import annotations

import builtins
import copy
import json
import os
import pathlib
import pickle
import subprocess
import sys
import uuid
from typing import Any, NamedTuple

import proxystore.connectors.local as upstream_local
import pytest

import servers
from crossdock import exceptions
from crossdock.connectors.file import FileConnector, FileKey
from crossdock.connectors.local import LocalConnector, LocalKey
from crossdock.connectors.multi import MultiConnector, MultiKey, Policy
from crossdock.connectors.object_store import ObjectStoreConnector
from crossdock.connectors.redis import RedisConnector
from crossdock.connectors.shm import SharedMemoryConnector
from helpers import in_memory

LOCAL = 'crossdock.connectors.local.LocalConnector'
FILE = 'crossdock.connectors.file.FileConnector'
BUILTIN: dict[str, type[BaseException]] = {
    'AlreadyExistsError': FileExistsError,
    'ClosedError': ValueError,
    'FullError': OSError,
    'InterruptedError': builtins.InterruptedError,
    'InvalidConfigError': ValueError,
    'InvalidKeyError': ValueError,
    'TimeoutError': builtins.TimeoutError,
    'TooLargeError': ValueError,
    'UnavailableError': ConnectionError,
    'UnsupportedError': NotImplementedError,
}
MULTI = {'NoRouteError', 'UnknownConnectorError', 'DormantError'}
CLASSES = {name: getattr(exceptions, name) for name in exceptions.__all__}


def build(kind: str, directory: pathlib.Path) -> Any:
    if kind == 'local':
        return LocalConnector()
    if kind == 'redis':
        return RedisConnector(**servers.options(clear=True))
    if kind == 'shm':
        return SharedMemoryConnector(in_memory(), clear=True)
    if kind == 's3':
        return ObjectStoreConnector(**servers.bucket(clear=True))
    files = FileConnector(directory / 'objects')
    return files if kind == 'file' else MultiConnector({'only': (files, Policy())})


@pytest.fixture(params=['local', 'file', 'shm', 'redis', 's3', 'multi'])
def connector(request: pytest.FixtureRequest, tmp_path: pathlib.Path):
    with build(request.param, tmp_path) as built:
        yield built


def calls(connector: Any, key: Any) -> dict[str, Any]:
    return {
        'put': lambda: connector.put(b'x'),
        'put_batch': lambda: connector.put_batch([b'x']),
        'get': lambda: connector.get(key),
        'get_batch': lambda: connector.get_batch([key]),
        'exists': lambda: connector.exists(key),
        'evict': lambda: connector.evict(key),
        'new_key': lambda: connector.new_key(),
        'set': lambda: connector.set(key, b'x'),
    }


def with_key(connector: Any, key: Any) -> dict[str, Any]:
    return {name: call for name, call in calls(connector, key).items() if name not in ('put', 'put_batch', 'new_key')}


@pytest.mark.parametrize('name', CLASSES)
def test_each_class_is_also_the_class_that_python_has(name: str) -> None:
    cls = CLASSES[name]
    assert issubclass(cls, exceptions.CrossdockError) and issubclass(cls, Exception)
    assert issubclass(cls, BUILTIN.get(name, Exception))
    assert issubclass(cls, exceptions.MultiConnectorError) == (name in MULTI or name == 'MultiConnectorError')
    assert cls.__doc__


def test_every_kind_has_one_class() -> None:
    kinds = [cls.kind for name, cls in CLASSES.items() if name not in ('CrossdockError', 'MultiConnectorError')]
    assert len(set(kinds)) == len(kinds)
    from crossdock.connectors.multi import MultiConnectorError

    assert MultiConnectorError is exceptions.MultiConnectorError


@pytest.mark.parametrize('name', CLASSES)
def test_exceptions_survive_pickle_and_copy(name: str) -> None:
    error = CLASSES[name](
        'why',
        connector='a/b',
        operation='put',
        retryable=True,
        keys=[MultiKey('a', FileKey('name'))],
    )
    error.add_note('noted')
    twins = [pickle.loads(pickle.dumps(error, protocol)) for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1)]
    for twin in [*twins, copy.copy(error), copy.deepcopy(error)]:
        assert type(twin) is type(error) and str(twin) == 'why' and twin.args == error.args
        assert (twin.kind, twin.connector, twin.operation, twin.retryable, twin.keys) == (
            error.kind,
            'a/b',
            'put',
            True,
            [MultiKey('a', FileKey('name'))],
        )
        assert twin.__notes__ == ['noted']


def test_an_exception_that_was_raised_survives_too(tmp_path: pathlib.Path) -> None:
    connector = MultiConnector({'outer': (build('multi', tmp_path), Policy())})
    with pytest.raises(exceptions.InvalidKeyError) as raised:
        connector.get(MultiKey('outer', MultiKey('only', FileKey('../x'))))
    error = raised.value
    assert (error.kind, error.connector, error.operation, error.retryable, error.keys) == (
        'invalid_key',
        'outer/only',
        'get',
        False,
        [],
    )
    twin = pickle.loads(pickle.dumps(error))
    assert str(twin) == str(error) and vars(twin) == vars(error)


def test_a_closed_connector_says_so(connector: Any) -> None:
    key = connector.put(b'object')
    connector.close()
    connector.close()
    for name, call in calls(connector, key).items():
        with pytest.raises(exceptions.ClosedError, match='closed') as raised:
            call()
        assert raised.value.operation == name and isinstance(raised.value, ValueError), name
    assert type(repr(connector)) is str
    connector.config()


def test_even_an_empty_batch_is_refused_by_a_closed_connector(connector: Any) -> None:
    connector.close()
    for call in (lambda: connector.put_batch([]), lambda: connector.get_batch([])):
        with pytest.raises(exceptions.ClosedError):
            call()


def test_a_closed_child_is_named() -> None:
    child = LocalConnector()
    connector = MultiConnector({'memory': (child, Policy())})
    child.close()
    with pytest.raises(exceptions.ClosedError) as raised:
        connector.put(b'x')
    assert raised.value.connector == 'memory'


class OtherKey(NamedTuple):
    other: str


STRANGE = [None, 7, 'text', b'bytes', (), (1, 2, 3, 4), [None], {'a': 1}, OtherKey('x'), object()]


@pytest.mark.parametrize('key', STRANGE, ids=lambda key: type(key).__name__)
def test_keys_of_nobody_are_refused(connector: Any, key: Any) -> None:
    for name, call in with_key(connector, key).items():
        with pytest.raises(exceptions.InvalidKeyError, match='key') as raised:
            call()
        assert raised.value.operation == name


def test_keys_of_other_connectors_are_refused(tmp_path: pathlib.Path) -> None:
    built = {kind: build(kind, tmp_path) for kind in ('local', 'file', 'multi')}
    keys = {kind: connector.put(b'object') for kind, connector in built.items()}
    for kind, connector in built.items():
        for other in set(built) - {kind}:
            for call in with_key(connector, keys[other]).values():
                with pytest.raises(exceptions.InvalidKeyError, match=type(keys[kind]).__name__):
                    call()


def test_a_local_key_of_another_process_is_refused() -> None:
    code = 'from crossdock.connectors.local import LocalConnector; print(LocalConnector().put(b"x").id)'
    run = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True, timeout=60)
    connector = LocalConnector()
    for key in (LocalKey(run.stdout.strip()), upstream_local.LocalKey(run.stdout.strip()), [run.stdout.strip()]):
        for call in with_key(connector, key).values():
            with pytest.raises(exceptions.InvalidKeyError, match='process'):
                call()
    assert connector.get(upstream_local.LocalKey(str(uuid.uuid4()))) is None, 'whose it is cannot be seen'


HOSTILE = [
    '../victim',
    '/etc/passwd',
    '..',
    '.',
    '',
    'a/b',
    'x\0y',
    '../objects/victim',
    'victim.ready',
    'ä' * 300,
    str(uuid.UUID(int=0)) + '/..',
    '\udcff',
    '%2e%2e/victim',
]


@pytest.mark.parametrize('name', HOSTILE, ids=ascii)
def test_hostile_file_names_touch_nothing(name: str, tmp_path: pathlib.Path) -> None:
    connector = FileConnector(tmp_path / 'objects')
    outside = [tmp_path / 'victim', tmp_path / 'victim.ready', tmp_path / 'objects' / 'victim']
    for path in outside:
        path.write_bytes(b'keep')
    for shape in (FileKey(name), [name], (name, 1, None)):
        for call in with_key(connector, shape).values():
            with pytest.raises(exceptions.InvalidKeyError):
                call()
    assert [path.read_bytes() for path in outside] == [b'keep'] * 3
    assert sorted(os.listdir(tmp_path)) == ['objects', 'victim', 'victim.ready']
    assert os.listdir(tmp_path / 'objects') == ['victim']


@pytest.mark.parametrize('name', ['victim', '~', 'x*', '-rf'])
def test_other_names_stay_inside_the_directory(name: str, tmp_path: pathlib.Path) -> None:
    connector = FileConnector(tmp_path / 'objects')
    (tmp_path / name).write_bytes(b'keep')
    (tmp_path / f'{name}.ready').write_bytes(b'')
    for call in with_key(connector, FileKey(name)).values():
        try:
            call()
        except exceptions.InvalidKeyError:
            continue
    assert sorted(os.listdir(tmp_path)) == sorted(['objects', name, f'{name}.ready'])
    assert (tmp_path / name).read_bytes() == b'keep'


def test_a_file_that_is_no_object_is_not_evicted(tmp_path: pathlib.Path) -> None:
    connector = FileConnector(tmp_path)
    (tmp_path / 'notes').write_bytes(b'keep')
    try:
        assert connector.get(FileKey('notes')) is None
        connector.evict(FileKey('notes'))
    except exceptions.InvalidKeyError:
        pass
    assert (tmp_path / 'notes').read_bytes() == b'keep'


def test_a_corrupted_file_is_noticed(tmp_path: pathlib.Path) -> None:
    connector = MultiConnector({'files': (FileConnector(tmp_path / 'objects'), Policy())})
    data = bytes(range(256)) * 1000
    key = connector.put(data)
    path = tmp_path / 'objects' / key.connector_key.filename
    path.chmod(0o600)
    path.write_bytes(data[:-1] + b'!')
    for call in (lambda: connector.get(key), lambda: connector.get_batch([key])):
        with pytest.raises(exceptions.CorruptError, match='checksum') as raised:
            call()
        assert raised.value.connector == 'files' and not raised.value.retryable
    path.write_bytes(data[:-1])
    for options in ({}, {'zero_copy': True}):
        with pytest.raises(exceptions.CorruptError, match='size|bytes'):
            connector.get(key, **options)


def test_objects_are_written_once(connector: Any) -> None:
    key = connector.new_key()
    connector.set(key, b'object')
    connector.set(key, b'object')
    with pytest.raises(FileExistsError) as raised:
        connector.set(key, b'another')
    assert isinstance(raised.value, exceptions.AlreadyExistsError) and connector.get(key) == b'object'


def test_the_quota_of_memory_is_an_os_error() -> None:
    connector = LocalConnector(max_total_bytes=10)
    connector.put(b'123456')
    with pytest.raises(exceptions.FullError, match='10') as raised:
        connector.put(b'12345')
    assert isinstance(raised.value, OSError)
    with pytest.raises(exceptions.TooLargeError):
        connector.put(b'x' * 11)


def test_no_route_says_what_was_asked_and_why_not() -> None:
    connector = MultiConnector({'tiny': (LocalConnector(), Policy(max_size_bytes=3, superset_tags=['need']))})
    for call in (lambda: connector.put(b'12345', ['here']), lambda: connector.put_batch([b'12345'], ['here'])):
        with pytest.raises(exceptions.NoRouteError) as raised:
            call()
        for word in ('policy', 'constraints', '5 bytes', 'tiny', 'here', 'need', 'maximum is 3'):
            assert word in str(raised.value), word
        assert raised.value.kind == 'no_route' and raised.value.connector is None
    with pytest.raises(exceptions.NoRouteError, match='no connectors'):
        MultiConnector({}).put(b'x')


def test_a_batch_without_a_route_writes_nothing_and_names_the_object() -> None:
    store: dict[Any, Any] = {}
    connector = MultiConnector({'tiny': (LocalConnector(store), Policy(max_size_bytes=3))})
    with pytest.raises(exceptions.NoRouteError, match='object 1 of 3'):
        connector.put_batch([b'1', b'12345', b'2'])
    assert store == {}


def test_unknown_and_dormant_connectors_are_told_apart() -> None:
    connector = MultiConnector.from_config(
        {'here': (LOCAL, {}, {}), 'there': (LOCAL, {}, {'host_pattern': 'no-such-host'})},
    )
    for name, error, text in (
        ('nowhere', exceptions.UnknownConnectorError, 'does not exist'),
        ('there', exceptions.DormantError, 'dormant'),
    ):
        for call in with_key(connector, MultiKey(name, LocalKey('x'))).values():
            with pytest.raises(error, match=text) as raised:
                call()
            assert name in str(raised.value) and isinstance(raised.value, exceptions.MultiConnectorError)


CONFIGS: list[tuple[Any, str]] = [
    ({'bad': (FILE, {}, {})}, 'bad.*store_dir'),
    ({'bad': (FILE, {'store_dir': 5}, {})}, 'bad.*store_dir'),
    ({'bad': (FILE, {'store_dir': 'x', 'stor_dir': 'y'}, {})}, 'bad.*stor_dir'),
    ({'bad': (FILE, {'store_dir': 'x', 'durability': 'eternal'}, {})}, 'bad.*durability.*eternal'),
    ({'bad': (LOCAL, {'size': 1}, {})}, 'bad.*size'),
    ({'bad': (LOCAL, {'store_dict': []}, {})}, 'bad.*store_dict'),
    ({'bad': (LOCAL, {}, {'priorty': 1})}, 'bad.*priorty'),
    ({'bad': (LOCAL, {}, {'priority': 'high'})}, 'bad.*priority'),
    ({'bad': (LOCAL, {}, {'min_size_bytes': 2, 'max_size_bytes': 1})}, 'bad.*min_size_bytes'),
    ({'bad': (LOCAL, {}, {'host_pattern': '('})}, r'bad.*\('),
    ({'bad': (LOCAL, {})}, 'bad.*class path'),
    ({'bad': (LOCAL, {}, [])}, 'bad.*list'),
    ({'bad': (LOCAL, None, {})}, 'bad.*NoneType'),
    ({'bad': (5, {}, {})}, 'bad.*int'),
    ({'bad': 'text'}, 'bad.*str'),
    ({'bad': None}, 'bad.*NoneType'),
]


@pytest.mark.parametrize(('config', 'text'), CONFIGS, ids=[text for _, text in CONFIGS])
def test_mistakes_in_a_config_are_named_with_their_place(config: Any, text: str) -> None:
    for make in (MultiConnector.from_config, lambda config: MultiConnector(**config)):
        with pytest.raises(exceptions.InvalidConfigError, match=text):
            make({'fine': (LOCAL, {}, {}), **config})


def test_constructors_refuse_wrong_types(tmp_path: pathlib.Path) -> None:
    for wrong, text in (
        (lambda: LocalConnector([]), 'store_dict'),
        (lambda: FileConnector(5), 'PathLike|store_dir'),
        (lambda: FileConnector(b'bytes'), 'store_dir'),
        (lambda: MultiConnector(5), 'connectors'),
        (lambda: MultiConnector([1]), 'connectors'),
        (lambda: MultiConnector({'a': LocalConnector()}), 'a.*policy'),
        (lambda: MultiConnector({'a': (LocalConnector(), 5)}), 'a.*Policy'),
        (lambda: MultiConnector({'a': (object(), Policy())}), 'a.*put'),
        (lambda: MultiConnector({5: (LocalConnector(), Policy())}), 'name'),
        (lambda: MultiConnector({}, 5), 'dormant_connectors'),
        (lambda: MultiConnector.from_config(5), 'config'),
    ):
        with pytest.raises(TypeError, match=text):
            wrong()
    for wrong, text in (
        (lambda: FileConnector(tmp_path / 'x', durability='eternal'), 'durability'),
        (lambda: FileConnector(tmp_path / 'x', integrity='none'), 'integrity'),
        (lambda: MultiConnector({'': (LocalConnector(), Policy())}), 'empty'),
        (lambda: MultiConnector({'a': (LocalConnector(), Policy())}, {'a': (LOCAL, {}, {})}), 'same name'),
    ):
        with pytest.raises(ValueError, match=text):
            wrong()


def test_tags_that_are_no_strings_are_type_errors() -> None:
    connector = MultiConnector({'only': (LocalConnector(), Policy(subset_tags=['a', 'b']))})
    for wrong in ([1], [None], [b'a'], 5):
        for name in ('subset_tags', 'superset_tags'):
            for call in (connector.put, connector.new_key, lambda obj, **tags: connector.put_batch([obj], **tags)):
                with pytest.raises(TypeError, match=name):
                    call(b'x', **{name: wrong})
    with pytest.warns(UserWarning, match='letters'):
        assert connector.put(b'x', 'ab').connector_name == 'only'
    with pytest.warns(UserWarning), pytest.raises(exceptions.NoRouteError):
        connector.put(b'x', 'abc')


def test_a_directory_that_is_a_file_is_unavailable(tmp_path: pathlib.Path) -> None:
    (tmp_path / 'plain').write_bytes(b'')
    with pytest.raises(exceptions.UnavailableError, match='plain') as raised:
        FileConnector(tmp_path / 'plain')
    assert isinstance(raised.value, ConnectionError)


SECRET = 'hunter2-secret'


def test_references_are_never_shown_resolved(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('CROSSDOCK_TEST_SECRET', SECRET)
    place = f'{tmp_path}/${{env:CROSSDOCK_TEST_SECRET}}'
    files = FileConnector(place)
    connector = MultiConnector({'files': (files, Policy())})
    key = connector.put(b'object')
    assert (tmp_path / SECRET / key.connector_key.filename).exists(), 'it is resolved for use'
    shown = [repr(files), str(files.config()), files.store_dir, repr(connector), repr(key)]
    shown.append(json.dumps(connector.config()))
    shown += [repr(pickle.dumps(each)) for each in (files, connector, key)]
    assert connector.config()['files'][1]['store_dir'] == place
    (tmp_path / SECRET / key.connector_key.filename).write_bytes(b'broken')
    errors = []
    for call in (
        lambda: connector.get(key),
        lambda: connector.get(MultiKey('files', FileKey('../x'))),
        lambda: connector.put('text'),
        lambda: connector.put(b'x', ['t']),
        lambda: FileConnector(f'{place}/\0'),
    ):
        with pytest.raises(Exception) as raised:
            call()
        errors.append(raised.value)
    twin = pickle.loads(pickle.dumps(connector))
    (tmp_path / 'blocked').write_bytes(b'')
    monkeypatch.setenv('CROSSDOCK_TEST_SECRET', f'blocked/{SECRET}')
    with pytest.raises(exceptions.UnavailableError) as raised:
        FileConnector(place)
    errors.append(raised.value)
    shown += [text for error in errors for text in (str(error), repr(error), repr(pickle.dumps(error)))]
    assert not [text for text in [*shown, repr(twin)] if SECRET in text]


def test_a_reference_to_nothing_is_named(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv('CROSSDOCK_TEST_ABSENT', raising=False)
    with pytest.raises(exceptions.CrossdockError, match='CROSSDOCK_TEST_ABSENT'):
        FileConnector(f'{tmp_path}/${{env:CROSSDOCK_TEST_ABSENT}}').put(b'x')

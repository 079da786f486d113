"""Faults of ProxyStore's connectors that ours do not have: each is shown there first, then that it is absent here.

The numbers are those of the list of faults. The tenth is about the Redis connector, which is not here.
"""

from __future__ import annotations

import builtins
import contextlib
import copy
import ctypes
import os
import pathlib
import pickle
import re
import socket
import struct
import uuid
import warnings
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest
from proxystore.connectors import file as upstream_file
from proxystore.connectors import local as upstream_local
from proxystore.connectors import multi as upstream_multi
from proxystore.proxy import ProxyResolveError, extract
from proxystore.store import Store

from crossdock.connectors import file, local, multi
from crossdock.exceptions import InvalidConfigError, InvalidKeyError, NoRouteError, UnavailableError
from helpers import Child, class_path, elsewhere, in_fork

HERE = re.escape(socket.gethostname())


def resolved(pickled: bytes) -> tuple[bool, Any]:
    """Whether the proxy resolves, and its value or the class of the error's cause."""
    try:
        return True, extract(pickle.loads(pickled))
    except ProxyResolveError as error:
        return False, class_path(error.__cause__)


# 1


def proxy_over(package: Any, files: Any, directory: pathlib.Path) -> bytes:
    connector = package.MultiConnector({'files': (files.FileConnector(str(directory)), package.Policy())})
    return pickle.dumps(Store(f'store-{uuid.uuid4()}', connector).proxy([1, 2, 3], populate_target=False))


def test_01_a_proxy_of_a_multi_connector_crosses_a_process(tmp_path: pathlib.Path) -> None:
    theirs = proxy_over(upstream_multi, upstream_file, tmp_path / 'theirs')
    assert elsewhere(resolved, theirs) == (False, 'builtins.TypeError')
    assert elsewhere(resolved, proxy_over(multi, file, tmp_path / 'ours')) == (True, [1, 2, 3])


# 2


def test_02_futures_and_clear_work_with_a_multi_connector(tmp_path: pathlib.Path) -> None:
    connector = upstream_multi.MultiConnector(
        {'files': (upstream_file.FileConnector(str(tmp_path / 'theirs'), clear=False), upstream_multi.Policy())},
    )
    theirs = Store('theirs', connector)
    with pytest.raises(NotImplementedError):
        theirs.future()
    with pytest.raises(TypeError, match='clear'):
        theirs.close(clear=True)

    files = file.FileConnector(str(tmp_path / 'ours'), clear=False)
    ours = Store('ours', multi.MultiConnector({'files': (files, multi.Policy())}))
    future: Any = ours.future(polling_interval=0.001, polling_timeout=60)
    future.set_result('result')
    assert future.result() == 'result'
    assert (tmp_path / 'ours').exists()
    ours.close(clear=True)
    assert not (tmp_path / 'ours').exists()


# 3


def tag_trap(package: Any, connector: Any) -> Any:
    """The first policy looks at the tags and refuses; the second would take an object without any."""
    return package.MultiConnector(
        {
            'first': (connector(), package.Policy(priority=1, subset_tags=['b'])),
            'second': (connector(), package.Policy()),
        },
    )


@pytest.mark.parametrize('way', ['put', 'put_batch', 'new_key'])
def test_03_a_generator_of_tags_is_read_once_for_all_policies(way: str) -> None:
    theirs = tag_trap(upstream_multi, upstream_local.LocalConnector)
    with pytest.raises(upstream_multi.MultiConnectorError):
        theirs.put(b'x', subset_tags=['a'])
    assert theirs.put(b'x', subset_tags=(tag for tag in ['a'])).connector_name == 'second', 'lands where it must not'

    ours = tag_trap(multi, local.LocalConnector)
    obj: Any = [b'x', b'y'] if way == 'put_batch' else b'x'
    with pytest.raises(multi.MultiConnectorError):
        getattr(ours, way)(obj, subset_tags=(tag for tag in ['a']))
    key = getattr(ours, way)(obj, subset_tags=(tag for tag in ['b']))
    assert {each.connector_name for each in (key if way == 'put_batch' else [key])} == {'first'}


def test_03_a_generator_of_superset_tags_is_not_used_up_either() -> None:
    def build(package: Any, connector: Any) -> Any:
        return package.MultiConnector(
            {
                'first': (connector(), package.Policy(priority=1, superset_tags=['a', 'z'])),
                'second': (connector(), package.Policy(superset_tags=['a'])),
            },
        )

    theirs = build(upstream_multi, upstream_local.LocalConnector)
    assert theirs.put(b'x', superset_tags=['a']).connector_name == 'second'
    with pytest.raises(upstream_multi.MultiConnectorError):
        theirs.put(b'x', superset_tags=iter(['a']))
    ours = build(multi, local.LocalConnector)
    assert ours.put(b'x', superset_tags=iter(['a'])).connector_name == 'second'


# 4


def tiers(package: Any, connector: Any) -> Any:
    return package.MultiConnector(
        {
            'small': (connector(), package.Policy(priority=1, max_size_bytes=1000)),
            'large': (connector(), package.Policy()),
        },
    )


def test_04_sizes_are_bytes_whatever_the_elements_of_a_buffer() -> None:
    buffer = memoryview(bytes(8000)).cast('d')
    assert (len(buffer), buffer.nbytes) == (1000, 8000)
    assert tiers(upstream_multi, upstream_local.LocalConnector).put(buffer).connector_name == 'small'

    ours = tiers(multi, local.LocalConnector)
    key = ours.put(buffer)
    assert key.connector_name == 'large'
    assert ours.get(key) == bytes(8000)
    assert ours.put(memoryview(bytes(1000)).cast('d')).connector_name == 'small'
    keys = ours.put_batch([buffer, memoryview(bytes(800)).cast('d'), bytearray(1001), memoryview(b'').cast('B')])
    assert [key.connector_name for key in keys] == ['large', 'small', 'large', 'small']
    assert ours.new_key(buffer).connector_name == 'large'
    assert ours.explain(buffer).route == 'large'
    grid = memoryview(bytes(8000)).cast('d', [10, 100])
    assert ours.put(grid).connector_name == 'large'
    assert ours.get(ours.put(grid)) == bytes(8000)


# 5


def tied(package: Any, connector: Any) -> Any:
    return package.MultiConnector(
        {
            'first': (connector(), package.Policy()),
            'second': (connector(), package.Policy(host_pattern='there|' + HERE)),
            'third': (connector(), package.Policy()),
        },
    )


@contextlib.contextmanager
def on_host(name: str) -> Iterator[None]:
    with mock.patch('proxystore.utils.hostname', lambda: name), mock.patch('crossdock.utils.hostname', lambda: name):
        yield


def through_another_host(package: Any, config: dict[str, Any]) -> dict[str, Any]:
    with on_host('nowhere'):
        return package.MultiConnector.from_config(config).config()


def test_05_a_trip_through_another_host_keeps_the_order_of_ties() -> None:
    theirs = tied(upstream_multi, upstream_local.LocalConnector)
    assert theirs.put(b'x').connector_name == 'first'
    config = through_another_host(upstream_multi, theirs.config())
    assert list(config) == ['second', 'first', 'third']
    assert upstream_multi.MultiConnector.from_config(config).put(b'x').connector_name == 'second', 'the tie has flipped'

    ours = tied(multi, local.LocalConnector)
    config = ours.config()
    for _ in range(2):
        config = through_another_host(multi, config)
        assert list(config) == ['first', 'second', 'third']
        assert config == ours.config()
    again = multi.MultiConnector.from_config(config)
    assert again.put(b'x').connector_name == 'first'
    assert again.connectors_by_priority == ['first', 'second', 'third']
    assert again.dormant_connectors == {}


def scribble(config: dict[str, Any]) -> None:
    for _, options, policy in config.values():
        options['scribbled'] = True
        policy['subset_tags'].append('scribbled')
        policy['priority'] = 99
    config.clear()


def test_05_a_config_is_the_callers_own() -> None:
    with on_host('nowhere'):
        theirs = upstream_multi.MultiConnector.from_config(tied(upstream_multi, upstream_local.LocalConnector).config())
    assert list(theirs.dormant_connectors) == ['second']
    theirs.config()
    assert sorted(theirs.dormant_connectors) == ['first', 'second', 'third'], 'asking changes the answer'
    scribble(theirs.config())
    assert theirs.dormant_connectors == {}, 'and gives the inside away'
    assert theirs.connectors['first'].policy.subset_tags != []

    config = tied(multi, local.LocalConnector).config()
    given = copy.deepcopy(config)
    with on_host('nowhere'):
        ours = multi.MultiConnector.from_config(config)
        assert config == given, 'what was given is not changed'
        assert list(ours.dormant_connectors or {}) == ['second']
        before = copy.deepcopy(ours.config())
        scribble(ours.config())
        scribble(ours.dormant_connectors or {})
        scribble(config)
        assert ours.config() == before
        assert list(ours.dormant_connectors or {}) == ['second']
        assert ours.put(b'x').connector_name == 'first'
    assert ours.connectors['first'].policy.subset_tags == []
    assert ours.connectors_by_priority == ['first', 'third']


BROKEN = {
    'no such module': ('no_such_module.Connector', {}),
    'no such class': ('proxystore.connectors.file.NoSuchConnector', {}),
    'options it does not take': ('proxystore.connectors.local.LocalConnector', {'no_such_option': 1}),
    'missing options': ('proxystore.connectors.file.FileConnector', {}),
}


@pytest.mark.parametrize('name', BROKEN)
def test_05_one_broken_connector_does_not_stop_the_others(name: str) -> None:
    path, options = BROKEN[name]
    config = {
        'broken': (path, options, upstream_multi.Policy(priority=1, superset_tags=['rare']).as_dict()),
        'sound': ('proxystore.connectors.local.LocalConnector', {}, upstream_multi.Policy().as_dict()),
    }
    with pytest.raises((ImportError, AttributeError, TypeError)):
        upstream_multi.MultiConnector.from_config(config)

    for ours in [multi.MultiConnector.from_config(config), multi.MultiConnector(**config)]:
        key = ours.put(b'x')
        assert key.connector_name == 'sound'
        assert ours.get(key) == b'x'
        assert list(ours.config()) == ['broken', 'sound']
        assert ours.config()['broken'][:2] == (path, options), 'other processes may be able to use it'
        with pytest.raises(UnavailableError, match='broken'):
            ours.put(b'x', superset_tags=['rare'])
        with pytest.raises(UnavailableError, match='broken'):
            ours.get(multi.MultiKey('broken', ('key',)))
        assert isinstance(repr(ours), str)
        ours.close()


# 6


class Recorder:
    """A connector of somebody else's that notes what it is asked."""

    def __init__(self, fails: bool = False) -> None:
        self.calls: list[tuple[str, int]] = []
        self.fails = fails
        self.inner = upstream_local.LocalConnector()

    def close(self) -> None:
        pass

    def config(self) -> dict[str, Any]:
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Recorder:
        return cls(**config)

    def evict(self, key: Any) -> None:
        self.calls.append(('evict', 1))
        self.inner.evict(key)

    def exists(self, key: Any) -> bool:
        return self.inner.exists(key)

    def get(self, key: Any) -> Any:
        self.calls.append(('get', 1))
        return self.inner.get(key)

    def get_batch(self, keys: Any) -> list[Any]:
        self.calls.append(('get_batch', len(keys)))
        return self.inner.get_batch(keys)

    def put(self, obj: Any) -> Any:
        self.calls.append(('put', 1))
        return self.inner.put(obj)

    def put_batch(self, objs: Any) -> list[Any]:
        self.calls.append(('put_batch', len(objs)))
        if self.fails:
            raise ZeroDivisionError('this one always fails')
        return self.inner.put_batch(objs)

    @property
    def stored(self) -> int:
        return len(self.inner._store)


def recorders(package: Any, *, fails: bool = False) -> tuple[Any, Recorder, Recorder]:
    small, large = Recorder(), Recorder(fails)
    connector = package.MultiConnector(
        {
            'small': (small, package.Policy(max_size_bytes=9)),
            'large': (large, package.Policy(min_size_bytes=10, max_size_bytes=99)),
        },
    )
    return connector, small, large


def test_06_a_batch_is_one_call_for_each_connector() -> None:
    objects = [bytes(n % 20) for n in range(100)]
    connector, small, large = recorders(upstream_multi)
    connector.get_batch(connector.put_batch(objects))
    assert small.calls == large.calls == [('put', 1)] * 50 + [('get', 1)] * 50

    connector, small, large = recorders(multi)
    keys = connector.put_batch(objects)
    assert [key.connector_name for key in keys] == (['small'] * 10 + ['large'] * 10) * 5
    assert connector.get_batch(keys) == objects
    assert small.calls == large.calls == [('put_batch', 50), ('get_batch', 50)]


def test_06_a_batch_without_a_route_for_all_leaves_nothing_behind(tmp_path: pathlib.Path) -> None:
    objects = [bytes(1), bytes(10), bytes(2), bytes(100)]
    connector, small, large = recorders(upstream_multi)
    with pytest.raises(upstream_multi.MultiConnectorError):
        connector.put_batch(objects)
    assert (small.stored, large.stored) == (2, 1), 'orphans, of which nobody has the key'

    connector, small, large = recorders(multi)
    with pytest.raises(multi.MultiConnectorError):
        connector.put_batch(objects)
    assert (small.stored, large.stored) == (0, 0)
    files = multi.MultiConnector({'files': (file.FileConnector(str(tmp_path)), multi.Policy(max_size_bytes=99))})
    with pytest.raises(multi.MultiConnectorError):
        files.put_batch(objects)
    assert list(tmp_path.iterdir()) == []


def test_06_a_batch_of_which_one_share_fails_leaves_nothing_behind(tmp_path: pathlib.Path) -> None:
    connector, small, large = recorders(upstream_multi, fails=True)
    large.put = large.put_batch  # type: ignore[method-assign]
    with pytest.raises(ZeroDivisionError):
        connector.put_batch([bytes(1), bytes(10)])
    assert small.stored == 1

    connector, small, large = recorders(multi, fails=True)
    with pytest.raises(ZeroDivisionError, match='this one always fails'):
        connector.put_batch([bytes(1), bytes(10), bytes(2), bytes(11)])
    assert (small.stored, large.stored) == (0, 0)

    memory: dict[Any, Any] = {}
    files = multi.MultiConnector(
        {
            'files': (file.FileConnector(str(tmp_path)), multi.Policy(max_size_bytes=9)),
            'memory': (local.LocalConnector(memory), multi.Policy(min_size_bytes=10, max_size_bytes=19)),
            'failing': (Recorder(fails=True), multi.Policy(min_size_bytes=20)),
        },
    )
    with pytest.raises(ZeroDivisionError):
        files.put_batch([bytes(1), bytes(10), bytes(20), bytes(2), bytes(11)])
    assert list(tmp_path.iterdir()) == []
    assert memory == {}


# 7


@pytest.mark.parametrize(
    ('fields', 'says'),
    [
        ({'min_size_bytes': 10, 'max_size_bytes': 9}, ['10', '9']),
        ({'min_size_bytes': -1}, ['-1']),
        ({'host_pattern': '('}, ['(']),
        ({'host_pattern': ['fine', 'x**']}, ['x**']),
        ({'host_pattern': '(?P<n>a)(?P<n>b)'}, ['(?P<n>a)(?P<n>b)']),
    ],
)
def test_07_what_no_object_or_host_can_match_is_refused_at_once(fields: dict[str, Any], says: list[str]) -> None:
    upstream_multi.Policy(**fields)

    with pytest.raises(ValueError) as raised:
        multi.Policy(**fields)
    assert all(each in str(raised.value) for each in says), str(raised.value)
    config = {'files': ('crossdock.connectors.local.LocalConnector', {}, fields)}
    with pytest.raises(InvalidConfigError, match='files'):
        multi.MultiConnector.from_config(config)


def test_07_the_error_of_a_put_names_the_size_and_every_reason() -> None:
    def build(package: Any, connector: Any) -> Any:
        return package.MultiConnector(
            {
                'tiny': (connector(), package.Policy(max_size_bytes=1234)),
                'huge': (connector(), package.Policy(min_size_bytes=98765)),
                'abroad': (connector(), package.Policy(host_pattern='no-such-host')),
                'tagged': (connector(), package.Policy(superset_tags=['needed'])),
            },
        )

    with pytest.raises(upstream_multi.MultiConnectorError) as theirs:
        build(upstream_multi, upstream_local.LocalConnector).put(bytes(5678))
    assert not any(word in str(theirs.value) for word in ['5678', 'tiny', '1234', 'no-such-host'])

    with pytest.raises(NoRouteError) as ours:
        build(multi, local.LocalConnector).put(bytes(5678))
    text = str(ours.value)
    for word in ['tiny', '1234', '5678', 'huge', '98765', 'abroad', 'no-such-host', 'tagged', 'needed']:
        assert word in text, text
    assert 'policy' in text
    assert 'constraints' in text


# 8


class Failing(Recorder):
    """Its close fails, saying its name."""

    def __init__(self, name: str = '') -> None:
        super().__init__()
        self.name = name
        self.closed = 0

    def close(self) -> None:
        self.closed += 1
        if self.name:
            raise OSError(f'{self.name} cannot be closed')


def closing(package: Any) -> tuple[Any, list[Failing]]:
    children = [Failing(), Failing('second'), Failing(), Failing('fourth'), Failing()]
    return package.MultiConnector({f'c{n}': (child, package.Policy()) for n, child in enumerate(children)}), children


def test_08_close_goes_on_after_a_child_that_fails() -> None:
    connector, children = closing(upstream_multi)
    with pytest.raises(OSError, match='second cannot be closed'):
        connector.close()
    assert [child.closed for child in children] == [1, 1, 0, 0, 0]

    connector, children = closing(multi)
    with pytest.raises(OSError, match='second cannot be closed') as raised:
        connector.close()
    assert [child.closed for child in children] == [1, 1, 1, 1, 1]
    assert any('fourth cannot be closed' in note for note in raised.value.__notes__)
    connector.close()
    assert [child.closed for child in children] == [1, 1, 1, 1, 1], 'closing is idempotent'


# 9


def test_09_a_key_reaches_nothing_outside_of_its_directory(tmp_path: pathlib.Path) -> None:
    def secret() -> pathlib.Path:
        path = tmp_path / 'secret'
        path.write_bytes(b'secret')
        (tmp_path / 'secret.ready').touch()
        return path

    path = secret()
    theirs = upstream_file.FileConnector(str(tmp_path / 'theirs'))
    assert theirs.get(upstream_file.FileKey('../secret')) == b'secret'
    theirs.evict(upstream_file.FileKey('../secret'))
    assert not path.exists()

    path = secret()
    ours = file.FileConnector(str(tmp_path / 'ours'))
    (tmp_path / 'ours' / 'link').symlink_to(tmp_path)
    many = multi.MultiConnector({'files': (ours, multi.Policy())})
    names = ['../secret', str(path), 'link/secret', './../secret', '..', '.', '', 'secret\0', '../secret\n']
    for name in names:
        for key in [file.FileKey(name), upstream_file.FileKey(name), [name], (name,)]:
            with pytest.raises(InvalidKeyError):
                ours.get(key)
            with pytest.raises(InvalidKeyError):
                ours.evict(key)
            with pytest.raises(InvalidKeyError):
                ours.exists(key)
            with pytest.raises(InvalidKeyError):
                ours.set(key, b'overwritten')
            with pytest.raises(InvalidKeyError):
                many.get(multi.MultiKey('files', key))
            with pytest.raises(InvalidKeyError):
                many.evict(upstream_multi.MultiKey('files', key))
    assert path.read_bytes() == b'secret'
    assert (tmp_path / 'secret.ready').exists()
    assert sorted(each.name for each in tmp_path.iterdir()) == ['ours', 'secret', 'secret.ready', 'theirs']


INOTIFY = {0x002: 'modify', 0x040: 'move', 0x080: 'move', 0x100: 'create', 0x200: 'delete'}


class Watch:
    """What happens in a directory, in its order: the kernel's own account (inotify)."""

    def __init__(self, directory: pathlib.Path) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self.fd = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        assert self.fd >= 0
        assert libc.inotify_add_watch(self.fd, os.fsencode(directory), sum(INOTIFY)) >= 0

    def events(self) -> Iterator[tuple[str, str]]:
        while True:
            try:
                data = os.read(self.fd, 1 << 20)
            except BlockingIOError:
                return
            while data:
                _, mask, _, length = struct.unpack_from('iIII', data)
                name = data[16 : 16 + length].rstrip(b'\0').decode()
                yield INOTIFY[mask & 0xFFF], name
                data = data[16 + length :]

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)


def events_of_evict(connector: Any, directory: pathlib.Path) -> list[str]:
    """Whether the marker or the data goes first."""
    key = connector.put(b'object')
    with Watch(directory) as watch:
        connector.evict(key)
        kinds = {key.filename: 'data', f'{key.filename}.ready': 'marker'}
        return [kinds[name] for event, name in watch.events() if event in {'delete', 'move'} and name in kinds]


def test_09_evict_takes_the_marker_first(tmp_path: pathlib.Path) -> None:
    theirs = upstream_file.FileConnector(str(tmp_path / 'theirs'))
    assert events_of_evict(theirs, tmp_path / 'theirs') == ['data', 'marker']
    ours = file.FileConnector(str(tmp_path / 'ours'))
    assert events_of_evict(ours, tmp_path / 'ours') == ['marker', 'data']


def come_and_go(directory: pathlib.Path, key: Any, data: bytes, stop: pathlib.Path) -> int:
    connector = file.FileConnector(str(directory), clear=False)
    rounds = 0
    while not stop.exists():
        connector.set(key, data)
        connector.evict(key)
        rounds += 1
    return rounds


def test_09_a_reader_meets_whole_objects_or_none_while_they_come_and_go(tmp_path: pathlib.Path) -> None:
    theirs = upstream_file.FileConnector(str(tmp_path / 'theirs'))
    key: Any = theirs.put(b'object')
    os.remove(tmp_path / 'theirs' / key.filename)
    assert theirs.exists(key), 'so far upstream comes before it takes the marker'
    with pytest.raises(FileNotFoundError):
        theirs.get(key)

    ours = file.FileConnector(str(tmp_path / 'ours'))
    data = bytes(range(256)) * 2000
    key = ours.new_key()
    whole = missing = 0
    with Child(come_and_go, tmp_path / 'ours', key, data, tmp_path / 'stop') as child:
        while min(whole, missing) < 500 and child.is_working():
            found = ours.get(key)
            assert found is None or found == data
            whole += found is not None
            missing += found is None
            ours.exists(key)
        (tmp_path / 'stop').touch()
        rounds = child.answer()
    print(f'{rounds} times put and evicted: {whole} reads met the object, {missing} did not')
    assert min(whole, missing, rounds) > 0
    assert [path for path in (tmp_path / 'ours').iterdir() if not path.name.startswith('.')] == []


def test_09_a_second_set_never_touches_what_is_being_read(tmp_path: pathlib.Path) -> None:
    data = bytes(range(256)) * 4000
    theirs = upstream_file.FileConnector(str(tmp_path / 'theirs'))
    key: Any = theirs.put(data)
    seen: list[Any] = []

    def opening(path: str, mode: str, **options: Any) -> Any:
        opened = builtins.open(path, mode, **options)  # noqa: SIM115
        if 'w' in mode and not path.endswith('.ready'):
            seen.append(upstream_file.FileConnector(str(tmp_path / 'theirs')).get(key))
        return opened

    with mock.patch('proxystore.connectors.file.open', opening, create=True):
        theirs.set(key, data)
    assert seen == [b''], 'a reader in the middle of a second set gets what is no object'

    for name, later in [('same', data), ('replaced', data[::-1] + b'longer')]:
        ours = file.FileConnector(str(tmp_path / name), write_once=later == data)
        key = ours.new_key()
        ours.set(key, data)
        with (tmp_path / name / key.filename).open('rb') as reader, Watch(tmp_path / name) as watch:
            first = reader.read(1000)
            ours.set(key, later)
            assert first + reader.read() == data
            touched = [event for event, file_name in watch.events() if file_name == key.filename]
        assert 'modify' not in touched, 'a file with a name is whole, and stays as it is'
        assert 'delete' not in touched
        assert ours.get(key) == later


def set_again(connector: Any, key: Any, values: list[bytes], stop: pathlib.Path) -> int:
    rounds = 0
    while not stop.exists():
        connector.set(key, values[rounds % len(values)])
        rounds += 1
        stop.with_name('round').touch()
    return rounds


ONE, OTHER = b'one' * 150_000, b'other' * 60_000


@pytest.mark.parametrize('values', [[ONE], [ONE, OTHER, b'']], ids=['same', 'replaced'])
def test_09_reads_during_second_sets_are_whole(tmp_path: pathlib.Path, values: list[bytes]) -> None:
    ours = file.FileConnector(str(tmp_path / 'ours'), write_once=len(values) == 1)
    key = ours.new_key()
    ours.set(key, values[0])
    seen: dict[bytes, int] = {}
    with Child(set_again, ours, key, values, tmp_path / 'stop') as child:
        while sum(seen.values()) < 1000 or len(seen) < len(values):
            if not child.is_working():
                break
            found = ours.get(key)
            assert found in values
            assert ours.exists(key)
            if (tmp_path / 'round').exists():
                seen[found] = seen.get(found, 0) + 1
        (tmp_path / 'stop').touch()
        rounds = child.answer()
    print(f'{rounds} second sets, {list(seen.values())} reads of each object')
    assert rounds > 0
    assert set(seen) == set(values)


def work_and_close(connector_type: Any, config: dict[str, Any], key: Any, data: bytes) -> None:
    with connector_type.from_config(config) as connector:
        assert connector.get(key) == data
        connector.put(b'of the worker')
    connector.close()


@pytest.mark.parametrize('where', ['elsewhere', 'forked'])
def test_09_the_close_of_a_worker_deletes_nothing(tmp_path: pathlib.Path, where: str) -> None:
    run = elsewhere if where == 'elsewhere' else in_fork
    theirs: Any = upstream_file.FileConnector(str(tmp_path / 'theirs'))
    run(work_and_close, upstream_file.FileConnector, theirs.config(), theirs.put(b'object'), b'object')
    assert not (tmp_path / 'theirs').exists(), "everybody's objects are gone"

    ours = file.FileConnector(str(tmp_path / 'ours'))
    key = ours.put(b'object')
    run(work_and_close, file.FileConnector, ours.config(), key, b'object')
    assert ours.get(key) == b'object'
    assert len(list((tmp_path / 'ours').glob('*.ready'))) == 2
    # Its maker's own close still does.
    ours.close()
    assert not (tmp_path / 'ours').exists()


def test_09_close_takes_no_files_but_objects(tmp_path: pathlib.Path) -> None:
    for connector, name in [(upstream_file.FileConnector, 'theirs'), (file.FileConnector, 'ours')]:
        opened = connector(str(tmp_path / name))
        opened.put(b'object')
        (tmp_path / name / 'thesis.txt').write_text('three years of work')
        opened.close()
    assert not (tmp_path / 'theirs').exists()
    assert [path.name for path in (tmp_path / 'ours').iterdir()] == ['thesis.txt']


# 11


def nested(package: Any, connector: Any) -> Any:
    inner = package.MultiConnector(
        {
            'plain': (connector(), package.Policy()),
            'tagged': (connector(), package.Policy(priority=1, superset_tags=['t'], subset_tags=['s'])),
        },
    )
    return package.MultiConnector({'inner': (inner, package.Policy(subset_tags=['s', 'unused']))})


def test_11_nested_multi_connectors_see_the_tags() -> None:
    theirs = nested(upstream_multi, upstream_local.LocalConnector)
    assert theirs.put(b'x', ['s'], ['t']).connector_key.connector_name == 'plain'

    ours = nested(multi, local.LocalConnector)
    for obj, subset, superset, expected in [
        (b'a', ['s'], ['t'], 'tagged'),
        (b'b', [], ['t'], 'tagged'),
        (b'c', [], [], 'plain'),
        (b'd', iter(['s']), iter(['t']), 'tagged'),
    ]:
        key = ours.put(obj, subset, superset)
        assert (key.connector_name, key.connector_key.connector_name) == ('inner', expected)
        assert ours.get(key) == obj
    keys = ours.put_batch([b'e', b'f'], superset_tags=(tag for tag in ['t']))
    assert [key.connector_key.connector_name for key in keys] == ['tagged', 'tagged']
    key = ours.new_key(superset_tags=['t'])
    assert key.connector_key.connector_name == 'tagged'
    ours.set(key, b'g')
    assert ours.get_batch([*keys, key]) == [b'e', b'f', b'g']
    with pytest.raises(multi.MultiConnectorError):
        ours.put(b'x', subset_tags=['unused'])


def test_11_a_string_of_tags_is_taken_letter_by_letter_with_a_warning() -> None:
    def build(package: Any, connector: Any) -> Any:
        return package.MultiConnector({'letters': (connector(), package.Policy(subset_tags=['a', 'b']))})

    with warnings.catch_warnings():
        warnings.simplefilter('error')
        theirs = build(upstream_multi, upstream_local.LocalConnector)
        assert theirs.put(b'x', subset_tags='ab').connector_name == 'letters'
        ours = build(multi, local.LocalConnector)
        ours.put(b'x', subset_tags=['a', 'b'])
    with pytest.warns(UserWarning, match='ab'):
        assert ours.put(b'x', subset_tags='ab').connector_name == 'letters'
    with pytest.warns(UserWarning), pytest.raises(multi.MultiConnectorError):
        ours.put(b'x', subset_tags='abc')
    with pytest.warns(UserWarning):
        assert ours.put_batch([b'x'], subset_tags='ba')[0].connector_name == 'letters'
    with pytest.warns(UserWarning):
        assert multi.Policy(subset_tags=['a', 'b']).is_valid(subset_tags='ab')
    with pytest.warns(UserWarning):
        assert not multi.Policy(superset_tags=['ab']).is_valid(superset_tags='ab')

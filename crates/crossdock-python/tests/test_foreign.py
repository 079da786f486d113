"""Connectors that others have written in Python work inside ours, with their own keys and exceptions."""

from __future__ import annotations

import os
import pathlib
import shutil
import socket
import subprocess
import uuid
from typing import Any, ClassVar, NamedTuple
from unittest import mock

import proxystore.connectors.file as upstream_file
import proxystore.connectors.local as upstream_local
import proxystore.connectors.multi as upstream_multi
import pytest

from crossdock.connectors.file import FileConnector
from crossdock.connectors.local import LocalConnector
from crossdock.connectors.multi import MultiConnector, MultiKey, Policy
from crossdock.exceptions import NoRouteError, UnavailableError, UnsupportedError


class Place:
    """Part of a key, and no tuple."""

    def __init__(self, shelf: int) -> None:
        self.shelf = shelf

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Place) and self.shelf == other.shelf

    def __hash__(self) -> int:
        return hash(self.shelf)


class ShelfKey(NamedTuple):
    connector_name: str
    place: Place
    size: int


class Shelf:
    """The least that a connector is; it writes down how it was called."""

    def __init__(self, name: str = 'shelf') -> None:
        self.name = name
        self.objects: dict[Any, Any] = {}
        self.calls: list[tuple[Any, ...]] = []

    def config(self) -> dict[str, Any]:
        return {'name': self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Shelf:
        return cls(**config)

    def close(self) -> None:
        self.calls.append(('close',))

    def put(self, obj: Any) -> ShelfKey:
        key = ShelfKey(self.name, Place(len(self.calls)), len(obj))
        self.calls.append(('put', obj))
        self.objects[key] = bytes(obj)
        return key

    def get(self, key: ShelfKey) -> Any:
        self.calls.append(('get', key))
        return self.objects.get(key)

    def exists(self, key: ShelfKey) -> bool:
        return key in self.objects

    def evict(self, key: ShelfKey) -> None:
        self.calls.append(('evict', key))
        self.objects.pop(key, None)


class Batching(Shelf):
    def put_batch(self, objs: Any) -> list[ShelfKey]:
        self.calls.append(('put_batch', list(objs)))
        return [self.put(obj) for obj in objs]

    def get_batch(self, keys: Any) -> list[Any]:
        self.calls.append(('get_batch', list(keys)))
        return [self.objects.get(key) for key in keys]


class Deferring(Shelf):
    def new_key(self, obj: Any = None) -> ShelfKey:
        self.calls.append(('new_key', obj))
        return ShelfKey(self.name, Place(len(self.calls)), -1)

    def set(self, key: ShelfKey, obj: Any) -> None:
        self.calls.append(('set', key, obj))
        self.objects[key] = bytes(obj)


class Odd(Shelf):
    """Its methods have arguments of their own."""

    def put(self, obj: Any, *, compress: bool = False, **more: Any) -> ShelfKey:
        assert not compress and not more
        return super().put(obj)

    def get(self, key: ShelfKey, *, wait: float | None = None) -> Any:
        assert wait is None
        return super().get(key)

    def close(self, *, flush: bool = False, clear: bool = False) -> None:
        self.calls.append(('close', flush, clear))


def over(*children: Any, **options: Any) -> MultiConnector:
    return MultiConnector({f'c{place}': (child, Policy(**options)) for place, child in enumerate(children)})


def names(shelf: Shelf) -> list[str]:
    return [call[0] for call in shelf.calls]


@pytest.mark.parametrize('cls', [Shelf, Batching, Deferring, Odd])
def test_a_foreign_child_gets_objects_and_keys_as_they_are(cls: type[Shelf]) -> None:
    child = cls()
    connector = over(child)
    given = bytearray(b'object')
    key = connector.put(given)
    assert type(key) is MultiKey and type(key.connector_key) is ShelfKey
    assert child.calls[-1] == ('put', given) and child.calls[-1][1] is given
    assert connector.get(key) == b'object'
    assert child.calls[-1][1] is key.connector_key
    assert connector.exists(key) is True
    connector.evict(key)
    assert connector.exists(key) is False and connector.get(key) is None


@pytest.mark.parametrize('cls', [Shelf, Batching, Deferring, Odd])
def test_batches_use_those_of_the_child_where_it_has_some(cls: type[Shelf]) -> None:
    child, ours = cls(), LocalConnector()
    connector = MultiConnector({'a': (child, Policy(max_size_bytes=1, priority=1)), 'b': (ours, Policy())})
    keys = connector.put_batch([b'1', b'two', b'3', b''])
    assert [key.connector_name for key in keys] == ['a', 'b', 'a', 'a']
    assert connector.get_batch(keys) == [b'1', b'two', b'3', b'']
    is_batching = cls is Batching
    assert names(child).count('put_batch') == is_batching and names(child).count('get_batch') == is_batching
    if is_batching:
        assert child.calls[0] == ('put_batch', [b'1', b'3', b''])


def test_a_view_of_what_a_foreign_child_returns() -> None:
    connector = over(Shelf())
    view = connector.get(connector.put(b'object'), zero_copy=True)
    assert type(view) is memoryview and view.readonly and view == b'object'
    assert connector.get_batch(connector.put_batch([b'a']), zero_copy=True) == [b'a']


def test_deferred_keys_come_from_a_child_that_can_make_them() -> None:
    plain, deferring = Shelf(), Deferring()
    connector = over(plain, deferring)
    key = connector.new_key(b'object')
    assert key.connector_name == 'c1' and deferring.calls[-1] == ('new_key', b'object')
    assert not connector.exists(key) and connector.get(key) is None
    connector.set(key, b'object')
    assert connector.get(key) == b'object' and plain.calls == []
    with pytest.raises(NoRouteError, match='before its object'):
        over(plain).new_key()
    with pytest.raises(UnsupportedError):
        connector.set(connector.put(b'x'), b'y')


def test_a_durability_is_not_silently_dropped() -> None:
    child = Shelf()
    with pytest.raises(UnsupportedError, match='durability'):
        over(child).put(b'object', durability='host')
    assert child.calls == []


@pytest.mark.parametrize('missing', ['put', 'get', 'exists', 'evict', 'config', 'close'])
def test_what_lacks_a_method_is_no_connector(missing: str) -> None:
    methods = {name: lambda self, *_: None for name in ('put', 'get', 'exists', 'evict', 'config', 'close')}
    del methods[missing]
    child = type('Lame', (), methods)()
    with pytest.raises(TypeError, match=rf'c0.*Lame.*{missing}'):
        over(child)


class Shouting(LocalConnector):
    def put(self, obj: Any) -> Any:
        return super().put(bytes(obj).upper())

    def get(self, key: Any, **options: Any) -> Any:
        found = super().get(key, **options)
        return found and found + b'!'


class ShoutingFiles(FileConnector):
    def put(self, obj: Any, **options: Any) -> Any:
        return super().put(bytes(obj).upper(), **options)


class Preferring(MultiConnector):
    def put(self, obj: Any, subset_tags: Any = (), superset_tags: Any = (), **options: Any) -> Any:
        return super().put(obj, [*subset_tags, 'preferred'], superset_tags, **options)


def test_what_subclasses_of_ours_override_is_called(tmp_path: pathlib.Path) -> None:
    connector = over(Shouting())
    assert connector.get(connector.put(b'object')) == b'OBJECT!'
    assert connector.config()['c0'][0] == f'{__name__}.Shouting'
    files = over(ShoutingFiles(tmp_path / 'objects'))
    assert files.get(files.put(b'object', durability='host')) == b'OBJECT'
    preferred = LocalConnector(), Policy(subset_tags=['preferred'])
    inner = Preferring({'x': (LocalConnector(), Policy(priority=1)), 'y': preferred})
    assert over(inner).put(b'object').connector_key.connector_name == 'y'


def test_connectors_of_proxystore_are_children(tmp_path: pathlib.Path) -> None:
    local = upstream_local.LocalConnector()
    files = upstream_file.FileConnector(str(tmp_path / 'objects'))
    connector = MultiConnector({'local': (local, Policy(max_size_bytes=3, priority=1)), 'files': (files, Policy())})
    keys = [connector.put(b'abc'), connector.put(b'abcd'), *connector.put_batch([b'x', b'large'])]
    assert [type(key.connector_key) for key in keys] == [upstream_local.LocalKey, upstream_file.FileKey] * 2
    assert connector.get_batch(keys) == [b'abc', b'abcd', b'x', b'large']
    later = connector.new_key(b'later')
    connector.set(later, b'later')
    assert connector.get(later) == b'later' and type(later.connector_key) is upstream_file.FileKey
    assert [path for path, _, _ in connector.config().values()] == [
        'proxystore.connectors.local.LocalConnector',
        'proxystore.connectors.file.FileConnector',
    ]
    twin = MultiConnector.from_config(connector.config())
    assert type(twin.connectors['files'].connector) is upstream_file.FileConnector
    assert twin.get(keys[1]) == b'abcd'
    connector.evict(keys[1])
    assert not connector.exists(keys[1])
    connector.close()
    assert not (tmp_path / 'objects').exists()


def test_redis_of_proxystore_is_a_child(tmp_path: pathlib.Path) -> None:
    binary = shutil.which('redis-server')
    if binary is None:
        pytest.skip('not here: redis-server')
    pytest.importorskip('redis')
    from proxystore.connectors.redis import RedisConnector

    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [binary, '--port', str(port), '--bind', '127.0.0.1', '--save', '', '--dir', str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None
        assert any('ready to accept' in line.lower() for line in server.stdout)
        with over(RedisConnector('127.0.0.1', port)) as connector:
            keys = [connector.put(b'object'), *connector.put_batch([b'a', bytearray(b'b')])]
            assert connector.get_batch(keys) == [b'object', b'a', b'b']
            connector.evict(keys[0])
            assert not connector.exists(keys[0]) and connector.get(keys[0]) is None
    finally:
        server.kill()
        server.communicate(timeout=60)


def tagged(cls: Any, policy: Any, local: Any) -> Any:
    return cls({'plain': (local(), policy()), 'tagged': (local(), policy(subset_tags=['t'], superset_tags=['s']))})


class SubMulti(MultiConnector):
    pass


INNER = {
    'ours': lambda: tagged(MultiConnector, Policy, LocalConnector),
    'ours in ours': lambda: MultiConnector(
        {'mid': (tagged(MultiConnector, Policy, LocalConnector), Policy(subset_tags=['t']))},
    ),
    'a subclass of ours': lambda: tagged(SubMulti, Policy, LocalConnector),
    "proxystore's": lambda: tagged(upstream_multi.MultiConnector, upstream_multi.Policy, upstream_local.LocalConnector),
}


@pytest.mark.parametrize('kind', INNER)
def test_nested_multi_connectors_get_the_tags(kind: str) -> None:
    connector = MultiConnector({'outer': (INNER[kind](), Policy(subset_tags=['t']))})

    def landed(key: Any) -> str:
        while isinstance(key.connector_key, (MultiKey, upstream_multi.MultiKey)):
            key = key.connector_key
        return key.connector_name

    assert landed(connector.put(b'x')) == 'plain'
    with_tags = {'subset_tags': (tag for tag in ['t']), 'superset_tags': {'s', 'more'}}
    key = connector.put(b'x', **with_tags)
    assert landed(key) == 'tagged' and connector.get(key) == b'x'
    keys = connector.put_batch([b'a', b'b'], subset_tags=['t'], superset_tags=['s'])
    assert [landed(key) for key in keys] == ['tagged', 'tagged'] and connector.get_batch(keys) == [b'a', b'b']
    if kind != "proxystore's":
        key = connector.new_key(b'x', ['t'], ['s'])
        assert landed(key) == 'tagged'
        connector.set(key, b'x')
        assert connector.get(key) == b'x'
    connector.evict(key)
    assert not connector.exists(key)


class Own(Exception):
    def __init__(self, code: int, *, detail: str) -> None:
        super().__init__(code)
        self.detail = detail


ERRORS = [
    lambda: Own(3, detail='x'),
    lambda: ValueError('mine'),
    lambda: ConnectionError('mine'),
    lambda: UnavailableError('mine'),
    KeyboardInterrupt,
    lambda: SystemExit(3),
]


@pytest.mark.parametrize('make', ERRORS, ids=['own', 'value', 'connection', 'ours', 'interrupt', 'exit'])
@pytest.mark.parametrize('nested', [False, True], ids=['', 'nested'])
def test_exceptions_of_children_come_out_as_they_are(make: Any, nested: bool) -> None:
    class Full(Batching, Deferring):
        pass

    child = Full()
    connector = over(over(child)) if nested else over(child)
    key = connector.put(b'object')
    calls = {
        'put': lambda: connector.put(b'x'),
        'get': lambda: connector.get(key),
        'exists': lambda: connector.exists(key),
        'evict': lambda: connector.evict(key),
        'put_batch': lambda: connector.put_batch([b'x']),
        'get_batch': lambda: connector.get_batch([key]),
        'new_key': lambda: connector.new_key(),
        'set': lambda: connector.set(key, b'x'),
        'config': lambda: connector.config(),
        'close': lambda: connector.close(),
    }
    for name, call in calls.items():
        error = make()
        with mock.patch.object(child, name, side_effect=error), pytest.raises(type(error)) as raised:
            call()
        assert raised.value is error, name


def failing(error: BaseException) -> Batching:
    child = Batching()
    child.put = mock.Mock(side_effect=error)  # type: ignore[method-assign]
    return child


@pytest.mark.parametrize('first', [Shelf, Batching, LocalConnector])
def test_a_batch_is_undone_when_a_child_fails(first: Any, tmp_path: pathlib.Path) -> None:
    error = Own(1, detail='full')
    good, store = first(), FileConnector(tmp_path / 'objects')
    connector = MultiConnector(
        {
            'good': (good, Policy(max_size_bytes=1, priority=3)),
            'files': (store, Policy(max_size_bytes=2, priority=2)),
            'bad': (failing(error), Policy()),
        },
    )
    with pytest.raises(Own) as raised:
        connector.put_batch([b'1', b'22', b'1', b'333', b'22'])
    assert raised.value is error
    assert os.listdir(tmp_path / 'objects') == []
    assert not (good._store if isinstance(good, LocalConnector) else good.objects)


def test_a_child_without_batches_is_undone_in_the_middle() -> None:
    error = Own(2, detail='full')

    class Third(Shelf):
        def put(self, obj: Any) -> ShelfKey:
            if len(self.objects) == 2:
                raise error
            return super().put(obj)

    child = Third()
    with pytest.raises(Own) as raised:
        over(child).put_batch([b'1', b'2', b'3'])
    assert raised.value is error and child.objects == {} and names(child) == ['put', 'put', 'evict', 'evict']


def test_a_child_that_answers_too_few_keys_is_no_mix_up() -> None:
    class Short(Batching):
        def put_batch(self, objs: Any) -> list[ShelfKey]:
            return super().put_batch(objs)[1:]

        def get_batch(self, keys: Any) -> list[Any]:
            return super().get_batch(keys)[1:]

    connector = over(Short())
    with pytest.raises(Exception, match='1 items to a batch of 2'):
        connector.put_batch([b'1', b'2'])
    key = connector.put(b'1')
    with pytest.raises(Exception, match='1 items to a batch of 2'):
        connector.get_batch([key, key])


def test_fallback_goes_on_only_where_nothing_can_have_been_written() -> None:
    def with_first(error: Exception) -> tuple[MultiConnector, Shelf]:
        last = Shelf()
        first = failing(error)
        return MultiConnector({'a': (first, Policy(fallback=True, priority=1)), 'b': (last, Policy())}), last

    connector, last = with_first(UnavailableError('away'))
    assert connector.put(b'x').connector_name == 'b'
    assert [key.connector_name for key in connector.put_batch([b'x', b'y'])] == ['b', 'b']
    for error in (ValueError('v'), ConnectionError('c'), Own(1, detail='')):
        connector, last = with_first(error)
        for call in (lambda: connector.put(b'x'), lambda: connector.put_batch([b'x'])):
            with pytest.raises(type(error)) as raised:
                call()
            assert raised.value is error
        assert last.calls == []
    strict = MultiConnector({'a': (failing(UnavailableError('away')), Policy(priority=1)), 'b': (Shelf(), Policy())})
    with pytest.raises(UnavailableError, match='away'):
        strict.put(b'x')


class Broken(Shelf):
    tries: ClassVar[int] = 0
    works: ClassVar[bool] = False

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Shelf:
        cls.tries += 1
        if not cls.works:
            raise RuntimeError('no such shelf')
        return super().from_config(config)


def entry(path: str, **policy: Any) -> tuple[str, dict[str, Any], dict[str, Any]]:
    return path, {}, policy


@pytest.mark.parametrize(
    ('path', 'cause'),
    [
        (f'{__name__}.Broken', RuntimeError),
        ('there.is.no.such.Module', ModuleNotFoundError),
        (f'{__name__}.Missing', AttributeError),
        ('nothing', ImportError),
    ],
)
def test_a_broken_entry_fails_only_when_it_is_needed(path: str, cause: type[Exception]) -> None:
    Broken.tries, Broken.works = 0, False
    config = {
        'broken': entry(path, min_size_bytes=10, priority=1),
        'fine': entry('crossdock.connectors.local.LocalConnector'),
    }
    connector = MultiConnector.from_config(config)
    assert Broken.tries == 0
    key = connector.put(b'small')
    assert connector.get(key) == b'small' and 'not opened' in repr(connector)
    assert connector.config()['broken'][:2] == (path, {})
    for _ in range(2):
        with pytest.raises(UnavailableError, match='cannot be opened') as raised:
            connector.put(b'a large object')
        assert isinstance(raised.value.__cause__, cause) and raised.value.connector == 'broken'
    with pytest.raises(UnavailableError):
        connector.get(MultiKey('broken', ('x',)))
    with pytest.raises(UnavailableError):
        _ = connector.connectors['broken']
    if cause is RuntimeError:
        assert Broken.tries == 4
        Broken.works = True
        assert connector.get(connector.put(b'a large object')) == b'a large object'
        assert Broken.tries == 5, 'once open, it stays open'
        Broken.works = False
    connector.close()


def test_a_broken_entry_may_fall_back() -> None:
    Broken.works = False
    connector = MultiConnector.from_config(
        {
            'broken': entry(f'{__name__}.Broken', priority=1, fallback=True),
            'fine': entry('crossdock.connectors.local.LocalConnector'),
        },
    )
    assert connector.put(b'x').connector_name == 'fine'


def test_close_visits_all_and_raises_the_first() -> None:
    children = [Shelf(str(place)) for place in range(4)]
    first, second = Own(1, detail='first'), ValueError('second')
    children[1].close = mock.Mock(side_effect=first)  # type: ignore[method-assign]
    children[2].close = mock.Mock(side_effect=second)  # type: ignore[method-assign]
    connector = over(*children)
    with pytest.raises(Own) as raised:
        connector.close()
    assert raised.value is first
    assert len(first.__notes__) == 1 and 'c2' in first.__notes__[0] and 'second' in first.__notes__[0]
    assert names(children[0]) == names(children[3]) == ['close']
    connector.close()
    assert names(children[0]) == ['close'], 'only once'


class Flushing(Shelf):
    def close(self, flush: bool = False) -> None:  # type: ignore[override]
        self.calls.append(('close', flush))


class Anything(Shelf):
    def close(self, **options: Any) -> None:
        self.calls.append(('close', options))


def test_arguments_of_close_go_where_they_are_taken(tmp_path: pathlib.Path) -> None:
    children = Shelf(), Flushing(), Odd(), Anything()
    files = FileConnector(tmp_path / 'objects', clear=False)
    connector = over(*children, files)
    files.put(b'object')
    connector.close(clear=True, flush=True)
    assert [child.calls for child in children] == [
        [('close',)],
        [('close', True)],
        [('close', True, True)],
        [('close', {'clear': True, 'flush': True})],
    ]
    assert not (tmp_path / 'objects').exists()


def test_an_argument_that_nobody_takes_is_refused_before_anything_is_closed() -> None:
    child = Odd()
    connector = over(child)
    with pytest.raises(TypeError, match='flsh'):
        connector.close(flsh=True)
    assert child.calls == []
    assert connector.get(connector.put(b'x')) == b'x'


@pytest.mark.parametrize('make', [LocalConnector, Shelf])
def test_a_patched_close_is_called(make: Any) -> None:
    child = make()
    connector = over(child)
    with mock.patch.object(child, 'close') as close:
        connector.close()
    close.assert_called_once_with()


def test_children_of_ours_carry_attributes() -> None:
    child = LocalConnector()
    connector = over(child)
    assert connector.connectors['c0'].connector is child
    mark = str(uuid.uuid4())
    child.mark = connector.mark = mark  # type: ignore[attr-defined]
    assert connector.connectors['c0'].connector.mark == connector.mark == mark

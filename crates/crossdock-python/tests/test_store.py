"""The real ProxyStore's Store over our MultiConnector, within a process and across."""

from __future__ import annotations

import gc
import pathlib
import pickle
import queue
import re
import socket
import uuid
from collections.abc import Callable
from typing import Any

import numpy
import pytest
from proxystore.connectors import file as upstream_file
from proxystore.connectors import local as upstream_local
from proxystore.connectors import multi as upstream_multi
from proxystore.connectors import protocols
from proxystore.proxy import Proxy, ProxyResolveError, extract, get_factory, is_resolved
from proxystore.serialize import deserialize
from proxystore.store import Store, get_store, register_store
from proxystore.store.config import StoreConfig
from proxystore.store.exceptions import ProxyResolveMissingKeyError
from proxystore.store.ref import MutableBorrowError, borrow, clone, mut_borrow, update
from proxystore.store.utils import get_key
from proxystore.stream import StreamConsumer, StreamProducer
from proxystore.stream.shims.queue import QueuePublisher, QueueSubscriber
from proxystore.utils.imports import import_from_path

from crossdock.connectors import file, multi
from crossdock.connectors.file import FileConnector
from crossdock.connectors.local import LocalConnector
from crossdock.connectors.multi import MultiConnector, MultiConnectorError, Policy
from crossdock.exceptions import AlreadyExistsError
from crossdock.utils import hostname
from helpers import METHODS, class_path, elsewhere, in_fork, in_process, other_hostname

OTHER_HOST = 'nid0042'
ARRAY = numpy.arange(3000.0).reshape(30, 100)
VALUES: list[Any] = [b'bytes', 'text', {'a': [1, 2.5, None]}, list(range(20_000)), ARRAY]


def same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and bool(numpy.array_equal(one, other))


FILE = 'crossdock.connectors.file.FileConnector'


def config(directory: pathlib.Path) -> dict[str, Any]:
    """Process memory, files for all, files of this host, and files of another host: dormant here."""

    def files(name: str) -> dict[str, Any]:
        return FileConnector(str(directory / name), clear=False).config()

    here = Policy(host_pattern=re.escape(socket.gethostname()), superset_tags=['here'], priority=2)
    return {
        'there': (FILE, files('there'), Policy(host_pattern=r'nid\d+', superset_tags=['there'], priority=3).as_dict()),
        'memory': (
            'crossdock.connectors.local.LocalConnector',
            LocalConnector().config(),
            Policy(superset_tags=['memory'], priority=4).as_dict(),
        ),
        'here': (FILE, files('here'), here.as_dict()),
        'files': (FILE, files('files'), Policy().as_dict()),
    }


def open_store(connector: Any, **options: Any) -> Store[Any]:
    # Other processes have no such store yet and build it; a target kept in the proxy would hide what was not stored.
    return Store(f'store-{uuid.uuid4()}', connector, populate_target=False, **options)


@pytest.fixture()
def store(tmp_path: pathlib.Path) -> Store[MultiConnector]:
    return open_store(MultiConnector.from_config(config(tmp_path)))


def resolve(pickled: bytes) -> Any:
    return extract(pickle.loads(pickled))


def failure(pickled: bytes) -> tuple[str, str]:
    """The class and the text of the error that resolving ends with."""
    with pytest.raises(ProxyResolveError) as raised:
        extract(pickle.loads(pickled))
    cause = raised.value.__cause__
    assert cause is not None
    return class_path(cause), str(cause)


def in_new_python(function: Callable[..., Any], *arguments: Any) -> Any:
    return elsewhere(function, *arguments)


PROCESSES: dict[str, Callable[..., Any]] = {
    'os.fork': in_fork,
    'a new python': in_new_python,
    **{
        method: lambda function, *arguments, method=method: in_process(method, function, *arguments)
        for method in METHODS
    },
}


def test_here_one_connector_is_dormant(store: Store[MultiConnector]) -> None:
    assert list(store.connector.connectors) == ['memory', 'here', 'files']
    assert store.connector.dormant_connectors is not None
    assert list(store.connector.dormant_connectors) == ['there']
    assert list(store.connector.config()) == ['there', 'memory', 'here', 'files']


@pytest.mark.parametrize('process', PROCESSES)
@pytest.mark.parametrize('registered', [False, True])
def test_a_proxy_resolves_in_another_process(store: Store[Any], process: str, registered: bool) -> None:
    if registered:
        register_store(store)
    for tags, name in [([], 'files'), (['here'], 'here')]:
        for value in VALUES:
            proxy = store.proxy(value, superset_tags=tags)
            assert get_key(proxy).connector_name == name
            assert same(PROCESSES[process](resolve, pickle.dumps(proxy)), value)


@pytest.mark.parametrize('method', ['os.fork', 'fork'])
def test_a_forked_child_resolves_what_is_in_the_memory_of_its_parent(store: Store[Any], method: str) -> None:
    register_store(store)
    proxy = store.proxy([1, 2, 3], superset_tags=['memory'])
    assert get_key(proxy).connector_name == 'memory'
    assert PROCESSES[method](resolve, pickle.dumps(proxy)) == [1, 2, 3]


@pytest.mark.parametrize('process', ['spawn', 'forkserver', 'a new python'])
def test_the_memory_of_another_process_is_an_error_rather_than_nothing(store: Store[Any], process: str) -> None:
    proxy = store.proxy([1, 2, 3], superset_tags=['memory'])
    kind, _ = PROCESSES[process](failure, pickle.dumps(proxy))
    assert kind == 'crossdock.exceptions.InvalidKeyError'


def on_other_host(host: str, common: bytes, here: bytes, common_value: Any) -> tuple[list[str], list[str], bytes]:
    """Resolves what it can, and stores something that can be had on that host only."""
    proxy = pickle.loads(common)
    assert not is_resolved(proxy)
    assert same(extract(proxy), common_value)
    kind, text = failure(here)
    assert issubclass(import_from_path(kind), MultiConnectorError), kind
    assert 'dormant' in text
    store = get_store(proxy)
    assert store is not None
    assert hostname() == host
    made = store.proxy('made there', superset_tags=['there'])
    assert get_key(made).connector_name == 'there'
    dormant = store.connector.dormant_connectors
    assert dormant is not None
    return list(dormant), list(store.connector.config()), pickle.dumps(made)


@pytest.mark.parametrize('way', ['CROSSDOCK_HOSTNAME', 'unshare'])
def test_a_proxy_resolves_on_a_host_where_another_connector_is_dormant(store: Store[MultiConnector], way: str) -> None:
    where: dict[str, Any] = {'front': other_hostname(OTHER_HOST)} if way == 'unshare' else {'host': OTHER_HOST}
    for value in VALUES:
        common = pickle.dumps(store.proxy(value))
        here = pickle.dumps(store.proxy(value, superset_tags=['here']))
        dormant, order, made = elsewhere(on_other_host, OTHER_HOST, common, here, value, **where)
        assert dormant == ['here']
        assert order == list(store.connector.config()), 'the order of ties outlives the trip'
        kind, text = failure(made)
        assert issubclass(import_from_path(kind), MultiConnectorError)
        assert 'dormant' in text
        assert elsewhere(resolve, made, **where) == 'made there'


def set_result(future: Any, value: Any) -> bool:
    before = future.done()
    future.set_result(value)
    return bool(before) is False and future.done() is True


@pytest.mark.parametrize('process', PROCESSES)
def test_a_future_is_set_in_one_process_and_awaited_in_others(store: Store[Any], process: str) -> None:
    future: Any = store.future(polling_interval=0.01, polling_timeout=60)
    assert not future.done()
    proxy = pickle.dumps(future.proxy())
    assert PROCESSES[process](set_result, future, {'result': 42}), 'it was not done, then it was'
    assert future.done()
    assert future.result() == {'result': 42}
    assert PROCESSES[process](resolve, proxy) == {'result': 42}


def test_a_future_that_nobody_sets_is_missing(store: Store[Any]) -> None:
    future: Any = store.future(polling_interval=0.001, polling_timeout=0.002)
    with pytest.raises(ProxyResolveMissingKeyError):
        future.result()
    assert not future.done()


def test_a_future_that_evicts_is_gone_once_resolved(store: Store[Any]) -> None:
    future: Any = store.future(evict=True, polling_interval=0.001, polling_timeout=60)
    future.set_result('once')
    assert extract(future.proxy()) == 'once'
    assert not future.done()


def mixed(directory: pathlib.Path, *, clear: bool) -> MultiConnector:
    """Our connectors, and two of ProxyStore's: one whose close takes clear, one whose close takes nothing."""
    return MultiConnector(
        {
            'memory': (LocalConnector(), Policy(superset_tags=['memory'])),
            'theirs': (upstream_local.LocalConnector(), Policy(superset_tags=['theirs'])),
            'their files': (
                upstream_file.FileConnector(str(directory / 'theirs'), clear=False),
                Policy(superset_tags=['their files']),
            ),
            'files': (FileConnector(str(directory / 'ours'), clear=clear), Policy()),
        },
    )


def filled(directory: pathlib.Path, *, clear: bool) -> Store[MultiConnector]:
    store = open_store(mixed(directory, clear=clear))
    for name in store.connector.connectors:
        store.put('object', superset_tags=[name])
    for name in ['ours', 'theirs']:
        assert len(list((directory / name).iterdir())) >= 2, name
    return store


def test_close_with_clear_clears_wherever_that_can_be_asked(tmp_path: pathlib.Path) -> None:
    filled(tmp_path, clear=False).close(clear=True)
    assert list(tmp_path.iterdir()) == []


def test_close_without_clear_leaves_it_to_each_connector(tmp_path: pathlib.Path) -> None:
    filled(tmp_path, clear=True).close()
    assert [path.name for path in tmp_path.iterdir()] == ['theirs']


def test_close_with_clear_false_clears_nothing(tmp_path: pathlib.Path) -> None:
    filled(tmp_path, clear=True).close(clear=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ['ours', 'theirs']
    assert len(list((tmp_path / 'ours').iterdir())) >= 2


def resolve_all(pickled: bytes) -> list[Any]:
    return [extract(proxy) for proxy in pickle.loads(pickled)]


@pytest.mark.parametrize('process', PROCESSES)
def test_a_batch_of_proxies_resolves_in_another_process(store: Store[Any], process: str) -> None:
    proxies = store.proxy_batch(VALUES)
    assert all(isinstance(proxy, Proxy) for proxy in proxies)
    answer = PROCESSES[process](resolve_all, pickle.dumps(proxies))
    assert len(answer) == len(VALUES)
    assert all(same(one, other) for one, other in zip(answer, VALUES))


def test_batches_are_split_by_policy_and_keep_their_order(tmp_path: pathlib.Path) -> None:
    connector = MultiConnector(
        {
            'small': (LocalConnector(), Policy(max_size_bytes=200, priority=1)),
            'large': (FileConnector(str(tmp_path / 'large')), Policy()),
        },
    )
    store = open_store(connector)
    values = [bytes(size) for size in [10, 5_000, 0, 20_000, 30, 100_000]]
    keys = store.put_batch(values)
    assert [key.connector_name for key in keys] == ['small', 'large'] * 3
    assert [store.get(key) for key in keys] == values
    raw = connector.get_batch(keys)
    assert [len(each or b'') for each in raw] == [len(value) + len(b'BS\n') for value in values]
    store.evict(keys[1])
    store.evict(keys[4])
    assert [each is None for each in connector.get_batch(keys)] == [False, True, False, False, True, False]
    assert connector.put_batch([]) == []
    assert connector.get_batch([]) == []
    # Keys stay usable as lists, as JSON gives them back.
    listed = [[key.connector_name, list(key.connector_key)] for key in keys]
    assert connector.get_batch(listed) == connector.get_batch(keys)


def test_an_owned_proxy_evicts_when_it_goes(store: Store[Any]) -> None:
    owned = store.owned_proxy({'a': 1})
    key = get_key(owned)
    assert store.exists(key)
    assert owned == {'a': 1}
    del owned
    gc.collect()
    assert not store.connector.exists(key)


def test_a_borrowed_proxy_resolves_in_another_process(store: Store[Any]) -> None:
    owned = store.owned_proxy([1, 2, 3], populate_target=False)
    borrowed = borrow(owned)
    with pytest.raises(MutableBorrowError):
        mut_borrow(owned)
    assert elsewhere(resolve, pickle.dumps(borrowed)) == [1, 2, 3]
    assert store.exists(get_key(owned)), 'who borrowed it does not evict it'
    del borrowed
    gc.collect()
    mutable = mut_borrow(owned)
    assert in_process('spawn', resolve, pickle.dumps(mutable)) == [1, 2, 3]
    del mutable


def test_a_clone_is_another_object(store: Store[Any]) -> None:
    owned = store.owned_proxy([1, 2, 3])
    other = clone(owned)
    key, other_key = get_key(owned), get_key(other)
    assert key != other_key
    del owned
    gc.collect()
    assert not store.connector.exists(key)
    assert store.connector.exists(other_key)
    assert other == [1, 2, 3]


def replaceable(directory: pathlib.Path) -> MultiConnector:
    return MultiConnector(
        {
            'memory': (LocalConnector(write_once=False), Policy(superset_tags=['memory'])),
            'files': (FileConnector(str(directory), write_once=False), Policy()),
        },
    )


@pytest.mark.parametrize('process', PROCESSES)
def test_an_update_of_an_owned_proxy_is_seen_elsewhere(tmp_path: pathlib.Path, process: str) -> None:
    store = open_store(replaceable(tmp_path))
    register_store(store)
    for longer in [[1, 2, 3, 4], list(range(10_000)), []]:
        owned = store.owned_proxy([1, 2, 3])
        owned[:] = longer
        update(owned)
        assert PROCESSES[process](resolve, pickle.dumps(borrow(owned, populate_target=False))) == longer
        mutable = mut_borrow(owned)
        mutable.append('more')
        update(mutable)
        del mutable
        gc.collect()
        assert PROCESSES[process](resolve, pickle.dumps(borrow(owned, populate_target=False))) == [*longer, 'more']


def test_an_update_in_process_memory_is_seen_there(tmp_path: pathlib.Path) -> None:
    store = open_store(replaceable(tmp_path), cache_size=0)
    register_store(store)
    owned = store.owned_proxy([1, 2, 3], superset_tags=['memory'])
    owned.append(4)
    update(owned)
    assert store.get(get_key(owned)) == [1, 2, 3, 4]


@pytest.mark.parametrize('tags', [[], ['memory']])
def test_without_being_asked_no_object_is_replaced(store: Store[Any], tags: list[str]) -> None:
    register_store(store)
    owned = store.owned_proxy([1, 2, 3], superset_tags=tags)
    owned.append(4)
    with pytest.raises(AlreadyExistsError, match='write_once'):
        update(owned)
    raw = store.connector.get(get_key(owned))
    assert deserialize(raw) == [1, 2, 3]


def consumed(messages: list[bytes]) -> list[Any]:
    """All that a consumer gets of these messages."""
    incoming: queue.Queue[bytes] = queue.Queue()
    for message in messages:
        incoming.put(message)
    with StreamConsumer[Any](QueueSubscriber(incoming, timeout=60)) as consumer:
        return [(metadata, value) for metadata, value in consumer.iter_objects_with_metadata()]


@pytest.mark.parametrize('batch_size', [1, 2, 5])
@pytest.mark.parametrize('process', ['here', *PROCESSES])
def test_a_stream_arrives_in_order(store: Store[Any], batch_size: int, process: str) -> None:
    sent: queue.Queue[bytes] = queue.Queue()
    publisher = QueuePublisher({'topic': sent})
    with StreamProducer[Any](publisher, stores={'topic': store}, batch_size=batch_size) as producer:
        for n, value in enumerate(VALUES):
            producer.send('topic', value, metadata={'n': n})
        producer.close_topics('topic')
        messages = [sent.get_nowait() for _ in range(sent.qsize())]
    answer = consumed(messages) if process == 'here' else PROCESSES[process](consumed, messages)
    assert [metadata['n'] for metadata, _ in answer] == list(range(len(VALUES)))
    assert all(same(value, expected) for (_, value), expected in zip(answer, VALUES))
    directory = pathlib.Path(store.connector.config()['files'][1]['store_dir'])
    assert list(directory.iterdir()) == [], 'what was consumed is evicted'


def test_a_stream_of_proxies_resolves(store: Store[Any]) -> None:
    topic: queue.Queue[bytes] = queue.Queue()
    publisher = QueuePublisher({'topic': topic})
    producer = StreamProducer[Any](publisher, default_store=store, filter_=lambda metadata: metadata['skip'])
    for n in range(6):
        producer.send('topic', {'n': n}, metadata={'skip': n % 2 == 1})
    producer.close_topics('topic')
    consumer = StreamConsumer[Any](QueueSubscriber(topic, timeout=60))
    proxies = list(consumer)
    assert all(isinstance(proxy, Proxy) for proxy in proxies)
    assert [proxy['n'] for proxy in proxies] == [0, 2, 4]
    producer.close()
    consumer.close()


NAMES = [
    ['connectors'],
    ['dormant_connectors'],
    ['connectors', 'dormant_connectors'],
    ['dormant_connectors', 'other', 'connectors'],
    ['self', 'cls', 'config', 'clear'],
]


@pytest.mark.parametrize('names', NAMES)
def test_connectors_may_be_called_as_the_arguments(tmp_path: pathlib.Path, names: list[str]) -> None:
    connector = MultiConnector(
        {
            name: (FileConnector(str(tmp_path / name), clear=False), Policy(superset_tags=[name], priority=len(name)))
            for name in names
        },
    )
    store = open_store(connector)
    for name in names:
        proxy = store.proxy(name, superset_tags=[name])
        assert get_key(proxy).connector_name == name
        assert elsewhere(resolve, pickle.dumps(proxy)) == name
    again = MultiConnector(**connector.config())
    assert list(again.connectors) == names
    assert again.config() == connector.config()


def test_connectors_called_as_the_arguments_may_be_dormant(tmp_path: pathlib.Path) -> None:
    connector = MultiConnector(
        dormant_connectors=(FILE, {'store_dir': str(tmp_path / 'one')}, {}),
        connectors=(FILE, {'store_dir': str(tmp_path / 'two')}, {'host_pattern': OTHER_HOST}),
    )
    assert list(connector.connectors) == ['dormant_connectors']
    assert list(connector.dormant_connectors or {}) == ['connectors']
    proxy = pickle.dumps(open_store(connector).proxy('object'))
    assert elsewhere(resolve, proxy, host=OTHER_HOST) == 'object'


@pytest.mark.parametrize('value', VALUES, ids=lambda value: type(value).__name__)
def test_views_of_memory_are_deserialized(tmp_path: pathlib.Path, value: Any) -> None:
    connector = MultiConnector(
        {
            'memory': (LocalConnector(zero_copy=True), Policy(max_size_bytes=100, priority=1)),
            'files': (FileConnector(str(tmp_path), zero_copy=True), Policy()),
        },
    )
    store = open_store(connector, cache_size=0)
    register_store(store)
    key = store.put(value)
    view = connector.get(key)
    assert isinstance(view, memoryview)
    assert view.readonly
    first = store.get(key)
    assert same(first, value)
    proxy = store.proxy(value, evict=True)
    store.evict(key)
    assert same(extract(proxy), value)
    store.close(clear=True)
    assert same(first, value), 'what was read outlives the object and the connector'
    assert bytes(view)[:2] in {b'BS', b'US', b'PK', b'NP'}


def test_views_of_memory_cross_a_process(tmp_path: pathlib.Path) -> None:
    connector = MultiConnector({'files': (FileConnector(str(tmp_path), zero_copy=True), Policy())})
    for value in VALUES:
        assert same(elsewhere(resolve, pickle.dumps(open_store(connector).proxy(value))), value)


def pickled_proxy(file: Any, multi: Any, directory: pathlib.Path, size: int) -> bytes:
    """The proxy of an object behind two file connectors; the lengths of all paths and names are the same for both."""
    connector = multi.MultiConnector(
        {
            'small': (file.FileConnector(str(directory / 'small')), multi.Policy(max_size_bytes=1000)),
            'large': (file.FileConnector(str(directory / 'large')), multi.Policy(min_size_bytes=1001)),
        },
    )
    return pickle.dumps(Store(f'store-{uuid.uuid4()}', connector).proxy(bytes(size)))


@pytest.mark.parametrize('size', [10, 100_000])
def test_a_proxy_is_not_much_larger_than_upstreams(tmp_path: pathlib.Path, size: int) -> None:
    theirs = len(pickled_proxy(upstream_file, upstream_multi, tmp_path / 'a', size))
    ours = len(pickled_proxy(file, multi, tmp_path / 'b', size))
    print(f'a pickled proxy of {size} bytes: ours {ours} bytes, upstream {theirs} bytes, ratio {ours / theirs:.3f}')
    assert ours <= 1.1 * theirs


def test_the_metrics_of_a_store_work(tmp_path: pathlib.Path) -> None:
    store = open_store(MultiConnector.from_config(config(tmp_path)), metrics=True)
    assert store.metrics is not None
    keys = store.put_batch(['one', 'two'])
    key = store.put('three')
    assert [store.get(each) for each in [*keys, key]] == ['one', 'two', 'three']
    metrics = store.metrics.get_metrics(key)
    assert metrics is not None
    assert metrics.times['store.put'].count == 1
    assert metrics.times['store.get'].count == 1


def test_a_store_is_rebuilt_from_its_config(store: Store[MultiConnector]) -> None:
    key = store.put('object')
    config = store.config()
    assert config.connector.kind == 'crossdock.connectors.multi.MultiConnector'
    for copied in [config, pickle.loads(pickle.dumps(config)), StoreConfig(**config.model_dump())]:
        again = Store.from_config(copied)
        assert type(again.connector) is MultiConnector
        assert again.get(key) == 'object'
        assert again.config() == config


def test_the_protocols_of_upstream_are_kept(store: Store[MultiConnector]) -> None:
    children = [connector for connector, _ in store.connector.connectors.values()]
    assert len(children) == 3
    for connector in [store.connector, *children]:
        assert isinstance(connector, protocols.Connector)
        assert isinstance(connector, protocols.DeferrableConnector)
        assert import_from_path(class_path(connector)) is type(connector)


def test_proxies_name_no_class_of_upstreams_connectors(store: Store[MultiConnector]) -> None:
    pickled = pickle.dumps(store.proxy('object'))
    assert b'crossdock.connectors.multi' in pickled
    assert b'proxystore.connectors' not in pickled
    assert get_factory(pickle.loads(pickled)).store_config == store.config()

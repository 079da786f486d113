"""ProxyStore's Store, futures and streams over connectors to real servers, and a fleet of which some use its RedisConnector."""

from __future__ import annotations

import json
import os
import pathlib
import pickle
import queue
import random
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from proxystore.connectors import multi as upstream_multi
from proxystore.connectors import redis as upstream_redis
from proxystore.connectors.protocols import Connector, DeferrableConnector
from proxystore.proxy import extract
from proxystore.store import Store
from proxystore.store.ref import clone, update
from proxystore.stream import StreamConsumer, StreamProducer
from proxystore.stream.shims.queue import QueuePublisher, QueueSubscriber

import crossdock
import crossdock.proxystore
import servers
from crossdock.connectors.file import FileConnector
from crossdock.connectors.local import LocalConnector
from crossdock.connectors.multi import MultiConnector, Policy
from crossdock.connectors.object_store import ObjectStoreConnector, ObjectStoreKey
from crossdock.connectors.redis import RedisConnector, RedisKey
from helpers import class_path, elsewhere, in_fork, in_process
from servers import Redis

OBJECTS = [b'', b'x', b'small object', bytes(range(256)) * 4, random.Random(1).randbytes(1_000_000)]
PROCESSES: dict[str, Callable[..., Any]] = {
    'os.fork': in_fork,
    'spawn': lambda function, *arguments: in_process('spawn', function, *arguments),
    'forkserver': lambda function, *arguments: in_process('forkserver', function, *arguments),
    'a new python': elsewhere,
}


@pytest.fixture()
def server() -> Iterator[Redis]:
    with Redis() as started:
        yield started


def all_channels(directory: pathlib.Path, server: Redis) -> MultiConnector:
    """Process memory for what is private; files, Redis and S3 by size."""
    return MultiConnector(
        {
            'memory': (LocalConnector(), Policy(priority=9, superset_tags=['private'], subset_tags=['private'])),
            'redis': (RedisConnector(server.host, server.port, clear=True), Policy(max_size_bytes=100, priority=2)),
            'files': (FileConnector(directory / 'objects'), Policy(max_size_bytes=10_000, priority=1)),
            's3': (ObjectStoreConnector(**servers.bucket(clear=True)), Policy()),
        },
    )


@pytest.fixture()
def multi(tmp_path: pathlib.Path, server: Redis) -> Iterator[MultiConnector]:
    with all_channels(tmp_path, server) as built:
        yield built


KINDS: dict[str, Callable[[pathlib.Path, Redis], Any]] = {
    'redis': lambda directory, server: RedisConnector(server.host, server.port, clear=True),
    's3': lambda directory, server: ObjectStoreConnector(**servers.bucket(clear=True)),
    'multi': all_channels,
}


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, tmp_path: pathlib.Path, server: Redis) -> Iterator[Store[Any]]:
    connector = KINDS[request.param](tmp_path, server)
    # Other processes have no such store yet and build it; a target kept in the proxy would hide what was not stored.
    with Store(f'store-{uuid.uuid4()}', connector, populate_target=False) as built:
        yield built


VALUES: list[Any] = ['text', {'a': [1, 2.5, None]}, list(range(1_000)), b'x' * 100_000]


def resolve(pickled: bytes) -> Any:
    return [extract(proxy) for proxy in pickle.loads(pickled)]


@pytest.mark.parametrize('process', PROCESSES)
def test_proxies_resolve_in_other_processes(store: Store[Any], process: str) -> None:
    proxies = [*(store.proxy(value) for value in VALUES), *store.proxy_batch(VALUES)]
    assert PROCESSES[process](resolve, pickle.dumps(proxies)) == VALUES * 2


def fill(future: Any) -> bool:
    before = future.done()
    future.set_result('from elsewhere')
    return bool(before)


@pytest.mark.parametrize('process', PROCESSES)
def test_futures_are_set_in_other_processes(store: Store[Any], process: str) -> None:
    future: Any = store.future(polling_interval=0.01, polling_timeout=60)
    proxy = future.proxy()
    assert PROCESSES[process](fill, future) is False
    assert future.done() and future.result() == 'from elsewhere'
    assert proxy == 'from elsewhere'


def test_owned_proxies_evict_clone_and_update(server: Redis) -> None:
    connector = RedisConnector(server.host, server.port, write_once=False)
    with Store(f'store-{uuid.uuid4()}', connector, populate_target=False, cache_size=0) as store:
        owned = store.owned_proxy([1, 2])
        other = clone(owned)
        owned.append(3)
        update(owned)
        assert server.client().dbsize() == 2
        del owned
        assert server.client().dbsize() == 1
        assert other == [1, 2]
        del other
        assert server.client().dbsize() == 0


def consumed(messages: list[bytes]) -> list[Any]:
    incoming: queue.Queue[bytes] = queue.Queue()
    for message in messages:
        incoming.put(message)
    with StreamConsumer[Any](QueueSubscriber(incoming, timeout=60)) as consumer:
        return list(consumer.iter_objects())


@pytest.mark.parametrize('process', PROCESSES)
def test_streams_arrive_in_order_in_other_processes(store: Store[Any], process: str) -> None:
    sent: queue.Queue[bytes] = queue.Queue()
    with StreamProducer[Any](QueuePublisher({'topic': sent}), stores={'topic': store}, batch_size=3) as producer:
        for value in VALUES:
            producer.send('topic', value)
        producer.close_topics('topic')
        messages = [sent.get_nowait() for _ in range(sent.qsize())]
    assert PROCESSES[process](consumed, messages) == VALUES


def test_a_store_is_rebuilt_from_its_config(store: Store[Any]) -> None:
    key = store.put('object')
    again = Store.from_config(store.config())
    assert again.get(key) == 'object'
    assert type(again.connector) is type(store.connector)
    again.close()
    assert store.get(key) == 'object', 'closing that one has cleared nothing'


def test_the_protocols_of_upstream_are_kept(store: Store[Any]) -> None:
    assert isinstance(store.connector, Connector) and isinstance(store.connector, DeferrableConnector)


def test_objects_go_where_the_policies_say(multi: MultiConnector, server: Redis) -> None:
    sizes = {'redis': 10, 'files': 1_000, 's3': 100_000}
    for name, size in sizes.items():
        assert multi.explain(size_bytes=size).route == name
        key = multi.put(bytes(size))
        assert key.connector_name == name and multi.get(key) == bytes(size) and multi.exists(key)
        multi.evict(key)
        assert multi.get(key) is None
    assert type(multi.put(b'x').connector_key) is RedisKey
    assert type(multi.put(bytes(20_000)).connector_key) is ObjectStoreKey
    private = multi.put(b'mine', subset_tags=['private'], superset_tags=['private'])
    assert private.connector_name == 'memory'
    stats = multi.stats()
    assert all(stats[name]['put']['objects'] >= 1 for name in ('memory', 'redis', 'files', 's3'))


def test_a_batch_is_parted_and_keeps_its_order(multi: MultiConnector) -> None:
    data = [os.urandom(size) for size in [10, 1_000, 100_000] * 30]
    keys = multi.put_batch(data)
    assert [key.connector_name for key in keys] == ['redis', 'files', 's3'] * 30
    assert multi.get_batch(keys) == data
    assert multi.get_batch(json.loads(json.dumps(keys))) == data
    views = multi.get_batch(keys[::-1], zero_copy=True)
    assert [bytes(view) for view in views] == data[::-1]
    calls = multi.stats()
    assert {calls[name]['put_batch']['operations'] for name in ('redis', 'files', 's3')} == {1}


def test_closing_with_clear_removes_the_objects_everywhere(
    multi: MultiConnector, server: Redis, tmp_path: pathlib.Path
) -> None:
    other = MultiConnector.from_config(multi.config())
    keys = multi.put_batch([bytes(size) for size in [10, 1_000, 100_000] * 3])
    server.client().set('foreign', 'stays')
    Store(f'store-{uuid.uuid4()}', multi).close(clear=True)
    assert other.get_batch([key for key in keys if key.connector_name != 'files']) == [None] * 6
    assert not (tmp_path / 'objects').exists()
    assert server.client().keys() == [b'foreign']
    other.close()


def test_policy_files_name_servers(tmp_path: pathlib.Path, server: Redis) -> None:
    bucket = servers.bucket()
    options = ', '.join(f'{name} = {json.dumps(value)}' for name, value in bucket['options'].items())
    name, _, prefix = bucket['url'].removeprefix('s3://').partition('/')
    text = f"""
        [connectors.cache]
        type = "redis"
        url = "redis://{server.host}:{server.port}/3"
        prefix = "loaded:"
        ttl = "1h"
        policy = {{ max_size_bytes = 100, priority = 2 }}

        [connectors.same]
        type = "s3"
        bucket = "{name}"
        prefix = "{prefix}"
        {options.replace(', ', chr(10))}
        policy = {{ max_size_bytes = "1 kB", priority = 1 }}

        [connectors.bulk]
        type = "object_store"
        url = "{bucket['url']}"
        options = {{ {options} }}
    """
    with crossdock.load(text) as loaded:
        keys = loaded.put_batch([bytes(10), bytes(500), bytes(5_000)])
        assert [key.connector_name for key in keys] == ['cache', 'same', 'bulk']
        assert loaded.get_batch(keys) == [bytes(10), bytes(500), bytes(5_000)]
        found = server.client(db=3)
        [stored] = found.keys()
        assert stored == f'loaded:{keys[0].connector_key.redis_key}'.encode() and found.ttl(stored) > 3_000
        config = loaded.config()
        assert config['cache'][0] == 'crossdock.connectors.redis.RedisConnector'
        assert {config[name][0] for name in ('same', 'bulk')} == {
            'crossdock.connectors.object_store.ObjectStoreConnector'
        }
        again = crossdock.load(json.dumps(config))
        assert again.get_batch(keys) == loaded.get_batch(keys) and again.config() == config
        assert MultiConnector(**config).get_batch(keys) == loaded.get_batch(keys)


# A fleet of both.


def theirs(server: Redis) -> upstream_redis.RedisConnector:
    return upstream_redis.RedisConnector(server.host, server.port)


def test_either_reads_what_the_other_wrote(server: Redis) -> None:
    their, our = theirs(server), RedisConnector(server.host, server.port)
    for data in OBJECTS:
        mine, yours = our.put(data), their.put(data)
        assert their.get(mine) == data and our.get(yours) == data
        assert their.exists(mine) and our.exists(yours)
        # By keys of the other class, too: of a process that has only one of the packages.
        assert our.get(upstream_redis.RedisKey(mine.redis_key)) == data
        assert their.get(RedisKey(yours.redis_key)) == data
    mine, yours = our.put_batch(OBJECTS), their.put_batch(OBJECTS)
    assert their.get_batch(mine) == OBJECTS and our.get_batch(yours) == OBJECTS
    assert our.get_batch([*mine, *yours]) == OBJECTS * 2
    for key in mine:
        their.evict(key)
    for key in yours:
        our.evict(key)
    assert our.get_batch([*mine, *yours]) == [None] * 10 == their.get_batch([*mine, *yours])
    new, old = our.new_key(), their.new_key()
    their.set(new, b'a')
    our.set(old, b'b')
    assert our.get(new) == b'a' and their.get(old) == b'b'


def connector_of(side: str, host: str, port: int, *, nested: bool) -> Any:
    connectors: Any
    if side == 'theirs':
        connectors = upstream_multi, upstream_redis.RedisConnector(host, port)
    else:
        from crossdock.connectors import multi

        connectors = multi, RedisConnector(host, port)
    module, connector = connectors
    return module.MultiConnector({'redis': (connector, module.Policy())}) if nested else connector


def write(side: str, host: str, port: int, nested: bool) -> tuple[str, bytes]:
    connector = connector_of(side, host, port, nested=nested)
    keys = [*(connector.put(data) for data in OBJECTS), *connector.put_batch(OBJECTS)]
    return class_path(connector), pickle.dumps(keys)


def read(side: str, host: str, port: int, nested: bool, pickled: bytes) -> None:
    connector = connector_of(side, host, port, nested=nested)
    keys = pickle.loads(pickled)
    assert [connector.get(key) for key in keys] == OBJECTS * 2
    assert connector.get_batch(keys) == OBJECTS * 2
    for key in keys:
        connector.evict(key)


@pytest.mark.parametrize('nested', [False, True], ids=['bare', 'in a multi-connector'])
@pytest.mark.parametrize('process', ['spawn', 'a new python'])
def test_a_mixed_fleet_works_in_both_directions(server: Redis, process: str, nested: bool) -> None:
    run = PROCESSES[process]
    for writer, reader in [('theirs', 'ours'), ('ours', 'theirs')]:
        path, keys = run(write, writer, server.host, server.port, nested)
        assert path.startswith('proxystore.' if writer == 'theirs' else 'crossdock.')
        run(read, reader, server.host, server.port, nested, keys)
        assert server.client().dbsize() == 0


@pytest.mark.parametrize('process', ['spawn', 'os.fork'])
def test_proxies_of_either_resolve_and_keys_go_through_the_store_of_the_other(server: Redis, process: str) -> None:
    name = f'store-{uuid.uuid4()}'
    their = Store(f'{name}-theirs', theirs(server), populate_target=False)
    our = Store(f'{name}-ours', RedisConnector(server.host, server.port), populate_target=False)
    proxies = [their.proxy(VALUES[1]), our.proxy(VALUES[1])]
    assert PROCESSES[process](resolve, pickle.dumps(proxies)) == [VALUES[1]] * 2
    assert our.get(their.put(VALUES[1])) == VALUES[1] == their.get(our.put(VALUES[1]))
    our.close()
    their.close()


def test_the_others_objects_are_cleared_too_and_nothing_else(server: Redis) -> None:
    their, our = theirs(server), RedisConnector(server.host, server.port)
    server.client().set('foreign', 'stays')
    keys = [their.put(b'a'), our.put(b'b')]
    our.close(clear=True)
    assert their.get_batch(keys) == [None, None]
    assert server.client().keys() == [b'foreign']


def test_their_configs_build_ours_once_installed(server: Redis) -> None:
    config = upstream_multi.MultiConnector({'redis': (theirs(server), upstream_multi.Policy())}).config()
    assert class_path(MultiConnector.from_config(config).connectors['redis'].connector).startswith('proxystore.')
    with crossdock.proxystore.install():
        assert upstream_redis.RedisConnector is RedisConnector and upstream_redis.RedisKey is RedisKey
        built = MultiConnector.from_config(json.loads(json.dumps(config))).connectors['redis'].connector
        assert type(built) is RedisConnector and built.get(built.put(b'object')) == b'object'
        assert type(pickle.loads(pickle.dumps(upstream_redis.RedisKey('x')))) is RedisKey
    assert upstream_redis.RedisConnector is not RedisConnector


def test_a_cleared_flag_in_their_config_clears_nothing(server: Redis) -> None:
    config = {**theirs(server).config(), 'clear': True}
    with RedisConnector.from_config(config) as built:
        key = built.put(b'object')
    assert RedisConnector(server.host, server.port).get(key) == b'object'


def without_their_client(host: str, port: int) -> str:
    """In a process that does not have the client library which ProxyStore's RedisConnector needs."""
    for name in [
        name for name in sys.modules if name.partition('.')[0] == 'redis' or name == 'proxystore.connectors.redis'
    ]:
        del sys.modules[name]
    sys.modules['redis'] = None  # type: ignore[assignment]
    path = 'proxystore.connectors.redis.RedisConnector'
    config = {'redis': (path, {'hostname': host, 'port': port, 'clear': False}, {})}
    with crossdock.proxystore.install():
        multi = MultiConnector.from_config(config)
        assert multi.get(multi.put(b'object')) == b'object'
        kind = class_path(multi.connectors['redis'].connector)
    assert 'proxystore.connectors.redis' not in sys.modules
    return kind


def test_their_configs_build_ours_where_their_client_is_not_installed(server: Redis) -> None:
    assert elsewhere(without_their_client, server.host, server.port) == 'crossdock.connectors.redis.RedisConnector'


def test_the_package_needs_no_client_library() -> None:
    code = 'import sys; sys.modules["redis"] = None; sys.modules["proxystore"] = None; '
    code += 'from crossdock.connectors.redis import RedisConnector; print(RedisConnector("h"))'
    run = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert run.stdout == "RedisConnector(hostname='h', port=6379)\n"

"""RedisConnector against a real server: what it takes, what it stores, what it says."""

from __future__ import annotations

import json
import os
import pathlib
import pickle
import uuid
from typing import Any

import pytest

from crossdock.checkup import Checkup
from crossdock.connectors.file import FileKey
from crossdock.connectors.multi import MultiConnector, Policy
from crossdock.connectors.redis import RedisConnector, RedisKey
from crossdock.exceptions import (
    AlreadyExistsError,
    ClosedError,
    CorruptError,
    InvalidConfigError,
    InvalidKeyError,
    TooLargeError,
    UnavailableError,
    UnsupportedError,
)
from servers import Redis, eventually, options, shared

OBJECT = bytes(range(256)) * 4
UUID = str(uuid.uuid5(uuid.NAMESPACE_URL, 'crossdock'))


@pytest.fixture()
def server() -> Redis:
    return shared()


@pytest.fixture()
def connector(server: Redis):
    with RedisConnector(**options(clear=True)) as built:
        yield built


def test_it_takes_what_upstreams_takes(server: Redis) -> None:
    for built in (
        RedisConnector(server.host, server.port),
        RedisConnector(server.host, server.port, False),
        RedisConnector(hostname=server.host, port=server.port, clear=False),
    ):
        assert (built.hostname, built.port, built.clear) == (server.host, server.port, False)
        key = built.put(OBJECT)
        assert server.client().get(key.redis_key) == OBJECT, 'the bare bytes under the bare id'
        assert uuid.UUID(key.redis_key).version == 4
        built.evict(key)
        built.close()


def test_nothing_is_connected_before_the_first_call() -> None:
    built = RedisConnector('no-such-host.invalid', 1)
    assert built.config() == {'hostname': 'no-such-host.invalid', 'port': 1, 'clear': False}
    built.close()
    built.close()


def test_the_port_may_be_left_out() -> None:
    assert RedisConnector('localhost').port == 6379


def test_keys_are_named_tuples(connector: RedisConnector) -> None:
    key = connector.put(OBJECT)
    assert key == RedisKey(key.redis_key, len(OBJECT), key.checksum)
    assert key.checksum is not None and len(key.checksum) == 16
    assert pickle.loads(pickle.dumps(key)) == key
    assert connector.get(json.loads(json.dumps(key))) == OBJECT
    assert connector.get((key.redis_key,)) == OBJECT
    assert connector.get(key._replace(size=None, checksum=None)) == OBJECT


@pytest.mark.parametrize(
    'key',
    [
        RedisKey('x'),
        RedisKey(''),
        RedisKey('*'),
        RedisKey(UUID.upper()),
        RedisKey(f'{UUID}\r\nFLUSHALL'),
        RedisKey(UUID, -1),
        RedisKey(UUID, 1, 'x'),
        FileKey(UUID),
        (),
        7,
        'key',
    ],
    ids=repr,
)
def test_what_is_no_key_is_refused(connector: RedisConnector, key: Any) -> None:
    for call in (connector.get, connector.exists, connector.evict):
        with pytest.raises(InvalidKeyError):
            call(key)
    with pytest.raises(InvalidKeyError):
        connector.get_batch([key])
    with pytest.raises(InvalidKeyError):
        connector.set(key, b'object')


def test_what_others_keep_is_out_of_reach(server: Redis, connector: RedisConnector) -> None:
    name = str(uuid.uuid4())
    server.client().rpush(f'{connector.config()["prefix"]}{name}', 'a', 'b')
    with pytest.raises(InvalidKeyError, match='holds something that is no object'):
        connector.get(RedisKey(name))
    with pytest.raises(InvalidKeyError):
        connector.get_batch([connector.put(OBJECT), RedisKey(name)])


def test_other_bytes_than_the_keys_are_corrupt(server: Redis, connector: RedisConnector) -> None:
    key = connector.put(OBJECT)
    name = f'{connector.config()["prefix"]}{key.redis_key}'
    for wrong in (OBJECT[:-1], OBJECT + b'x', b'', bytes(reversed(OBJECT))):
        server.client().set(name, wrong)
        with pytest.raises(CorruptError):
            connector.get(key)
        with pytest.raises(CorruptError):
            connector.get_batch([key])
        assert connector.get(key._replace(size=None)) == wrong
    server.client().set(name, OBJECT)
    assert connector.get(key) == OBJECT


@pytest.mark.parametrize('size', [0, 1, 1_000, 16_384, 16_385, 100_000, 1_048_577, 30_000_000])
def test_objects_of_every_size(connector: RedisConnector, size: int) -> None:
    given = os.urandom(size)
    key = connector.put(given)
    assert connector.get(key) == given
    view = connector.get(key, zero_copy=True)
    assert type(view) is memoryview and view.readonly and view == given
    assert connector.get(key._replace(size=None, checksum=None)) == given


def test_batches_of_many_and_of_mixed_sizes(connector: RedisConnector) -> None:
    given = [os.urandom(size) for size in [0, 1, 100, 20_000, 2_000_000] * 4] + [b'small'] * 10_000
    keys = connector.put_batch(given)
    assert connector.get_batch(keys) == given
    bare = [RedisKey(key.redis_key) for key in keys[:20]]
    assert connector.get_batch(bare) == given[:20]
    views = connector.get_batch(keys[:20], zero_copy=True)
    assert all(type(view) is memoryview for view in views) and [bytes(view) for view in views] == given[:20]


def test_a_batch_whose_keys_lie_takes_no_more_memory_than_it_gets(connector: RedisConnector) -> None:
    liar = RedisKey(str(uuid.uuid4()), 2**62)
    assert connector.get_batch([liar, connector.put(OBJECT)]) == [None, OBJECT]
    assert connector.get(liar) is None
    key = connector.put(OBJECT)
    with pytest.raises(CorruptError):
        connector.get(key._replace(size=2**62))


def test_objects_are_written_once_unless_told_otherwise(connector: RedisConnector) -> None:
    key = connector.new_key()
    assert connector.get(key) is None and not connector.exists(key)
    connector.set(key, OBJECT)
    connector.set(key, OBJECT)
    with pytest.raises(AlreadyExistsError, match='write_once'):
        connector.set(key, b'other')
    assert connector.get(key) == OBJECT
    loose = RedisConnector(**options(write_once=False, clear=True))
    key = loose.put(OBJECT)
    assert key == RedisKey(key.redis_key)
    loose.set(key, b'other')
    assert loose.get(key) == b'other'
    loose.close()


def test_objects_end_with_their_time_to_live(server: Redis) -> None:
    with RedisConnector(**options(ttl=0.05)) as brief, RedisConnector(**options(ttl='1h')) as long:
        kept, gone = long.put(OBJECT), brief.put(OBJECT)
        futures = brief.new_key()
        brief.set(futures, OBJECT)
        batch = brief.put_batch([OBJECT] * 3)
        eventually(lambda: brief.get_batch([gone, futures, *batch]) == [None] * 5)
        name = f'{long.config()["prefix"]}{kept.redis_key}'
        assert 3_500 < server.client().ttl(name) <= 3_600
        assert long.config()['ttl'] == 3600
        assert brief.config()['ttl'] == 0.05
        long.close(clear=True)


def test_prefixes_part_what_is_on_one_server(server: Redis) -> None:
    one, other = RedisConnector(**options()), RedisConnector(**options())
    key = one.put(OBJECT)
    assert other.get(key) is None
    assert server.client().get(f'{one.config()["prefix"]}{key.redis_key}') == OBJECT
    one.close(clear=True)


def test_clear_takes_our_names_below_the_prefix_and_nothing_else() -> None:
    with Redis() as server:
        client = server.client()
        foreign = {
            'session': b'1',
            f'other:{uuid.uuid4()}': b'2',
            f'run:{uuid.uuid4()}x': b'3',
            str(uuid.uuid4()): b'4',
        }
        client.mset(foreign)
        listed = f'run:{uuid.uuid4()}'
        client.rpush(listed, 'a')
        connector = RedisConnector(server.host, server.port, prefix='run:')
        connector.put_batch([OBJECT] * 5_000)
        connector.close(clear=True)
        assert sorted(client.keys()) == sorted(name.encode() for name in [*foreign, listed])
        # Without a prefix, all that looks as ProxyStore's does.
        RedisConnector(server.host, server.port, clear=True).close()
        assert len(client.keys()) == 4 and not client.exists(list(foreign)[3])
        RedisConnector(server.host, server.port).close()
        assert len(client.keys()) == 4


def test_only_who_built_it_by_hand_clears(server: Redis) -> None:
    connector = RedisConnector(**options(clear=True))
    key = connector.put(OBJECT)
    assert connector.config()['clear'] is False
    for other in (
        pickle.loads(pickle.dumps(connector)),
        RedisConnector.from_config({**connector.config(), 'clear': True}),
    ):
        assert other.clear is False
        other.close()
        assert connector.exists(key)
    connector.close()
    assert RedisConnector(**connector.config()).get(key) is None


def test_after_close_everything_is_refused(connector: RedisConnector) -> None:
    key = connector.put(OBJECT)
    connector.close()
    connector.close()
    for call in (
        lambda: connector.put(OBJECT),
        lambda: connector.put_batch([]),
        lambda: connector.get(key),
        lambda: connector.get_batch([]),
        lambda: connector.exists(key),
        lambda: connector.evict(key),
        connector.new_key,
        lambda: connector.set(key, OBJECT),
        connector.check,
        connector.gc,
    ):
        with pytest.raises(ClosedError):
            call()
    assert connector.config()['hostname'] == '127.0.0.1'


def test_a_checkup_tells_of_the_server(server: Redis, connector: RedisConnector) -> None:
    found = connector.check()
    assert type(found) is Checkup
    assert found.server is not None and f'{server.host}:{server.port}' in found.server
    assert found.durability is None
    assert all(0 < seconds < 100 for seconds in (found.put, found.get, found.evict))
    assert any('append-only file' in warning for warning in found.warnings)
    assert connector.gc() == {'removed': 0, 'bytes': 0, 'kept': 0}


@pytest.mark.parametrize(('appendfsync', 'level'), [('everysec', 'process'), ('always', 'host')])
def test_durability_is_what_the_server_does_for_it(appendfsync: str, level: str) -> None:
    with Redis('--aof', appendfsync) as server:
        connector = RedisConnector(server.host, server.port)
        assert connector.check().durability == level
        key = connector.put(OBJECT, durability='process')
        keys = connector.put_batch([OBJECT], durability=level)
        if level == 'process':
            with pytest.raises(UnsupportedError, match='host'):
                connector.put(OBJECT, durability='host')
            with pytest.raises(UnsupportedError):
                RedisConnector(server.host, server.port, durability='host').put(OBJECT)
        # With `everysec`, a server that is killed may have said yes while its file was busy.
        if level == 'host':
            server.kill()
        server.restart()
        assert connector.get_batch([key, *keys]) == [OBJECT] * 2


def test_too_large_objects_are_refused_before_they_are_sent() -> None:
    with Redis(proto_max_bulk_len='1mb') as server:
        connector = RedisConnector(server.host, server.port)
        key = connector.put(bytes(1 << 20))
        for call in (connector.put, lambda given: connector.put_batch([b'small', given])):
            with pytest.raises(TooLargeError, match='proto-max-bulk-len'):
                call(bytes((1 << 20) + 1))
        assert server.client().keys() == [key.redis_key.encode()]


def test_a_config_names_the_nodes_of_a_cluster() -> None:
    built = RedisConnector(nodes=['a.example', '[::1]:7000'], deadline=5)
    config = built.config()
    assert config == {'nodes': ['a.example:6379', '[::1]:7000'], 'deadline': 5, 'clear': False}
    assert RedisConnector(**config).config() == pickle.loads(pickle.dumps(built)).config() == config


@pytest.mark.parametrize('port', [6379, 7], ids=['port as usual', 'another port'])
@pytest.mark.parametrize(
    'given',
    [
        {},
        {'prefix': 'run:', 'ttl': 60, 'deadline': 2.5, 'retries': 0, 'write_once': False, 'integrity': 'size'},
        {'username': 'me', 'password': '${env:PASSWORD}', 'database': 3, 'durability': 'process'},
        {'tls': True, 'tls_ca_file': '/run/ca.pem', 'tls_cert_file': '/run/c.pem', 'tls_key_file': '/run/k.pem'},
        {'cluster': True, 'zero_copy': True},
    ],
    ids=['nothing', 'behaviour', 'login', 'tls', 'cluster'],
)
def test_a_config_says_what_differs_from_the_defaults(given: dict[str, Any], port: int) -> None:
    built = RedisConnector('cache.example', port, **given)
    config = built.config()
    assert config == {'hostname': 'cache.example', 'port': port, 'clear': False, **given}
    for again in (
        RedisConnector.from_config(config),
        RedisConnector(**config),
        RedisConnector.from_config(json.loads(json.dumps(config))),
        pickle.loads(pickle.dumps(built)),
    ):
        assert type(again) is RedisConnector and again.config() == config
    multi = MultiConnector({'redis': (built, Policy())})
    assert multi.config()['redis'][:2] == ('crossdock.connectors.redis.RedisConnector', config)


def test_the_defaults_written_out_are_the_defaults() -> None:
    plain = RedisConnector('h').config()
    defaults = {'database': 0, 'prefix': '', 'cluster': False, 'integrity': 'checksum', 'write_once': True}
    assert RedisConnector('h', 6379, **defaults, deadline=15, retries=3, zero_copy=False).config() == plain


@pytest.mark.parametrize(
    ('given', 'config'),
    [
        (
            {'url': 'redis://me:${env:PASSWORD}@cache.example:6380/2'},
            {
                'hostname': 'cache.example',
                'port': 6380,
                'username': 'me',
                'password': '${env:PASSWORD}',
                'database': 2,
            },
        ),
        ({'url': 'rediss://cache.example'}, {'hostname': 'cache.example', 'port': 6379, 'tls': True}),
        ({'url': '${env:REDIS_URL}'}, {'url': '${env:REDIS_URL}'}),
        ({'unix_socket': pathlib.Path('/run/redis.sock')}, {'unix_socket': '/run/redis.sock'}),
        ({'url': 'unix:///run/redis.sock?db=1'}, {'unix_socket': '/run/redis.sock', 'database': 1}),
        (
            {'sentinels': ('a', 'b:7'), 'sentinel_service': 'mine', 'sentinel_password': '${env:PASSWORD}'},
            {
                'sentinels': ['a:26379', 'b:7'],
                'sentinel_service': 'mine',
                'sentinel_password': '${env:PASSWORD}',
            },
        ),
    ],
    ids=['url', 'url with TLS', 'url in a reference', 'unix socket', 'url of a unix socket', 'sentinels'],
)
def test_there_are_other_ways_to_say_where_the_server_is(given: dict[str, Any], config: dict[str, Any]) -> None:
    built = RedisConnector(**given)
    assert built.config() == {**config, 'clear': False}
    assert (built.hostname, built.port) == (config.get('hostname'), config.get('port'))
    assert RedisConnector(**built.config()).config() == built.config()


@pytest.mark.parametrize(
    ('given', 'says'),
    [
        ({}, 'server is missing'),
        ({'hostname': ''}, 'hostname: it is empty'),
        ({'hostname': 'h', 'port': 0}, 'port: must be from 1 to 65535'),
        ({'hostname': 'h:6379'}, 'hostname must be the name or the address of a host; write its port as port'),
        ({'hostname': '[::1]'}, 'an address of IPv6 without brackets'),
        ({'hostname': 'h', 'deadline': 0}, 'deadline must be more than 0'),
        ({'unix_socket': 'redis.sock'}, 'unix_socket must be an absolute path'),
        ({'hostname': 'h', 'port': 70_000}, 'port: must be from 1 to 65535'),
        ({'hostname': 'h', 'port': '6379'}, 'port: must be a whole number'),
        ({'port': 6379}, 'port: it goes with hostname'),
        ({'hostname': 'h', 'url': 'redis://h'}, 'keep one of the two'),
        ({'url': 'redis://h', 'port': 7}, 'port: it goes with hostname'),
        ({'url': 'http://h'}, 'scheme'),
        ({'hostname': 'h', 'database': -1}, 'database: must be from 0'),
        ({'hostname': 'h', 'database': 1, 'cluster': True}, 'a cluster has database 0 only'),
        ({'nodes': []}, 'nodes: there are no nodes'),
        ({'nodes': ['a', ':x']}, 'is no address of a node'),
        ({'nodes': ['a'], 'hostname': 'h'}, 'keep one of the two'),
        ({'nodes': ['a'], 'database': 1}, 'a cluster has database 0 only'),
        ({'hostname': 'h', 'ttl': 0}, 'ttl must be at least a millisecond'),
        ({'hostname': 'h', 'ttl': -1}, 'ttl: a duration'),
        ({'hostname': 'h', 'ttl': 'soon'}, 'ttl: "soon" is not a duration'),
        ({'hostname': 'h', 'durability': 'backend'}, 'durability: unknown word "backend"'),
        ({'hostname': 'h', 'integrity': 'none'}, 'integrity: unknown word "none"'),
        ({'hostname': 'h', 'retries': 101}, 'retries: must be from 0 to 100'),
        ({'hostname': 'h', 'retries': 2**70}, 'retries: must fit in 64 bits'),
        ({'hostname': 'h', 'prefix': '${env:'}, 'prefix: '),
        ({'hostname': 'h', 'tls_cert_file': '/c'}, 'tls_cert_file and tls_key_file go together'),
        ({'unix_socket': '/s', 'tls': True}, 'a unix socket is not encrypted'),
        ({'sentinels': ['a']}, 'sentinel_service is missing'),
        ({'sentinels': 'a', 'sentinel_service': 's'}, 'sentinels: must be a list of strings'),
        ({'hostname': 'h', 'sentinel_service': 's'}, 'sentinel_service is given, but no sentinels'),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else '',
)
def test_wrong_options_are_named(given: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidConfigError) as raised:
        RedisConnector(**given)
    assert says in str(raised.value) and str(raised.value).startswith('RedisConnector: ')


@pytest.mark.parametrize('given', [{'hostname': b'h'}, {'hostname': 'h', 'prefix': {1, 2}}], ids=repr)
def test_options_of_types_that_no_config_has_are_type_errors(given: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=list(given)[-1]):
        RedisConnector(**given)


def test_an_unknown_field_of_a_config_is_named() -> None:
    with pytest.raises(InvalidConfigError, match="'hots'"):
        RedisConnector.from_config({'hostname': 'h', 'hots': 1})


class Derived(RedisConnector):
    def __init__(self, name: str) -> None:
        super().__init__(**options(clear=True))
        self.name = name

    def config(self) -> dict[str, Any]:
        return {'name': self.name}


def test_classes_derived_from_ours_work() -> None:
    with Derived('x') as built:
        assert repr(built).startswith('Derived(hostname=')
        assert built.get(built.put(OBJECT)) == OBJECT
        assert Derived.from_config(built.config()).name == 'x'
        multi = MultiConnector({'redis': (built, Policy())})
        key = multi.put(OBJECT, durability=None)
        assert multi.get(key) == OBJECT
        with pytest.raises(UnsupportedError):
            multi.put(OBJECT, durability='process')


CANARY = 's3cret-canary'


@pytest.mark.parametrize(
    'given',
    [
        {'password': CANARY, 'hostname': 'h'},
        {'url': f'redis://:{CANARY}@h'},
        {'hostname': f'redis://:{CANARY}@h'},
        {'hostname': f':{CANARY}@h'},
        {'hostname': f':{CANARY}@${{env:HOST}}'},
        {'unix_socket': f'unix://:{CANARY}@/run/redis.sock'},
        {'sentinels': ['h', f'redis://:{CANARY}@h:26379'], 'sentinel_service': 's'},
        {'sentinels': [f':{CANARY}@h:26379'], 'sentinel_service': 's'},
    ],
    ids=repr,
)
def test_a_password_is_refused_wherever_it_stands_and_not_shown(given: dict[str, Any]) -> None:
    with pytest.raises(InvalidConfigError) as raised:
        RedisConnector(**given)
    assert CANARY not in f'{raised.value!r} {raised.value}'


def secret_ways(server: Redis, place: pathlib.Path) -> dict[str, dict[str, Any]]:
    file = place / 'password'
    file.write_text(CANARY)
    host = f'{server.host}:{server.port}'
    return {
        'env': {'hostname': server.host, 'port': server.port, 'password': '${env:REDIS_PASSWORD}'},
        'file': {'hostname': server.host, 'port': server.port, 'password': f'${{file:{file}}}'},
        'url': {'url': f'redis://:${{env:REDIS_PASSWORD}}@{host}'},
        'whole url': {'url': '${env:REDIS_URL}'},
        'unix socket': {'unix_socket': server.socket, 'password': '${env:REDIS_PASSWORD}'},
    }


def test_secrets_are_used_and_never_shown(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Redis(password=CANARY) as server:
        monkeypatch.setenv('REDIS_PASSWORD', CANARY)
        monkeypatch.setenv('REDIS_URL', f'redis://:{CANARY}@{server.host}:{server.port}')
        for name, given in secret_ways(server, tmp_path).items():
            built = RedisConnector(**given)
            key = built.put(OBJECT)
            assert built.get(key) == OBJECT, name
            multi = MultiConnector({'redis': (built, Policy())})
            shown = [built, multi, built.config(), built.check(), pickle.dumps(built), pickle.dumps(multi)]
            assert CANARY not in ''.join(map(repr, shown)), name
            assert RedisConnector(**built.config()).get(key) == OBJECT
        for given in secret_ways(server, tmp_path).values():
            # Another password than the server's: the message tells, but not the secret.
            server.client().config_set('requirepass', 'another')
            with pytest.raises(UnavailableError) as raised:
                RedisConnector(**given).put(OBJECT)
            server.password = 'another'
            assert CANARY not in repr(raised.value) and 'WRONGPASS' in str(raised.value)
            assert not raised.value.retryable
            server.client().config_set('requirepass', CANARY)
            server.password = CANARY


@pytest.mark.parametrize('given', [{'hostname': 'h', 'password': CANARY}, {'url': f'redis://:{CANARY}@h'}], ids=repr)
def test_a_literal_password_is_refused_without_showing_it(given: dict[str, Any]) -> None:
    with pytest.raises(InvalidConfigError, match='env:NAME') as raised:
        RedisConnector(**given)
    assert CANARY not in repr(raised.value) + str(raised.value)


def test_a_password_that_is_missing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv('NO_SUCH_PASSWORD', raising=False)
    built = RedisConnector('127.0.0.1', 1, password='${env:NO_SUCH_PASSWORD}')
    with pytest.raises(UnavailableError, match='NO_SUCH_PASSWORD'):
        built.put(OBJECT)
    with Redis(password=CANARY) as server, pytest.raises(UnavailableError, match='give the connector a password'):
        RedisConnector(server.host, server.port).put(OBJECT)

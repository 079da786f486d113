"""Redis servers of every kind: behind a password and TLS, at a unix socket, as a cluster, behind sentinels."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator
from typing import Any

import pytest

from crossdock.connectors.multi import MultiConnector, Policy
from crossdock.connectors.redis import RedisConnector
from crossdock.exceptions import UnavailableError
from helpers import elsewhere
from servers import Servers

SECRET = 's3cret'
DATA = [b'', b'x', b'small object', os.urandom(100_000)] * 10
KINDS: dict[str, list[str]] = {
    'password': ['redis', '--password', SECRET],
    'user': ['redis', '--user', f'me:{SECRET}'],
    'tls': ['redis', '--password', SECRET, '--tls'],
    'tls with certificates of clients': ['redis', '--tls', '--client-certificates'],
    'unix socket': ['redis', '--password', SECRET],
    'cluster': ['cluster', '--password', SECRET],
    'sentinel': ['sentinel', '--password', SECRET],
}


def options(kind: str, said: dict[str, Any]) -> dict[str, Any]:
    password = '${env:REDIS_PASSWORD}'
    match kind:
        case 'password':
            return {'hostname': said['host'], 'port': said['port'], 'password': password}
        case 'user':
            return {'url': f'redis://me:{password}@{said["host"]}:{said["port"]}'}
        case 'tls':
            return {'url': f'rediss://:{password}@{said["host"]}:{said["port"]}', 'tls_ca_file': said['tls']['ca']}
        case 'tls with certificates of clients':
            files = {'tls_ca_file': 'ca', 'tls_cert_file': 'client', 'tls_key_file': 'client_key'}
            return {
                'hostname': said['host'],
                'port': said['port'],
                **{option: said['tls'][name] for option, name in files.items()},
            }
        case 'unix socket':
            return {'unix_socket': said['socket'], 'password': password}
        case 'cluster':
            node = said['nodes'][0]
            return {'hostname': node['host'], 'port': node['port'], 'password': password, 'cluster': True}
        case _:
            sentinels = [f'{each["host"]}:{each["port"]}' for each in said['sentinels']]
            return {'sentinels': sentinels, 'sentinel_service': said['service'], 'password': password} | (
                {'sentinel_password': password} if said['sentinels'][0]['password'] else {}
            )


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture()
def server(kind: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Servers]:
    monkeypatch.setenv('REDIS_PASSWORD', SECRET)
    with Servers(*KINDS[kind]) as started:
        yield started


def work(connector: Any) -> None:
    keys = [*(connector.put(data) for data in DATA), *connector.put_batch(DATA)]
    assert [connector.get(key) for key in keys] == DATA * 2
    assert connector.get_batch(keys) == DATA * 2
    assert all(connector.exists(key) for key in keys)
    made = connector.new_key()
    connector.set(made, b'made')
    assert connector.get(made) == b'made'
    connector.evict(keys[0])
    assert connector.get_batch(keys[:2]) == [None, DATA[1]]


def work_elsewhere(pickled: bytes) -> None:
    work(pickle.loads(pickled))


def test_it_works_here_elsewhere_and_in_a_multi_connector(kind: str, server: Servers) -> None:
    connector = RedisConnector(**options(kind, server.said))
    work(connector)
    elsewhere(work_elsewhere, pickle.dumps(connector))
    multi = MultiConnector({'redis': (connector, Policy())})
    work(multi)
    elsewhere(work_elsewhere, pickle.dumps(multi))
    found = connector.check()
    assert found.server is not None and 'redis' in found.server
    key = connector.put(b'object')
    assert SECRET not in repr([connector, connector.config(), found, pickle.dumps(multi)])
    other = RedisConnector(**connector.config())
    connector.close(clear=True)
    assert other.get(key) is None


@pytest.mark.parametrize('kind', ['tls'])
def test_who_is_not_trusted_is_not_talked_to(kind: str, server: Servers) -> None:
    given = options(kind, server.said)
    del given['tls_ca_file']
    with pytest.raises(UnavailableError, match='certificate'):
        RedisConnector(**given, retries=0).put(b'object')


@pytest.mark.parametrize('kind', ['sentinel'])
def test_a_replica_that_is_promoted_is_found(kind: str, server: Servers) -> None:
    connector = RedisConnector(**options(kind, server.said), deadline=60)
    key = connector.put(b'object')
    server('promote')
    assert connector.get(connector.put(b'another')) == b'another'
    assert connector.get(key) in (b'object', None)


@pytest.mark.parametrize('kind', ['cluster'])
def test_a_batch_is_spread_over_all_nodes(kind: str, server: Servers) -> None:
    connector = RedisConnector(**options(kind, server.said))
    connector.put_batch([b'object'] * 300)
    sizes = [server('command', place, 'DBSIZE')['reply'] for place in range(3)]
    assert sum(map(int, sizes)) == 300 and all(int(size) > 0 for size in sizes)

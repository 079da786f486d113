"""`MultiConnector.check`: every connector is opened and tested, and none hides what is found of another."""

from __future__ import annotations

import pathlib
import threading
from typing import Any

import pytest

from crossdock.checkup import Checkup
from crossdock.connectors.file import FileConnector
from crossdock.connectors.local import LocalConnector
from crossdock.connectors.multi import MultiConnector, Policy
from crossdock.connectors.redis import RedisConnector
from crossdock.exceptions import ClosedError, TooLargeError, UnavailableError
from helpers import GENEROUS
from servers import Redis, eventually, options

LOCAL = 'crossdock.connectors.local.LocalConnector'
FILE = 'crossdock.connectors.file.FileConnector'


class Foreign(LocalConnector):
    """Called by its methods, as it may have changed them."""


class Forgetful(LocalConnector):
    def get(self, key: Any, **_: Any) -> Any:
        return None


class Ending(LocalConnector):
    def put(self, obj: Any) -> Any:
        raise KeyboardInterrupt


def test_what_works_is_measured(tmp_path: pathlib.Path) -> None:
    files, memory, foreign = FileConnector(tmp_path / 'objects'), LocalConnector(), Foreign()
    connector = MultiConnector(
        {
            'files': (files, Policy()),
            'memory': (memory, Policy()),
            'foreign': (foreign, Policy()),
            'redis': (RedisConnector(**options()), Policy()),
        },
    )
    found = connector.check()
    assert list(found) == ['files', 'memory', 'foreign', 'redis']
    for one in found.values():
        assert isinstance(one, Checkup) and min(one.put, one.get, one.evict) > 0
    assert found['files'][:2] == files.check()[:2] == (None, 'host')
    assert found['memory'][:2] == found['foreign'][:2] == (None, None)
    redis = found['redis']
    assert isinstance(redis, Checkup) and redis.server is not None and redis.server.startswith('redis ')
    assert any('append-only file' in warning for warning in redis.warnings)
    assert list((tmp_path / 'objects').iterdir()) == [] and repr(memory) == repr(LocalConnector())
    assert not any(connector.stats()['files']['put'].values()), 'nothing is counted'


def test_what_is_broken_hides_nothing(tmp_path: pathlib.Path) -> None:
    (tmp_path / 'file').write_bytes(b'')
    connector = MultiConnector.from_config(
        {
            'below': (FILE, {'store_dir': str(tmp_path / 'file' / 'below')}, {}),
            'nowhere': ('no.such.Class', {}, {}),
            'asleep': (LOCAL, {}, {'host_pattern': 'no-such-host'}),
            'full': (LOCAL, {'max_total_bytes': 3}, {}),
            'forgetful': (f'{__name__}.Forgetful', {}, {}),
            'works': (LOCAL, {}, {}),
        },
    )
    found = connector.check()
    assert list(found) == ['below', 'nowhere', 'full', 'forgetful', 'works']
    kinds = {name: type(one) for name, one in found.items()}
    assert kinds['below'] is kinds['nowhere'] is kinds['forgetful'] is UnavailableError
    assert (kinds['full'], kinds['works']) == (TooLargeError, Checkup)
    for name, words in {'below': 'file/below', 'nowhere': 'no', 'forgetful': 'is not there'}.items():
        error = found[name]
        assert isinstance(error, UnavailableError) and words in str(error)
        assert (error.connector, error.operation) == (name, 'check')


def test_a_nested_one_tells_of_its_connectors_together() -> None:
    redis = RedisConnector(**options())
    inner = MultiConnector({'redis': (redis, Policy()), 'memory': (LocalConnector(), Policy(priority=-1))})
    found = MultiConnector({'nested': (inner, Policy())}).check()['nested']
    assert isinstance(found, Checkup)
    assert [warning.split(': ')[0] for warning in found.warnings] == ['redis'] * len(redis.check().warnings)
    inner = MultiConnector({'memory': (LocalConnector(), Policy()), 'forgetful': (Forgetful(), Policy(priority=-1))})
    error = MultiConnector({'nested': (inner, Policy())}).check()['nested']
    assert isinstance(error, UnavailableError) and error.connector == 'nested/forgetful'


def test_what_ends_the_program_is_not_a_finding() -> None:
    with pytest.raises(KeyboardInterrupt):
        MultiConnector({'ending': (Ending(), Policy()), 'memory': (LocalConnector(), Policy())}).check()


def test_a_closed_one_is_closed() -> None:
    connector = MultiConnector({'memory': (LocalConnector(), Policy())})
    connector.close()
    with pytest.raises(ClosedError):
        connector.check()


@pytest.mark.parametrize('stopped', [0, 1])
def test_servers_are_tested_at_the_same_time(stopped: int) -> None:
    with Redis() as first, Redis() as second:
        servers = (first, second)
        connector = MultiConnector(
            {
                name: (RedisConnector(server.host, server.port, deadline='1h'), Policy())
                for name, server in zip(['first', 'second'], servers)
            },
        )
        waiting, going = servers[stopped], servers[1 - stopped]
        waiting.stop()
        found: dict[str, Any] = {}
        checker = threading.Thread(target=lambda: found.update(connector.check()))
        checker.start()
        eventually(lambda: going.client().info('stats')['keyspace_hits'] > 0)
        assert not found and checker.is_alive()
        waiting.go_on()
        checker.join(GENEROUS)
        assert [type(one) for one in found.values()] == [Checkup, Checkup]

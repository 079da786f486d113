"""Real servers for tests: on loopback, on free ports, and gone with the process that started them."""

from __future__ import annotations

import functools
import pathlib
import sys
import time
import uuid
from collections.abc import Callable
from typing import Any

import redis

from helpers import GENEROUS

sys.path.append(str(pathlib.Path(__file__).resolve().parents[2] / 'crossdock-servers' / 'python'))

from crossdock_servers import Servers


def eventually(condition: Callable[[], Any]) -> Any:
    """Waits until something is so."""
    end = time.monotonic() + GENEROUS
    while not (found := condition()):
        assert time.monotonic() < end, 'it never came to be so'
        time.sleep(0.01)
    return found


class Redis:
    """A Redis server. `settings` are those of `redis.conf`; it keeps its port over every `kill` and `restart`."""

    host = '127.0.0.1'

    def __init__(self, *arguments: str, password: str | None = None, **settings: str) -> None:
        lines = [word for name, value in settings.items() for word in ('--set', f'{name.replace("_", "-")}={value}')]
        self.said = Servers('redis', *arguments, *(['--password', password] if password else []), *lines)
        self.password = password

    @property
    def port(self) -> int:
        return int(self.said['port'])

    @property
    def socket(self) -> pathlib.Path:
        return pathlib.Path(self.said['socket'])

    @property
    def pid(self) -> int:
        return int(self.said('pid')['pid'])

    def client(self, **options: Any) -> redis.Redis:
        """Somebody else's client, who is not one of ours."""
        return redis.Redis(self.host, self.port, password=self.password, **options)

    def stop(self) -> None:
        """It stands still: connections are accepted by the system, and nothing answers."""
        self.said('stop')

    def go_on(self) -> None:
        self.said('cont')

    def kill(self) -> None:
        self.said('kill')

    def restart(self) -> None:
        """Starts it again, after an orderly end if it still runs."""
        self.said('restart')

    def close(self) -> None:
        self.said.close()

    def __enter__(self) -> Redis:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@functools.cache
def shared() -> Redis:
    """One server for all tests that need none of their own, each below a prefix of its own."""
    return Redis()


def options(**more: Any) -> dict[str, Any]:
    """Options of a RedisConnector to objects of its own on the shared server."""
    server = shared()
    return {'hostname': server.host, 'port': server.port, 'prefix': f'{uuid.uuid4()}:', **more}


@functools.cache
def shared_store() -> Servers:
    """One S3 server for all tests that need none of their own."""
    return Servers('s3')


def bucket(**more: Any) -> dict[str, Any]:
    """Arguments of an ObjectStoreConnector to objects of its own on the shared S3 server."""
    return in_bucket(shared_store(), **more)


def in_bucket(server: Servers, **more: Any) -> dict[str, Any]:
    secret = pathlib.Path(server['dir']) / 'secret'
    secret.write_text(server['secret_key'])
    options = {
        'endpoint': server['endpoint'],
        'access_key_id': server['access_key'],
        'secret_access_key': f'${{file:{secret}}}',
        'region': server['region'],
    }
    return {'url': f's3://objects/{uuid.uuid4()}', 'options': options, **more}

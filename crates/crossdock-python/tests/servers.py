"""Real servers for tests: on loopback, on free ports, and gone with the process that started them."""

from __future__ import annotations

import atexit
import ctypes
import functools
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable
from typing import Any

import redis

from helpers import GENEROUS, needs

# Debian's package redis-tools has the server under the second name alone.
NAMES = ['redis-server', 'redis-check-rdb']


def program() -> str | None:
    named = os.environ.get('CROSSDOCK_REDIS_SERVER')
    return named or next((found for found in map(shutil.which, NAMES) if found), None)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return int(probe.getsockname()[1])


def end_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


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

    def __init__(self, password: str | None = None, **settings: str) -> None:
        needs('redis-server', program() is not None)
        self._directory = tempfile.TemporaryDirectory(prefix='crossdock-redis-')
        self.password = password
        self.socket = pathlib.Path(self._directory.name) / 'redis.sock'
        self._settings = {'requirepass': password} if password else {}
        self._settings |= {name.replace('_', '-'): value for name, value in settings.items()}
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0
        self.restart()
        atexit.register(self.close)

    def restart(self) -> None:
        if self._process is not None:
            self.kill()
        # Somebody else may have taken the port since it was free.
        for _ in range(20):
            self.port = self.port or free_port()
            if self._start():
                return
            self.port = 0
        raise AssertionError('redis-server does not start')

    def _start(self) -> bool:
        own = {'bind': self.host, 'port': str(self.port), 'dir': self._directory.name, 'unixsocket': str(self.socket)}
        settings = (
            {'save': '', 'daemonize': 'no', 'logfile': 'log', 'enable-debug-command': 'yes'} | own | self._settings
        )
        config = pathlib.Path(self._directory.name) / 'redis.conf'
        config.write_text(''.join(f'{name} "{value}"\n' for name, value in settings.items()))
        command = ['redis-server', str(config)]
        self._process = subprocess.Popen(
            command, executable=program(), stdout=subprocess.DEVNULL, preexec_fn=end_with_parent
        )
        return bool(eventually(lambda: self._process.poll() is not None or self._answers())) and self._answers()

    def _answers(self) -> bool:
        try:
            return self.client().ping() and self.client().info()['process_id'] == self._process.pid
        except redis.ConnectionError:
            return False

    def client(self, **options: Any) -> redis.Redis:
        """Somebody else's client, who is not one of ours."""
        return redis.Redis(self.host, self.port, password=self.password, **options)

    @property
    def pid(self) -> int:
        return self._process.pid

    def stop(self) -> None:
        """It stands still: connections are accepted by the system, and nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def end(self) -> None:
        """An orderly end: what it has taken is in its files, if it writes any."""
        self._process.terminate()
        self._process.wait()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.kill()
        self._directory.cleanup()

    def __enter__(self) -> Redis:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@functools.cache
def shared() -> Redis:
    """One server for all tests that need none of their own, each below a prefix of its own."""
    return Redis()


def options(**more: Any) -> dict[str, Any]:
    """Options of a connector to objects of its own on the shared server."""
    server = shared()
    return {'hostname': server.host, 'port': server.port, 'prefix': f'{uuid.uuid4()}:', **more}

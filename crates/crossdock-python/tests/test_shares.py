"""Batches over several servers: all at the same time, in order, undone where one fails, and given up with Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from crossdock.connectors.local import LocalConnector
from crossdock.connectors.multi import MultiConnector, Policy
from crossdock.connectors.redis import RedisConnector
from crossdock.exceptions import CrossdockError, InvalidKeyError, UnavailableError
from helpers import GENEROUS
from servers import Redis, eventually

OBJECTS = [b'1', b'a longer object', b'2', b'much ' * 100, b'3', b'']


@pytest.fixture(scope='module')
def both() -> Iterator[tuple[Redis, Redis]]:
    with Redis() as first, Redis() as second:
        yield first, second


@pytest.fixture()
def servers(both: tuple[Redis, Redis]) -> Iterator[tuple[Redis, Redis]]:
    for server in both:
        server.client().flushall()
    yield both
    for server in both:
        server.go_on()


def build(servers: tuple[Redis, Redis], deadline: Any = '1h', **policy: Any) -> MultiConnector:
    """Up to 5 bytes to the first, up to 20 to the second, more into memory."""
    first, second = (RedisConnector(server.host, server.port, deadline=deadline, retries=0) for server in servers)
    return MultiConnector(
        {
            'first': (first, Policy(max_size_bytes=5, priority=2, **policy)),
            'second': (second, Policy(max_size_bytes=20, priority=1, **policy)),
            'memory': (LocalConnector(), Policy()),
        },
    )


def size(server: Redis) -> int:
    return server.client().dbsize()


def test_the_order_is_kept(servers: tuple[Redis, Redis]) -> None:
    connector = build(servers)
    keys = connector.put_batch(OBJECTS)
    assert [key.connector_name for key in keys] == ['first', 'second', 'first', 'memory', 'first', 'first']
    assert connector.get_batch(keys) == OBJECTS
    assert connector.get_batch(keys[::-1]) == OBJECTS[::-1]
    views = connector.get_batch(keys, zero_copy=True)
    assert views == OBJECTS and all(isinstance(view, memoryview) for view in views)
    connector.evict(keys[1])
    assert connector.get_batch(keys) == [OBJECTS[0], None, *OBJECTS[2:]]
    stats = connector.stats()
    for name, objects in {'first': 4, 'second': 1, 'memory': 1}.items():
        put, got = stats[name]['put_batch'], stats[name]['get_batch']
        assert (put['operations'], put['objects'], put['errors']) == (1, objects, 0)
        assert put['bytes'] == sum(len(each) for each, key in zip(OBJECTS, keys) if key.connector_name == name)
        assert (got['operations'], put['seconds'] > 0) == (4, True)


@pytest.mark.parametrize('stopped', [0, 1])
def test_one_server_gets_its_share_while_another_stands_still(servers: tuple[Redis, Redis], stopped: int) -> None:
    connector = build(servers)
    waiting, going = servers[stopped], servers[1 - stopped]
    put: list[Any] = []
    connector.put_batch(OBJECTS)
    before = size(going)
    waiting.stop()
    putter = threading.Thread(target=lambda: put.extend(connector.put_batch(OBJECTS)))
    putter.start()
    eventually(lambda: size(going) == 2 * before)
    assert not put and putter.is_alive()
    reads = lambda: int(going.client().info('stats')['keyspace_hits'])  # noqa: E731
    waiting.go_on()
    putter.join(GENEROUS)
    assert len(put) == len(OBJECTS)

    found: list[Any] = []
    before = reads()
    waiting.stop()
    getter = threading.Thread(target=lambda: found.extend(connector.get_batch(put)))
    getter.start()
    eventually(lambda: reads() > before)
    assert not found and getter.is_alive()
    waiting.go_on()
    getter.join(GENEROUS)
    assert found == OBJECTS


def test_a_share_that_fails_undoes_the_others(servers: tuple[Redis, Redis]) -> None:
    connector = build(servers, deadline=GENEROUS)
    connector.put_batch(OBJECTS)
    first, second = servers
    before = size(first)
    second.kill()
    try:
        with pytest.raises(UnavailableError) as raised:
            connector.put_batch(OBJECTS)
        assert raised.value.connector == 'second' and raised.value.keys == []
        assert size(first) == before, 'evicted again'
        assert connector.stats()['second']['put_batch']['errors'] == 1
    finally:
        second.restart()
    keys = connector.put_batch(OBJECTS)
    assert connector.get_batch(keys) == OBJECTS


def test_a_share_falls_back(servers: tuple[Redis, Redis]) -> None:
    connector = build(servers, deadline=GENEROUS, fallback=True, max_failures=2, cooldown=3600)
    first, second = servers
    second.kill()
    try:
        for _ in range(4):
            keys = connector.put_batch(OBJECTS)
            assert [key.connector_name for key in keys] == ['first', 'memory', 'first', 'memory', 'first', 'first']
            assert connector.get_batch(keys) == OBJECTS
        assert connector.stats()['second']['put_batch']['operations'] == 2, 'then it is skipped'
        assert connector.stats()['second']['health']['state'] == 'open'
        first.kill()
        keys = connector.put_batch(OBJECTS)
        assert {key.connector_name for key in keys} == {'memory'}
    finally:
        first.restart()
        second.restart()


def test_keys_of_another_kind_are_refused(servers: tuple[Redis, Redis]) -> None:
    connector = build(servers)
    keys = connector.put_batch(OBJECTS)
    wrong = keys[1]._replace(connector_key=('no', 'such', 'key', 'at', 'all'))
    with pytest.raises(InvalidKeyError) as raised:
        connector.get_batch([keys[0], wrong, keys[2]])
    assert raised.value.connector == 'second'


def test_what_cannot_be_evicted_is_named(servers: tuple[Redis, Redis]) -> None:
    """The first server takes its share and stands still; the second fails."""
    connector = build(servers, deadline=2)
    connector.put_batch(OBJECTS)
    first, second = servers
    first.client().execute_command('ACL', 'SETUSER', 'default', '-DEL', '-UNLINK')
    second.kill()
    try:
        with pytest.raises(CrossdockError) as raised:
            connector.put_batch(OBJECTS)
        assert [key.connector_name for key in raised.value.keys] == ['first'] * 4
        first.client().execute_command('ACL', 'SETUSER', 'default', '+@all')
        for key in raised.value.keys:
            assert connector.exists(key)
            connector.evict(key)
    finally:
        first.client().execute_command('ACL', 'SETUSER', 'default', '+@all')
        second.restart()


CTRL_C = """
    import os, signal, sys, threading, time
    from crossdock.connectors.multi import MultiConnector, Policy
    from crossdock.connectors.redis import RedisConnector

    signal.signal(signal.SIGINT, signal.default_int_handler)
    ports, stopped = [int(port) for port in sys.argv[1:3]], [int(pid) for pid in sys.argv[3:]]
    first, second = (RedisConnector('127.0.0.1', port, deadline='1h') for port in ports)
    connector = MultiConnector({'first': (first, Policy(max_size_bytes=1, priority=1)), 'second': (second, Policy())})
    keys = connector.put_batch([b'1', b'22'])
    for call in (lambda: connector.put_batch([b'1', b'22', b'3']), lambda: connector.get_batch(keys)):
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        try:
            call()
        except KeyboardInterrupt:
            print('interrupted')
        timer.join()
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
        assert connector.get_batch(keys) == [b'1', b'22']
"""


@pytest.mark.parametrize('stopped', [(0,), (1,), (0, 1)])
def test_ctrl_c_ends_all_shares(servers: tuple[Redis, Redis], stopped: tuple[int, ...]) -> None:
    ports = [str(server.port) for server in servers]
    pids = [str(servers[place].pid) for place in stopped]
    run = subprocess.run(
        [sys.executable, '-c', textwrap.dedent(CTRL_C), *ports, *pids],
        capture_output=True,
        text=True,
        check=False,
        timeout=GENEROUS,
    )
    assert (run.returncode, run.stdout.split()) == (0, ['interrupted'] * 2), run.stderr
    for place in {0, 1} - set(stopped):
        assert size(servers[place]) == 1, 'what went through was evicted again'


def test_signals_reach_python_also_where_no_share_waits_for_them(servers: tuple[Redis, Redis]) -> None:
    """What a handler raises at the very end of a batch comes out of that call, and not of a later one."""
    connector = build(servers)
    raised = 0
    previous = signal.signal(signal.SIGUSR1, _raise)
    try:
        for _ in range(50):
            try:
                timer = threading.Timer(0.002, os.kill, (os.getpid(), signal.SIGUSR1))
                timer.start()
                connector.put_batch(OBJECTS)
                timer.join()
            except _Signal:
                raised += 1
    finally:
        signal.signal(signal.SIGUSR1, previous)
    assert raised == 50
    connector.put_batch(OBJECTS)


class _Signal(Exception):
    pass


def _raise(*_: Any) -> None:
    raise _Signal

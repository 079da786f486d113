"""Redis servers that are killed, stopped, started again, full, or shut to us: the right exception, in time, and no new
connector is needed afterwards."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from crossdock.connectors.local import LocalConnector
from crossdock.connectors.multi import MultiConnector, MultiKey, Policy
from crossdock.connectors.redis import RedisConnector, RedisKey
from crossdock.exceptions import (
    AmbiguousError,
    CrossdockError,
    FullError,
    TimeoutError,
    UnavailableError,
    UnsupportedError,
)
from helpers import GENEROUS, in_fork
from servers import Redis, eventually

OBJECT = b'object' * 100
# What a call may take here, in seconds, and what it is given on a machine that is busy with other things.
DEADLINE, BUSY = 0.5, 15.0


@pytest.fixture()
def server() -> Iterator[Redis]:
    with Redis() as started:
        yield started


@pytest.fixture()
def connector(server: Redis) -> RedisConnector:
    return RedisConnector(server.host, server.port, deadline=DEADLINE)


def in_time(call: Callable[[], Any]) -> CrossdockError:
    """What the call raises, within its deadline."""
    before = time.monotonic()
    with pytest.raises(CrossdockError) as raised:
        call()
    elapsed = time.monotonic() - before
    print(f'{type(raised.value).__name__} after {elapsed:.3f} s: {raised.value}')
    assert elapsed < BUSY
    return raised.value


def calls(connector: Any, key: Any) -> dict[str, Callable[[], Any]]:
    new = connector.new_key()
    return {
        'put': lambda: connector.put(OBJECT),
        'put_batch': lambda: connector.put_batch([OBJECT] * 3),
        'get': lambda: connector.get(key),
        'get_batch': lambda: connector.get_batch([key] * 3),
        'exists': lambda: connector.exists(key),
        'evict': lambda: connector.evict(key),
        'set': lambda: connector.set(new, OBJECT),
    }


def test_a_killed_server_is_unavailable_until_it_is_back(server: Redis, connector: RedisConnector) -> None:
    key = connector.put(OBJECT)
    server.kill()
    for name, call in calls(connector, key).items():
        error = in_time(call)
        assert type(error) is UnavailableError and error.retryable and error.keys == [], name
        assert f'{server.host}:{server.port}' in str(error) and 'tried' in str(error)
        assert error.operation == name
    server.restart()
    assert connector.get(key) is None, 'nothing was on its disk'
    assert connector.get(connector.put(OBJECT)) == OBJECT


def test_a_server_that_is_started_again_is_not_noticed(server: Redis, connector: RedisConnector) -> None:
    for _ in range(3):
        key = connector.put(OBJECT)
        assert connector.get(key) == OBJECT
        server.restart()
        assert connector.get(key) is None
        server.restart()
        assert connector.put_batch([OBJECT])


def test_a_stopped_server_takes_no_more_than_the_deadline(server: Redis, connector: RedisConnector) -> None:
    key = connector.put(OBJECT)
    server.stop()
    for name in ('get', 'get_batch', 'exists'):
        error = in_time(calls(connector, key)[name])
        assert type(error) is TimeoutError and error.retryable and error.keys == [], name
    server.go_on()
    assert connector.get(key) == OBJECT, 'and no reply to one of those'


@pytest.mark.parametrize('way', ['put', 'set', 'evict'])
def test_what_a_stopped_server_makes_of_it_is_not_known(server: Redis, connector: RedisConnector, way: str) -> None:
    key = connector.put(OBJECT)
    made = connector.new_key()
    call = {
        'put': lambda: connector.put(OBJECT),
        'set': lambda: connector.set(made, OBJECT),
        'evict': lambda: connector.evict(key),
    }[way]
    server.stop()
    error = in_time(call)
    assert type(error) is AmbiguousError
    [named] = error.keys
    assert type(named) is RedisKey
    assert way == 'put' or named == {'set': made, 'evict': key}[way]
    server.go_on()
    # Either is safe: evicting, and doing the same again.
    if way == 'put':
        connector.set(named, OBJECT)
        assert connector.get(named) == OBJECT
    connector.evict(named)
    eventually(lambda: not connector.exists(named))


def test_keys_of_an_unknown_outcome_have_the_names_of_their_connectors(server: Redis) -> None:
    redis = RedisConnector(server.host, server.port, deadline=DEADLINE)
    inner = MultiConnector({'redis': (redis, Policy(fallback=True)), 'memory': (LocalConnector(), Policy())})
    for connector, path in ((inner, ['redis']), (MultiConnector({'inner': (inner, Policy())}), ['inner', 'redis'])):
        connector.put(OBJECT)
        for call in (lambda: connector.put(OBJECT), lambda: connector.put_batch([OBJECT] * 2)):
            server.stop()
            error = in_time(call)
            server.go_on()
            assert type(error) is AmbiguousError and error.connector == '/'.join(path)
            assert error.keys
            for key in error.keys:
                for name in path:
                    assert type(key) is MultiKey and key.connector_name == name
                    key = key.connector_key
                assert type(key) is RedisKey
            for key in error.keys:
                connector.evict(key)
    inner.close()


def test_a_full_server_is_full_and_puts_fall_back(server: Redis) -> None:
    connector = RedisConnector(server.host, server.port)
    kept = connector.put(OBJECT)
    client = server.client()
    client.config_set('maxmemory-policy', 'noeviction')
    client.config_set('maxmemory', '1')
    for call in (lambda: connector.put(OBJECT), lambda: connector.put_batch([OBJECT] * 3)):
        error = in_time(call)
        assert type(error) is FullError and isinstance(error, OSError) and error.keys == []
        assert 'maxmemory' in str(error)
    assert connector.get(kept) == OBJECT
    for fallback in (True, False):
        multi = MultiConnector(
            {
                'redis': (connector, Policy(priority=1, fallback=fallback)),
                'memory': (LocalConnector(), Policy()),
            },
        )
        if fallback:
            assert multi.put(OBJECT).connector_name == 'memory'
            assert {key.connector_name for key in multi.put_batch([OBJECT] * 3)} == {'memory'}
        else:
            with pytest.raises(FullError, match=f'connector "redis": redis at {server.host}:{server.port}'):
                multi.put(OBJECT)
    assert client.dbsize() == 1
    client.config_set('maxmemory', '0')
    assert connector.get(connector.put(OBJECT)) == OBJECT


def test_puts_fall_back_while_the_server_is_away(server: Redis) -> None:
    connector = MultiConnector(
        {
            'redis': (
                RedisConnector(server.host, server.port, deadline=DEADLINE, retries=0),
                Policy(priority=1, fallback=True),
            ),
            'memory': (LocalConnector(), Policy()),
        },
    )
    there = connector.put(OBJECT)
    assert there.connector_name == 'redis'
    server.kill()
    here = [connector.put(OBJECT), *connector.put_batch([OBJECT] * 3)]
    assert {key.connector_name for key in here} == {'memory'}
    assert connector.get_batch(here) == [OBJECT] * 4
    with pytest.raises(UnavailableError, match='connector "redis"'):
        connector.get(there)
    server.restart()
    assert connector.get(there) is None
    connector.close()


def test_a_level_that_the_server_does_not_reach_falls_back(server: Redis) -> None:
    redis = RedisConnector(server.host, server.port, durability='host')
    with pytest.raises(UnsupportedError, match='append-only'):
        redis.put(OBJECT)
    connector = MultiConnector(
        {'redis': (redis, Policy(priority=1, fallback=True)), 'memory': (LocalConnector(), Policy())},
    )
    assert connector.put(OBJECT).connector_name == 'memory'


def test_what_was_acknowledged_survives_kills_under_load() -> None:
    with Redis('--aof', 'always') as server:
        connector = RedisConnector(server.host, server.port, deadline=GENEROUS)
        stop = threading.Event()

        def work(number: int) -> tuple[dict[RedisKey, bytes], list[str]]:
            kept: dict[RedisKey, bytes] = {}
            failed = []
            while not stop.is_set():
                data = [f'{number}/{len(kept)}/{n}'.encode() * 100 for n in range(3)]
                try:
                    kept[connector.put(data[0])] = data[0]
                    kept |= zip(connector.put_batch(data[1:]), data[1:], strict=True)
                except (UnavailableError, AmbiguousError) as error:
                    failed.append(type(error).__name__)
            return kept, failed

        with ThreadPoolExecutor(4) as pool:
            busy = [pool.submit(work, number) for number in range(4)]
            try:
                for _ in range(5):
                    time.sleep(0.2)
                    server.kill()
                    server.restart()
                time.sleep(0.2)
            finally:
                stop.set()
            outcomes = [each.result(GENEROUS) for each in busy]
        failures = [failure for _, failed in outcomes for failure in failed]
        kept = {key: data for some, _ in outcomes for key, data in some.items()}
        print(f'{len(kept)} acknowledged over 5 kills, {len(failures)} failed calls')
        assert len(kept) > 50
        assert connector.get_batch(list(kept)) == list(kept.values())


def test_a_forked_child_makes_connections_of_its_own(server: Redis, connector: RedisConnector) -> None:
    key = connector.put(OBJECT)
    before = server.client().info('stats')['total_connections_received']

    def child() -> bytes:
        return b''.join(connector.get(key) for _ in range(50))

    assert in_fork(child) == OBJECT * 50
    assert connector.get(key) == OBJECT
    assert server.client().info('stats')['total_connections_received'] >= before + 2, "the child's and the client's"


CTRL_C = """
    import os, pathlib, signal, sys, threading, time
    from crossdock.connectors.multi import MultiConnector, Policy
    from crossdock.connectors.redis import RedisConnector, RedisKey

    signal.signal(signal.SIGINT, signal.default_int_handler)
    port, server, kind, operation = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
    redis = RedisConnector('127.0.0.1', port, deadline='1h')
    connector = redis if kind == 'redis' else MultiConnector({'only': (redis, Policy())})
    kept, new = connector.put(b'kept'), connector.new_key()
    call = {
        'put': lambda: connector.put(b'object'),
        'put of much': lambda: connector.put(bytes(50_000_000)),
        'put_batch': lambda: connector.put_batch([b'object'] * 1_000),
        'get': lambda: connector.get(kept),
        'get_batch': lambda: connector.get_batch([kept] * 10),
        'exists': lambda: connector.exists(kept),
        'evict': lambda: connector.evict(kept),
        'set': lambda: connector.set(new, b'object'),
        'check': redis.check,
        'first call': lambda: RedisConnector('127.0.0.1', port, deadline='1h').put(b'object'),
        'clear': lambda: RedisConnector('127.0.0.1', port, deadline='1h').close(clear=True),
    }[operation]
    sent = []

    def interrupt():
        time.sleep(0.3)
        sent.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    def is_running(task):
        return (task / 'stat').read_text().rpartition(')')[2].split()[0] != 'T'

    os.kill(server, signal.SIGSTOP)
    while any(map(is_running, pathlib.Path(f'/proc/{server}/task').iterdir())):
        pass
    threading.Thread(target=interrupt, daemon=True).start()
    try:
        call()
    except KeyboardInterrupt as interrupted:
        print('interrupted', time.monotonic() - sent[0])
        # What may be there once the server goes on is named.
        assert hasattr(interrupted, '__notes__') == (operation in ('put', 'put_batch', 'set', 'evict', 'check'))
    os.kill(server, signal.SIGCONT)
    assert connector.get(kept) in ([None] if operation in ('evict', 'clear') else []) + [b'kept']
    again = connector.put_batch([b'a', b'b'])
    assert connector.get_batch(again) == [b'a', b'b']
    print('works')
"""
OPERATIONS = ['put', 'put of much', 'put_batch', 'get', 'get_batch', 'exists', 'evict', 'set', 'check', 'first call']


@pytest.mark.parametrize('operation', [*OPERATIONS, 'clear'])
@pytest.mark.parametrize('kind', ['redis', 'multi'])
def test_ctrl_c_ends_a_call_to_a_stopped_server(server: Redis, kind: str, operation: str) -> None:
    run = subprocess.run(
        [sys.executable, '-c', textwrap.dedent(CTRL_C), str(server.port), str(server.pid), kind, operation],
        capture_output=True,
        text=True,
        check=False,
        timeout=GENEROUS,
    )
    assert run.returncode == 0, run.stderr
    word, seconds, works = run.stdout.split()
    assert (word, works) == ('interrupted', 'works')
    print(f'{operation}: {float(seconds) * 1000:.0f} ms')


def test_others_run_while_a_call_waits(server: Redis) -> None:
    """With an interval that never ends, the interpreter's lock changes hands only where the call lets go of it."""
    connector = RedisConnector(server.host, server.port, deadline='1h')
    key = connector.put(OBJECT)
    server.stop()
    interval = sys.getswitchinterval()
    begun = threading.Event()

    def go_on() -> None:
        begun.wait(GENEROUS)
        # Only then is the main thread in its call.
        time.sleep(0.2)
        server.go_on()

    waker = threading.Thread(target=go_on, daemon=True)
    waker.start()
    try:
        sys.setswitchinterval(1_000)
        begun.set()
        assert connector.get(key) == OBJECT
    finally:
        sys.setswitchinterval(interval)
        waker.join(GENEROUS)


def test_a_server_at_a_socket_that_is_not_there(tmp_path: pathlib.Path) -> None:
    connector = RedisConnector(unix_socket=tmp_path / 'none.sock', deadline=DEADLINE)
    assert type(in_time(lambda: connector.put(OBJECT))) is UnavailableError


def test_a_host_that_has_no_address() -> None:
    connector = RedisConnector('no-such-host.invalid', deadline=DEADLINE)
    error = in_time(lambda: connector.put(OBJECT))
    assert type(error) in (UnavailableError, TimeoutError) and 'no-such-host.invalid' in str(error)


def test_what_is_no_redis(tmp_path: pathlib.Path) -> None:
    """A web server at that port."""
    code = 'import http.server; s = http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler); '
    code += 'print(s.server_port, flush=True); s.serve_forever()'
    web = subprocess.Popen(
        [sys.executable, '-c', code], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    try:
        assert web.stdout is not None
        port = int(web.stdout.readline())
        connector = RedisConnector('127.0.0.1', port, deadline=DEADLINE)
        error = in_time(lambda: connector.put(OBJECT))
        assert type(error) in (UnavailableError, TimeoutError)
    finally:
        os.kill(web.pid, signal.SIGKILL)
        web.wait()

"""Objects in Redis, over loopback: beside ProxyStore, OpenDAL, a bare socket, and redis-benchmark."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
import uuid
from typing import Any

import contestants
import processes
from bench import LARGE, Bench, bytes_of, free_memory, require_same, size
from contestants import ALIKE, Opendal, is_installed
from turns import Work, asking, batches, putting

from servers import Absent, server

CHANNEL = 'Redis'
BARE = 'Redis beside a bare socket'
# Objects of a batch, and their size in bytes.
BATCH, SMALL = 1_000, 1_000
# What redis-benchmark sends in one run; its clock counts in milliseconds.
SENT = 100_000
# Its database, apart from what the others have there.
OF_BENCHMARK = 1
ROOM = ('--set', 'proto-max-bulk-len=4gb', '--set', 'client-query-buffer-limit=4gb')


def redis(bench: Bench) -> None:
    if not is_installed('redis'):
        return bench.skip(CHANNEL, "redis is not installed, which ProxyStore's connector needs")
    try:
        with server('redis', *ROOM) as started:
            single(bench, started['port'])
            many(bench, started['port'])
            peaks(bench, started['port'])
    except Absent as absent:
        bench.skip(CHANNEL, str(absent))


def connectors(port: int) -> dict[str, Any]:
    return {name: contestants.connector(name, 'redis', 'RedisConnector', '127.0.0.1', port) for name in ALIKE}


def single(bench: Bench, port: int) -> None:
    """One object a call."""
    rivals, bare = connectors(port), BareSocket(port)
    if is_installed('opendal'):
        rivals['opendal'] = Opendal('redis', endpoint=f'redis://127.0.0.1:{port}')
    for operation in ('put', 'get'):
        for count in bench.plan.sizes:
            # The server has it twice while it comes in.
            if free_memory() < 6 * count:
                bench.skip(f'{CHANNEL}: {size(count)}', f'needs {size(6 * count)} of memory')
                continue
            # By itself it refuses more than 512 MB in one value.
            everyone = {name: one for name, one in rivals.items() if name != 'opendal' or count <= LARGE}
            one_size(bench, operation, count, everyone, bare)
    for one in rivals.values():
        one.close()


def one_size(bench: Bench, operation: str, count: int, rivals: dict[str, Any], bare: BareSocket) -> None:
    obj = bytes_of(count)
    keys: dict[str, Any] = {}
    if operation == 'put':
        works = {name: putting(one, obj) for name, one in rivals.items()}
    else:
        keys = {name: one.put(obj) for name, one in rivals.items()}
        for name, one in rivals.items():
            require_same(name, one.get(keys[name]), obj)
        works = {name: asking(one.get, keys[name]) for name, one in rivals.items()}
    works['a bare socket'] = bare.work(operation, obj)
    targets = {'ProxyStore': 1.5 if count <= 1_000 or count == LARGE else None}
    seconds = bench.measure(CHANNEL, operation, count, works, targets, bench.plan.budget * (3 if count >= LARGE else 1))
    within = 1.25 if count <= 1_000 else None
    bench.slower(BARE, f'{operation}, {size(count)}', 'a bare socket', seconds, within)
    bare.forget()
    for name, key in keys.items():
        rivals[name].evict(key)


class BareSocket:
    """The least that a program in Python can do: one request that was made before, one reply that is not looked at."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(('127.0.0.1', port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._name = str(uuid.uuid4()).encode()
        self._reply = bytearray(1 << 20)

    def _ask(self, request: bytes, wanted: int) -> None:
        self._socket.sendall(request)
        while wanted > 0:
            wanted -= self._socket.recv_into(self._reply)

    def forget(self) -> None:
        """Removes its object."""
        self._ask(b'*2\r\n$6\r\nUNLINK\r\n$36\r\n%s\r\n' % self._name, len(b':1\r\n'))

    def work(self, operation: str, obj: bytes) -> Work:
        """Sets one object anew again and again, or gets it."""
        head = b'$%d\r\n' % len(obj)
        put = b'*3\r\n$3\r\nSET\r\n$36\r\n%s\r\n%s%s\r\n' % (self._name, head, obj), len(b'+OK\r\n')
        get = b'*2\r\n$3\r\nGET\r\n$36\r\n%s\r\n' % self._name, len(head) + len(obj) + 2
        self._ask(*put)
        request, wanted = put if operation == 'put' else get

        def run(calls: int) -> float:
            start = time.perf_counter()
            for _ in range(calls):
                self._ask(request, wanted)
            return time.perf_counter() - start

        # One key again and again, which costs a server less than the new ones of the others.
        return Work(run, self.forget if operation == 'put' else lambda: None)


def many(bench: Bench, port: int) -> None:
    """A thousand objects of a thousand bytes in one call."""
    alike = connectors(port)
    multis = {}
    for name, one in alike.items():
        multi = contestants.multi_module(name)
        multis[name] = multi.MultiConnector({'redis': (one, multi.Policy())})
    objects = [bytes_of(SMALL + n)[:SMALL] for n in range(BATCH)]
    what = f'{BATCH:,} x {size(SMALL)}, through Multi'
    group = f'{CHANNEL}, batches'
    for operation in ('put_batch', 'get_batch'):
        works = {name: batches(multi, operation, objects) for name, multi in multis.items()}
        works["ProxyStore's RedisConnector"] = batches(alike['ProxyStore'], operation, objects)
        works |= redis_benchmarks(bench, operation, port)
        # What sends many more in its turn is not slowed by a start, so that the others are not either.
        seconds = bench.times(works, bench.plan.budget * 4)
        for other, target in (('ProxyStore', 30), ("ProxyStore's RedisConnector", None)):
            bench.faster(group, f'{operation}, {what}', other, seconds, target)
        for name in seconds:
            if name.startswith('redis-benchmark'):
                bench.slower(group, f'{operation}, {what}', name, seconds, 1.5)
    for one in alike.values():
        one.close()


def redis_benchmarks(bench: Bench, operation: str, port: int) -> dict[str, Work]:
    """By itself it writes one key again and again, which costs a server about half of what new keys do."""
    tool = shutil.which('redis-benchmark')
    if tool is None:
        bench.skip(f'{CHANNEL}, {operation} beside redis-benchmark', 'redis-benchmark is not installed')
        return {}
    if operation == 'get_batch':
        return {'redis-benchmark -P 64': redis_benchmark(tool, port, '-t', 'get')}
    return {
        'redis-benchmark -P 64, one key': redis_benchmark(tool, port, '-t', 'set'),
        'redis-benchmark -P 64, new keys': redis_benchmark(tool, port, '-t', 'set', '-r', '2000000000'),
    }


def redis_benchmark(tool: str, port: int, *test: str) -> Work:
    """What as many commands take it as a batch has, by the rate that it tells of many more, with 50 connections."""
    import redis

    database = redis.Redis(port=port, db=OF_BENCHMARK)
    given = {'-p': port, '--dbnum': OF_BENCHMARK, '-n': SENT, '-d': SMALL, '-P': 64}
    command = [tool, '--csv', *(str(word) for pair in given.items() for word in pair), *test]

    def run(calls: int) -> float:
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        rate = float(told.splitlines()[-1].split(',')[1].strip('"'))
        return calls * BATCH / rate

    def clean() -> None:
        database.flushdb()
        # What its gets ask for.
        database.set('key:__rand_int__', bytes(SMALL))

    clean()
    return Work(run, clean, 1)


def peaks(bench: Bench, port: int) -> None:
    if free_memory() < 6 * bench.plan.peak:
        return bench.skip(f'Peak memory, {CHANNEL}', f'needs {size(6 * bench.plan.peak)} of memory')
    processes.peak(bench, 'Redis', 'redis', dict.fromkeys(ALIKE, str(port)), 1.1)

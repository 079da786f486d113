"""What goes to servers of this machine: Redis beside ProxyStore, redis-benchmark and a bare socket; S3 beside obstore.

The servers are those of the tests, started by the program `crossdock-servers` (`make servers` builds it).
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import os
import pathlib
import random
import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from report import Row, duration, quartiles, size, timed
from turns import Work, asking, calls_for, putting, take_turns

if TYPE_CHECKING:
    from compare import Bench

PROGRAM = pathlib.Path(__file__).resolve().parents[3] / 'target' / 'debug' / 'crossdock-servers'
LARGE = 100_000_000
# Objects of a batch, and their size in bytes.
BATCH, SMALL = 1_000, 1_000
# What redis-benchmark sends in one run; its clock counts in milliseconds.
SENT = 100_000
S3_BATCH = 256
# Its database, apart from what the others have there.
OF_BENCHMARK = 1
ROOM = ('--set', 'proto-max-bulk-len=4gb', '--set', 'client-query-buffer-limit=4gb')


class Absent(Exception):
    """A program that is not installed; the text says which."""


@contextlib.contextmanager
def server(*arguments: str) -> Iterator[dict[str, Any]]:
    """What the program says of the server that it has started, which ends with the block."""
    program = os.environ.get('CROSSDOCK_SERVERS', str(PROGRAM))
    if not pathlib.Path(program).exists():
        raise Absent(f'{program} is not there: make servers builds it')
    pipes = {'stdin': subprocess.PIPE, 'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE}
    process = subprocess.Popen([program, *arguments], text=True, start_new_session=True, **pipes)
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise Absent(process.communicate()[1].strip())
    try:
        yield json.loads(line)
    finally:
        process.communicate()


# Redis.


def redis(bench: Bench) -> None:
    group = 'Redis over loopback'
    if importlib.util.find_spec('redis') is None:
        return bench.skip(group, "redis is not installed, which ProxyStore's connector needs")
    try:
        with server('redis', *ROOM) as started:
            single(bench, group, started['port'])
            batches(bench, started['port'])
            peaks(bench, started['port'])
    except Absent as absent:
        bench.skip(group, str(absent))


def redis_connectors(port: int) -> dict[str, Any]:
    from proxystore.connectors.redis import RedisConnector as TheirRedisConnector

    from crossdock.connectors.redis import RedisConnector

    return {
        'ProxyStore': TheirRedisConnector('127.0.0.1', port),
        'crossdock': RedisConnector('127.0.0.1', port),
    }


def single(bench: Bench, group: str, port: int) -> None:
    """One object a call."""
    connectors = redis_connectors(port)
    bare, bared, bare_group = BareSocket(port), [], 'Redis against a bare socket of Python'
    for operation in ('put', 'get'):
        for count in (10, 1_000, 100_000, 1_000_000):
            obj = random.Random(count).randbytes(count)
            target = 1.5 if count <= 1_000 else None
            keys = {name: connector.put(obj) for name, connector in connectors.items()}
            if operation == 'put':
                works = {name: putting(connector, obj) for name, connector in connectors.items()}
            else:
                works = {name: asking(connector.get, keys[name]) for name, connector in connectors.items()}
            bench.measure(group, operation, count, works, target)
            if count <= 1_000:
                what, least = f'{operation}, {size(count)}', bare.work(operation, obj)
                bared.append(against_bare_socket(bench, bare_group, what, works['crossdock'], least))
            for name, connector in connectors.items():
                connector.evict(keys[name])
    obj = random.Random(LARGE).randbytes(LARGE)
    keys = {name: connector.put(obj) for name, connector in connectors.items()}
    rounds = min(15, bench.plan.rounds)
    works = {}
    for operation in ('put', 'get'):
        for name in connectors:
            works[name] = (
                putting(connectors[name], obj) if operation == 'put' else asking(connectors[name].get, keys[name])
            )
        seconds = take_turns({**works, 'bare': bare.work(operation, obj)}, rounds, 1)
        pair = {name: seconds[name] for name in ('bare', 'crossdock')}
        bared.append(slower(bare_group, f'{operation}, {size(LARGE)}', pair, None))
        bench.rows.append(timed(group, f'{operation}, {size(LARGE)}', *(seconds[name] for name in works), 1.5))
        for name in works:
            bench.point(group, name, operation, LARGE, seconds[name])
    bench.rows.extend(bared)
    for name, connector in connectors.items():
        connector.evict(keys[name])
        connector.close()


class BareSocket:
    """The least that a program in Python can do: one request that was made before, one reply that is not looked at."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(('127.0.0.1', port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._name = str(uuid.uuid4()).encode()
        self._reply = bytearray(1 << 20)

    def ask(self, request: bytes, wanted: int) -> None:
        self._socket.sendall(request)
        while wanted > 0:
            wanted -= self._socket.recv_into(self._reply)

    def work(self, operation: str, obj: bytes) -> Work:
        """Sets one object anew again and again, or gets it."""
        head = b'$%d\r\n' % len(obj)
        put = b'*3\r\n$3\r\nSET\r\n$36\r\n%s\r\n%s%s\r\n' % (self._name, head, obj), len(b'+OK\r\n')
        get = b'*2\r\n$3\r\nGET\r\n$36\r\n%s\r\n' % self._name, len(head) + len(obj) + 2
        unlink = b'*2\r\n$6\r\nUNLINK\r\n$36\r\n%s\r\n' % self._name, len(b':1\r\n')
        self.ask(*put)
        request, wanted = put if operation == 'put' else get

        def run(calls: int) -> float:
            start = time.perf_counter()
            for _ in range(calls):
                self.ask(request, wanted)
            return time.perf_counter() - start

        return Work(run, lambda: self.ask(*(unlink if operation == 'put' else get)))


def against_bare_socket(bench: Bench, group: str, what: str, ours: Work, bare: Work) -> Row:
    works = {'bare': bare, 'crossdock': ours}
    seconds = take_turns(works, bench.plan.rounds, calls_for(works, bench.plan.turn, 2_000))
    return slower(group, what, seconds, 1.25)


def slower(group: str, what: str, seconds: dict[str, list[float]], at_most: float | None) -> Row:
    """How many times as long as the other ours takes, which is not to be more than a target."""
    theirs, ours = seconds.values()
    low, _, high = quartiles([one / other for one, other in zip(ours, theirs)])
    (their_low, their_middle, their_high), (our_low, our_middle, our_high) = quartiles(theirs), quartiles(ours)
    return Row(
        group,
        what,
        duration(their_middle, their_low, their_high),
        duration(our_middle, our_low, our_high),
        our_middle / their_middle,
        at_most,
        at_most=True,
        spread=(low, high),
    )


def batches(bench: Bench, port: int) -> None:
    """A thousand objects of a thousand bytes in one call."""
    from proxystore.connectors import multi as their_multi

    from crossdock.connectors import multi as our_multi

    connectors = redis_connectors(port)
    theirs, ours = connectors.values()
    contestants = {
        'Multi': their_multi.MultiConnector({'redis': (theirs, their_multi.Policy())}),
        'RedisConnector': theirs,
        'crossdock': our_multi.MultiConnector({'redis': (ours, our_multi.Policy())}),
    }
    objects = [random.Random(n).randbytes(SMALL) for n in range(BATCH)]
    what = f'{BATCH:,} x {size(SMALL)}, through Multi, against'
    tool = shutil.which('redis-benchmark')
    for operation in ('put_batch', 'get_batch'):
        works = {name: batch(connector, operation, objects) for name, connector in contestants.items()}
        tests = {'one key': ()} if operation == 'get_batch' else {'one key': (), 'new keys': ('-r', '2000000000')}
        if tool is not None:
            test = 'get' if operation == 'get_batch' else 'set'
            works |= {name: redis_benchmark(tool, port, '-t', test, *more) for name, more in tests.items()}
        # Several, as what sends many more in its turn is not slowed by a start either.
        seconds = take_turns(works, min(15, bench.plan.rounds), 5)
        our = seconds['crossdock']
        for name, rival, target in (
            ('Multi', "ProxyStore's Multi", 30),
            ('RedisConnector', 'its RedisConnector', None),
        ):
            bench.rows.append(timed('Redis, batches', f'{operation}, {what} {rival}', seconds[name], our, target))
        if tool is None:
            bench.skip(f'Redis, {operation} against redis-benchmark', 'redis-benchmark is not installed')
            continue
        for name in tests:
            pair = {'redis-benchmark': seconds[name], 'crossdock': our}
            bench.rows.append(slower('Redis, batches', f'{operation}, {what} redis-benchmark -P 64, {name}', pair, 1.5))
    for connector in connectors.values():
        connector.close()


def batch(connector: Any, operation: str, objects: list[bytes]) -> Work:
    keys: list[Any] = []

    def put(calls: int) -> float:
        start = time.perf_counter()
        for _ in range(calls):
            keys.extend(connector.put_batch(objects))
        return time.perf_counter() - start

    def clean() -> None:
        for key in keys:
            connector.evict(key)
        keys.clear()

    if operation == 'put_batch':
        return Work(put, clean)
    there = connector.put_batch(objects)
    return asking(connector.get_batch, there)


def redis_benchmark(tool: str, port: int, *test: str) -> Work:
    """What as many commands take it as a batch has, by the rate that it tells of many more, with 50 connections.

    By itself it writes one key again and again, which costs a server about half of what new keys do.
    """
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
    return Work(run, clean)


def peaks(bench: Bench, port: int) -> None:
    from compare import free_memory

    for count in bench.plan.peaks_of_redis:
        # The server has it twice while it comes in.
        if free_memory() < 6 * count:
            bench.skip(f'Peak memory, {size(count)}, Redis', f'needs {size(6 * count)} of memory')
            continue
        places = {'proxystore': str(port), 'crossdock': str(port)}
        bench.peak('Peak memory, in sizes of the object', 'Redis', 'redis', places, count, 1.1)


# S3.


def s3(bench: Bench) -> None:
    group = 'S3 against obstore, over loopback'
    if importlib.util.find_spec('obstore') is None:
        return bench.skip(group, 'obstore is not installed')
    try:
        with server('s3') as started:
            Buckets(started).measure(bench, group)
    except Absent as absent:
        bench.skip(group, str(absent))


class Buckets:
    """obstore and our connector on one server, each below a prefix of its own."""

    def __init__(self, started: dict[str, Any]) -> None:
        import obstore
        from obstore.store import S3Store

        from crossdock.connectors.object_store import ObjectStoreConnector

        access = {'endpoint': started['endpoint'], 'access_key_id': started['access_key'], 'region': started['region']}
        self._obstore = obstore
        self._theirs = S3Store(
            'objects',
            prefix='theirs',
            secret_access_key=started['secret_key'],
            client_options={'allow_http': True},
            **access,
        )
        os.environ['CROSSDOCK_BENCH_SECRET'] = started['secret_key']
        options = {**access, 'secret_access_key': '${env:CROSSDOCK_BENCH_SECRET}'}
        self._ours = ObjectStoreConnector('s3://objects/ours', options=options)
        self._ours_at_once = ObjectStoreConnector('s3://objects/ours', options=options, concurrency=S3_BATCH)
        self._loop = asyncio.new_event_loop()

    def measure(self, bench: Bench, group: str) -> None:
        for operation in ('put', 'get'):
            for count in (1_000, 100_000, 1_000_000, LARGE):
                obj = random.Random(count).randbytes(count)
                works = self._putting(obj) if operation == 'put' else self._getting(obj)
                rounds = bench.plan.rounds if count < LARGE else min(9, bench.plan.rounds)
                seconds = take_turns(works, rounds, calls_for(works, bench.plan.turn, 200))
                bench.rows.append(timed(group, f'{operation}, {size(count)}', *seconds.values(), 1))
                for name, taken in seconds.items():
                    bench.point(group, name, operation, count, taken)
        objects = [random.Random(n).randbytes(SMALL) for n in range(S3_BATCH)]
        what = f'{S3_BATCH} x {size(SMALL)}'
        for operation, works in (('put_batch', self._putting_all(objects)), ('get_batch', self._getting_all(objects))):
            seconds = take_turns(works, min(15, bench.plan.rounds), 1)
            theirs, usual, at_once = seconds.values()
            bench.rows.append(timed(group, f'{operation}, {what}, all at the same time', theirs, at_once, 1))
            bench.rows.append(timed(group, f'{operation}, {what}, ours 32 at a time as usual', theirs, usual, None))
        self._ours.close(clear=True)
        self._ours_at_once.close()
        self._loop.close()

    def _putting(self, obj: bytes) -> dict[str, Work]:
        names: list[str] = []

        def put(calls: int) -> float:
            new = [str(uuid.uuid4()) for _ in range(calls)]
            start = time.perf_counter()
            for name in new:
                self._obstore.put(self._theirs, name, obj)
            taken = time.perf_counter() - start
            names.extend(new)
            return taken

        return {'obstore': Work(put, lambda: self._delete(names)), 'crossdock': putting(self._ours, obj)}

    def _delete(self, names: list[str]) -> None:
        if names:
            self._obstore.delete(self._theirs, names)
            names.clear()

    def _getting(self, obj: bytes) -> dict[str, Work]:
        name, key = str(uuid.uuid4()), self._ours.put(obj)
        self._obstore.put(self._theirs, name, obj)

        def get(_: object) -> bytes:
            return self._obstore.get(self._theirs, name).bytes().to_bytes()

        return {'obstore': asking(get, None), 'crossdock': asking(self._ours.get, key)}

    def _all(self, calls: list[Callable[[], Any]]) -> list[Any]:
        """obstore has no batches: all at the same time is what its users do."""

        async def together() -> list[Any]:
            return await asyncio.gather(*(call() for call in calls))

        return self._loop.run_until_complete(together())

    def _putting_all(self, objects: list[bytes]) -> dict[str, Work]:
        names: list[str] = []

        def put(calls: int) -> float:
            start = time.perf_counter()
            for _ in range(calls):
                new = [str(uuid.uuid4()) for _ in objects]
                puts = zip(new, objects)
                self._all([lambda n=n, o=o: self._obstore.put_async(self._theirs, n, o) for n, o in puts])
                names.extend(new)
            return time.perf_counter() - start

        return {'obstore': Work(put, lambda: self._delete(names)), **self._batches('put_batch', objects)}

    def _batches(self, operation: str, objects: list[bytes]) -> dict[str, Work]:
        return {
            'crossdock': batch(self._ours, operation, objects),
            'crossdock, all at once': batch(self._ours_at_once, operation, objects),
        }

    def _getting_all(self, objects: list[bytes]) -> dict[str, Work]:
        names = [str(uuid.uuid4()) for _ in objects]
        puts = zip(names, objects)
        self._all([lambda n=n, o=o: self._obstore.put_async(self._theirs, n, o) for n, o in puts])

        async def one(name: str) -> bytes:
            found = await self._obstore.get_async(self._theirs, name)
            return (await found.bytes_async()).to_bytes()

        def get(_: object) -> list[bytes]:
            return self._all([lambda name=name: one(name) for name in names])

        return {'obstore': asking(get, None), **self._batches('get_batch', objects)}

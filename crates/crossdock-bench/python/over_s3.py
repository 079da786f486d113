"""Objects in S3, over loopback: beside obstore and OpenDAL, on one server.

The server sends an answer in two parts and waits with the second until the first is acknowledged, which Linux does after 40 ms
where it sees fit. This would decide about every figure, for all contestants by chance. So this part of the run is a process of its
own, in a network of its own whose loopback interface acknowledges at once; where that may not be had, the report says so.

over_s3.py short|full     prints the points and rows as JSON
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from typing import Any

from bench import FULL, SHORT, Bench, Row, bytes_of, require_same, size
from contestants import Obstore, Opendal, is_installed
from turns import Work, asking, batches, putting

from servers import Absent, server

CHANNEL = 'S3'
# Objects of a batch, and their size in bytes.
BATCH, SMALL = 256, 1_000
# What one contestant may have on the server while it is measured, in calls: the server looks at all of them.
MOST = 200


# Runs what follows in a network of its own.
PROMPT = (
    'ip link set lo up && ip route replace local 127.0.0.1 dev lo src 127.0.0.1 table local quickack 1 && exec "$@"'
)
IN_OWN_NETWORK = ['unshare', '--net', 'sh', '-c', PROMPT, 'sh']


def s3(bench: Bench) -> None:
    if not is_installed('obstore'):
        return bench.skip(CHANNEL, 'obstore is not installed')
    command = [sys.executable, __file__, bench.plan.name]
    if own_network():
        command = [*IN_OWN_NETWORK, *command]
    else:
        bench.skip(
            f'{CHANNEL} in a network of its own', 'needs root and iproute2; late acknowledgements are in the figures'
        )
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        why = (done.stderr.strip() or 'said nothing').splitlines()[-1]
        return bench.skip(CHANNEL, f'its process ended with {done.returncode}: {why}')
    found = json.loads(done.stdout)
    bench.points += found['points']
    bench.rows += [Row(**row) for row in found['rows']]
    bench.absent += found['absent']


def own_network() -> bool:
    try:
        return subprocess.run([*IN_OWN_NETWORK, 'true'], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def main() -> None:
    bench = Bench({'short': SHORT, 'full': FULL}[sys.argv[1]])
    try:
        with server('s3') as started:
            buckets = Buckets(started)
            buckets.single(bench)
            buckets.many(bench)
            buckets.close()
    except Absent as absent:
        bench.skip(CHANNEL, str(absent))
    rows = [row.__dict__ for row in bench.rows]
    print(json.dumps({'points': bench.points, 'rows': rows, 'absent': bench.absent}))


class Buckets:
    """Everyone on one server, each below a prefix of its own."""

    def __init__(self, started: dict[str, Any]) -> None:
        from obstore.store import S3Store

        from crossdock.connectors.object_store import ObjectStoreConnector

        access = {'endpoint': started['endpoint'], 'access_key_id': started['access_key'], 'region': started['region']}
        secret = started['secret_key']
        http = {'allow_http': True}
        self._store = S3Store('objects', prefix='obstore', secret_access_key=secret, client_options=http, **access)
        # Configs have references to secrets, not secrets.
        os.environ['CROSSDOCK_BENCH_SECRET'] = secret
        options = {**access, 'secret_access_key': '${env:CROSSDOCK_BENCH_SECRET}'}
        self._ours = ObjectStoreConnector('s3://objects/ours', options=options)
        self._ours_at_once = ObjectStoreConnector('s3://objects/ours', options=options, concurrency=BATCH)
        self._rivals = {'obstore': Obstore(self._store), 'crossdock': self._ours}
        if is_installed('opendal'):
            self._rivals['opendal'] = Opendal(
                's3', bucket='objects', root='/opendal', secret_access_key=secret, **access
            )
        self._loop = asyncio.new_event_loop()

    def close(self) -> None:
        self._ours.close(clear=True)
        self._ours_at_once.close()
        self._loop.close()

    def single(self, bench: Bench) -> None:
        """One object a call."""
        sizes = bench.plan.sizes_up_to(bench.plan.slow)
        if len(sizes) < len(bench.plan.sizes):
            bench.skip(f'{CHANNEL}, more than {size(sizes[-1])}', 'the server would have most of the time')
        for operation in ('put', 'get'):
            for count in sizes:
                obj = bytes_of(count)
                keys: dict[str, Any] = {}
                if operation == 'put':
                    works = {name: putting(one, obj, MOST) for name, one in self._rivals.items()}
                else:
                    keys = {name: one.put(obj) for name, one in self._rivals.items()}
                    for name, one in self._rivals.items():
                        require_same(name, one.get(keys[name]), obj)
                    works = {name: asking(one.get, keys[name]) for name, one in self._rivals.items()}
                target = 1 if 1_000 <= count <= 100_000_000 else None
                bench.measure(CHANNEL, operation, count, works, {'obstore': target}, bench.plan.budget * 2)
                for name, key in keys.items():
                    self._rivals[name].evict(key)

    def many(self, bench: Bench) -> None:
        """A batch, of as many at the same time as there are, and of as many as usual."""
        objects = [bytes_of(SMALL + n)[:SMALL] for n in range(BATCH)]
        what, group = f'{BATCH} x {size(SMALL)}', f'{CHANNEL}, batches'
        for operation, theirs in (('put_batch', self._putting(objects)), ('get_batch', self._getting(objects))):
            works = {
                'obstore': theirs,
                'crossdock': batches(self._ours_at_once, operation, objects),
                'usual': batches(self._ours, operation, objects),
            }
            seconds = bench.times(works, bench.plan.budget * 3)
            bench.faster(group, f'{operation}, {what}, all at the same time', 'obstore', seconds, 1)
            usual = {'obstore': seconds['obstore'], 'crossdock': seconds['usual']}
            bench.faster(group, f'{operation}, {what}, ours 32 at a time as usual', 'obstore', usual, 1)

    def _all(self, calls: list[Callable[[], Any]]) -> list[Any]:
        """obstore has no batches: all at the same time is what its users do."""

        async def together() -> list[Any]:
            return await asyncio.gather(*(call() for call in calls))

        return self._loop.run_until_complete(together())

    def _put(self, objects: list[bytes]) -> list[str]:
        import obstore

        names = [str(uuid.uuid4()) for _ in objects]
        self._all([lambda n=n, o=o: obstore.put_async(self._store, n, o) for n, o in zip(names, objects)])
        return names

    def _putting(self, objects: list[bytes]) -> Work:
        import obstore

        names: list[str] = []

        def put(calls: int) -> float:
            start = time.perf_counter()
            for _ in range(calls):
                names.extend(self._put(objects))
            return time.perf_counter() - start

        def clean() -> None:
            if names:
                obstore.delete(self._store, names)
            names.clear()

        return Work(put, clean, 1)

    def _getting(self, objects: list[bytes]) -> Work:
        import obstore

        names = self._put(objects)

        async def one(name: str) -> Any:
            found = await obstore.get_async(self._store, name)
            return await found.bytes_async()

        return asking(lambda _: self._all([lambda name=name: one(name) for name in names]), None)


if __name__ == '__main__':
    main()

"""Objects in S3, over loopback: beside obstore and OpenDAL, on one server.

This part of the run is a process of its own, in a network of its own (`own-network` says why); where that may not be had, the
report says so.

over_s3.py short|full     prints the points and rows as JSON
"""

from __future__ import annotations

import asyncio
import json
import os
import pathlib
import subprocess
import sys
import uuid
from collections.abc import Coroutine
from typing import Any

from bench import FULL, SHORT, Bench, Row, bytes_of, require_same, size
from contestants import Obstore, Opendal, is_installed
from turns import asking, batches, putting

from servers import Absent, server

CHANNEL = 'S3'
# Objects of a batch, and their size in bytes.
BATCH, SMALL = 256, 1_000
# What one contestant may have on the server while it is measured, in calls: the server looks at all of them.
MOST = 200

# Runs a command in such a network.
OWN_NETWORK = pathlib.Path(__file__).resolve().parents[1] / 'own-network'


def s3(bench: Bench) -> None:
    if not is_installed('obstore'):
        return bench.skip(CHANNEL, 'obstore is not installed')
    command = [sys.executable, __file__, bench.plan.name]
    if own_network():
        command = [str(OWN_NETWORK), *command]
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
    return subprocess.run([OWN_NETWORK, 'true'], capture_output=True, check=False).returncode == 0


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
        theirs = AllAtOnce(self._store, self._loop)
        for operation in ('put_batch', 'get_batch'):
            works = {
                'obstore': batches(theirs, operation, objects),
                'crossdock': batches(self._ours_at_once, operation, objects),
                'usual': batches(self._ours, operation, objects),
            }
            seconds = bench.times(works, bench.plan.budget * 3)
            bench.faster(group, f'{operation}, {what}, all at the same time', 'obstore', seconds, 1)
            usual = {'obstore': seconds['obstore'], 'crossdock': seconds['usual']}
            bench.faster(group, f'{operation}, {what}, ours 32 at a time as usual', 'obstore', usual, 1)


class AllAtOnce(Obstore):
    """obstore has no batches: all at the same time is what its users do."""

    def __init__(self, store: Any, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(store)
        self._loop = loop

    def _all(self, calls: list[Coroutine[Any, Any, Any]]) -> list[Any]:
        async def together() -> list[Any]:
            return await asyncio.gather(*calls)

        return self._loop.run_until_complete(together())

    def put_batch(self, objects: list[bytes]) -> list[str]:
        async def one(name: str, obj: bytes) -> None:
            await self._module.put_async(self.store, name, obj)

        names = [str(uuid.uuid4()) for _ in objects]
        self._all([one(name, obj) for name, obj in zip(names, objects)])
        return names

    def get_batch(self, names: list[str]) -> list[Any]:
        async def one(name: str) -> Any:
            return await (await self._module.get_async(self.store, name)).bytes_async()

        return self._all([one(name) for name in names])


if __name__ == '__main__':
    main()

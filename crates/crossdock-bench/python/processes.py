"""What is not the time of a call: a fresh process, peak memory, threads, the size of a pickled proxy."""

from __future__ import annotations

import itertools
import json
import pathlib
import pickle
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import contestants
import files
from bench import MEMORY, Bench, bytes_of, cores, quartiles, room_in, size, temporary
from contestants import ALIKE, PACKAGES
from turns import Work

HERE = pathlib.Path(__file__).parent
PEAK = 'Peak memory over the object, in sizes of it'
# ProxyStore imports these where they are installed, as its users have them. Without them it starts in a fifth of the time.
NOT_NEEDED = ('numpy', 'pandas', 'polars')


def imports(bench: Bench, directory: pathlib.Path) -> None:
    """A fresh process that imports the multi-connector and builds one, without what a bare Python takes."""
    without = f'import sys; sys.modules |= dict.fromkeys({NOT_NEEDED!r})\n'
    works = {'bare': fresh('pass', directory)}
    for name in ALIKE:
        package = PACKAGES[name]
        config = {
            tier: (f'{package}.connectors.file.FileConnector', {'store_dir': str(directory / tier)}, policy)
            for tier, policy in (('small', {'max_size_bytes': 1_000, 'priority': 1}), ('rest', {}))
        }
        code = f'from {package}.connectors.multi import MultiConnector; MultiConnector.from_config({config!r})'
        works[name] = fresh(code, directory)
        works[f'{name} without'] = fresh(without + code, directory)
    rounds = bench.plan.processes
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for count in range(rounds + 1):
        for name in sorted(works, reverse=bool(count % 2)):
            taken = works[name].turn(1)
            # The first has its files read from the disk.
            if count > 0:
                seconds[name].append(taken)
    middle = statistics.median(seconds.pop('bare'))
    over = {name: [one - middle for one in taken] for name, taken in seconds.items()}
    what = f'import and config, over a bare Python ({middle * 1e3:.1f} ms)'
    bench.faster('A fresh process', f'{what}, NumPy and pandas installed', 'ProxyStore', over, 5)
    lean = {name: over[f'{name} without'] for name in ALIKE}
    bench.faster('A fresh process', f'{what}, neither installed', 'ProxyStore', lean, 5)


def fresh(code: str, directory: pathlib.Path) -> Work:
    """A new Python, with frozen modules as an installed one has them."""
    command = [sys.executable, '-X', 'frozen_modules=on', '-c', code]

    def run(calls: int) -> float:
        start = time.perf_counter()
        for _ in range(calls):
            subprocess.run(command, cwd=directory, check=True)
        return time.perf_counter() - start

    return Work(run)


def proxies(bench: Bench, directory: pathlib.Path) -> None:
    """A pickled proxy behind two file connectors. Both see the same names and directories."""
    from proxystore.store import Store

    sizes = {}
    for name in ALIKE:
        multi = contestants.multi_module(name)
        small, rest = (
            contestants.connector(name, 'file', 'FileConnector', str(directory / tier)) for tier in ('small', 'rest')
        )
        policies = multi.Policy(priority=1, max_size_bytes=1_000), multi.Policy()
        with Store(
            'bench', multi.MultiConnector({'small': (small, policies[0]), 'rest': (rest, policies[1])})
        ) as store:
            proxy = store.proxy('object')
            sizes[name] = len(pickle.dumps(proxy))
            key = proxy.__proxy_factory__.key.connector_key
            if name == 'crossdock' and key.checksum is None:
                raise ValueError('the key in the proxy has no checksum, which the target includes')
    theirs, ours = (sizes[name] for name in ALIKE)
    what = 'a pickled proxy behind two file connectors'
    bench.single('Size', what, 'ProxyStore', (theirs, ours), 'bytes', ours / theirs, 1.1, at_most=True)


def peaks(bench: Bench) -> None:
    """Peak memory of a large put and get in files and shared memory."""
    count = bench.plan.peak
    if room_in(MEMORY) < 3.5 * count:
        return bench.skip(PEAK, f'needs {size(3.5 * count)} of memory')
    # ProxyStore's are files in both, as it has no shared memory of its own.
    for what, kind in (('File on tmpfs', 'file'), ('shared memory (ProxyStore: files)', 'shm')):
        with temporary(MEMORY) as directory:
            peak(bench, what, kind, {name: str(directory / name) for name in ALIKE}, 1.05)


def peak(bench: Bench, what: str, kind: str, places: dict[str, str], target: float) -> None:
    """A row for putting and one for getting; `places` is where each keeps the object."""
    ratios: dict[str, dict[str, float]] = {'put': {}, 'get': {}}
    for name in ALIKE:
        argument = str(bench.plan.peak)
        channel = 'file' if kind == 'shm' and name == 'ProxyStore' else kind
        for work, found in ratios.items():
            command = [sys.executable, str(HERE / 'peak.py'), PACKAGES[name], channel, work, places[name], argument]
            run = subprocess.run(command, capture_output=True, text=True, check=False)
            if run.returncode != 0:
                return bench.skip(f'{PEAK}: {what}', f'{name} {work} ended with {run.returncode}: {run.stderr[-300:]}')
            answer = json.loads(run.stdout)
            found[name], argument = answer['ratio'], json.dumps(answer['key'])
    for work, found in ratios.items():
        theirs, ours = (found[name] for name in ALIKE)
        named = f'{work}, {size(bench.plan.peak)}, {what}'
        bench.single(PEAK, named, 'ProxyStore', (theirs, ours), 'sizes', ours, target, at_most=True)


def threads(bench: Bench) -> None:
    """The same objects put by one thread and by four."""
    count, objects = 1_000_000, 64
    obj = bytes_of(count)
    with temporary(MEMORY) as directory, ThreadPoolExecutor(4) as pool:
        rivals = files.connectors(directory)
        shared = contestants.connector(
            'crossdock', 'shm', 'SharedMemoryConnector', str(directory / 'shm'), recycle_bytes=2 * objects * count
        )
        works = {
            f'{name} {number}': threaded(pool, one, obj, number, objects)
            for name, one in {**rivals, 'shared memory': shared}.items()
            for number in (1, 4)
        }
        seconds = bench.times(works, bench.plan.budget * 4)
        for one in (*rivals.values(), shared):
            one.close(clear=True)
    rates = {name: count / quartiles(taken)[1] / 1e6 for name, taken in seconds.items()}
    # Three quarters of the cores, as all of them write to the same memory.
    usable = min(4, cores())
    target = 0.75 * usable if usable > 1 else None
    for name, what in (('crossdock', 'File on tmpfs'), ('shared memory', 'shared memory')):
        ratio = quartiles([one / four for one, four in zip(seconds[f'{name} 1'], seconds[f'{name} 4'])])
        pair = rates[f'{name} 1'], rates[f'{name} 4']
        named = f'put, 1 MB, {what}: 4 threads beside 1, {cores()} cores'
        bench.single('Threads', named, 'one thread', pair, 'MB/s', ratio, target, rounds=len(seconds[f'{name} 1']))


def threaded(pool: ThreadPoolExecutor, connector: Any, obj: bytes, number: int, objects: int) -> Work:
    keys: list[Any] = []

    def put(calls: int) -> list[Any]:
        return [connector.put(obj) for _ in range(calls)]

    def run(_: int) -> float:
        start = time.perf_counter()
        found = list(pool.map(put, [objects // number] * number))
        taken = time.perf_counter() - start
        keys.extend(itertools.chain(*found))
        return taken / objects

    def clean() -> None:
        for key in keys:
            connector.evict(key)
        keys.clear()

    return Work(run, clean, 1)

"""crossdock against ProxyStore and others, in one run and in turn: `make bench`, or `python compare.py --quick`.

Both do the same work on the same machine a moment apart, so what slows the machine down slows both down. What counts is
the ratio of the medians; the brackets are quartiles over the rounds. A missed target is printed first and is no failure
of this program.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import importlib
import importlib.metadata
import importlib.util
import itertools
import json
import os
import pathlib
import pickle
import platform
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import serializers
import services
from report import Points, Row, plots, quartiles, size, table, timed
from turns import Work, asking, asking_in_turn, calls_for, putting, repeated, take_turns

HERE = pathlib.Path(__file__).resolve().parent
OUT = HERE.parents[2] / 'target' / 'bench'
MEMORY = pathlib.Path('/dev/shm')
PACKAGES = {'ProxyStore': 'proxystore', 'crossdock': 'crossdock'}
LARGE = 100_000_000


@dataclasses.dataclass
class Plan:
    """How often things are done."""

    rounds: int
    # Seconds that a turn of the slower contestant should take.
    turn: float
    processes: int
    peak: int
    # What the peaks of Redis are taken with.
    peaks_of_redis: tuple[int, ...]
    sizes: tuple[int, ...]


FULL = Plan(
    rounds=41,
    turn=0.015,
    processes=60,
    peak=1_000_000_000,
    peaks_of_redis=(100_000_000, 1_000_000_000),
    sizes=(10, 1_000, 100_000, 1_000_000, 10_000_000),
)
QUICK = Plan(
    rounds=9,
    turn=0.005,
    processes=12,
    peak=250_000_000,
    peaks_of_redis=(100_000_000,),
    sizes=(10, 1_000, 100_000, 1_000_000),
)


class Bench:
    """Collects rows and curves."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.rows: list[Row] = []
        self.skipped: list[str] = []
        self.curves: dict[str, dict[str, Points]] = {}

    def skip(self, what: str, why: str) -> None:
        self.skipped.append(f'{what}: {why}')

    def measure(self, group: str, operation: str, count: int, works: dict[str, Work], target: float | None) -> None:
        """One row and one point of each curve."""
        # What lies around before it is evicted stays below 64 MB.
        most = max(1, min(5_000, 64_000_000 // count)) if operation == 'put' else 5_000
        # Process memory keeps references, not copies.
        most = 5_000 if group.endswith('Local') else most
        seconds = take_turns(works, self.plan.rounds, calls_for(works, self.plan.turn, most))
        self.rows.append(timed(group, f'{operation}, {size(count)}', *seconds.values(), target))
        for name, taken in seconds.items():
            self.point(group, name, operation, count, taken)

    def point(self, group: str, contestant: str, operation: str, count: int, taken: list[float]) -> None:
        points = self.curves.setdefault(group, {}).setdefault(f'{contestant} {operation}', [])
        points.append((count, quartiles(taken)[1]))

    def local(self) -> None:
        """Put, get and exists of objects in process memory, behind four policies that part them by size."""
        group = 'Multi over 4 Local'
        multis = {}
        for name, package in PACKAGES.items():
            local, multi = (importlib.import_module(f'{package}.connectors.{one}') for one in ('local', 'multi'))
            tiers = [(f'up to {most}', multi.Policy(max_size_bytes=most)) for most in (1_000, 500_000, 10_000_000)]
            tiers.append(('all', multi.Policy()))
            multis[name] = multi.MultiConnector({tier: (local.LocalConnector(), policy) for tier, policy in tiers})
        for operation, target in (('put', 8), ('get', 2), ('exists', 2)):
            for count in (10, 100_000, 1_000_000, LARGE):
                obj = random.Random(count).randbytes(count)
                keys = {name: multi.put(obj) for name, multi in multis.items()}
                if operation == 'put':
                    works = {name: putting(multi, obj) for name, multi in multis.items()}
                else:
                    works = {name: asking(getattr(multi, operation), keys[name]) for name, multi in multis.items()}
                self.measure(group, operation, count, works, target)
                for name, multi in multis.items():
                    multi.evict(keys[name])

    def files(self, group: str, directory: pathlib.Path) -> None:
        """Put and get of files, and a large one as a view."""
        with file_connectors(directory) as connectors:
            for operation, target in (('put', 2), ('get', 3)):
                for count in self.plan.sizes:
                    obj = random.Random(count).randbytes(count)
                    aim = target if count <= 100_000 else None
                    if operation == 'put':
                        works = {name: putting(connector, obj) for name, connector in connectors.items()}
                        self.measure(group, operation, count, works, aim)
                        continue
                    # Several files, so that not all is in one cache line of the kernel.
                    keys = {name: [c.put(obj) for _ in range(4)] for name, c in connectors.items()}
                    works = {name: asking_in_turn(c.get, keys[name]) for name, c in connectors.items()}
                    self.measure(group, operation, count, works, aim)
                    for name, connector in connectors.items():
                        for key in keys[name]:
                            connector.evict(key)
            self.large(group, connectors)

    def shared_memory(self, directory: pathlib.Path) -> None:
        """Puts whose memory was used before, and gets as views, beside files on the same tmpfs."""
        from proxystore.connectors.file import FileConnector

        from crossdock.connectors.shm import SharedMemoryConnector

        group = 'Shared memory against File on tmpfs'
        with (
            FileConnector(str(directory / 'files')) as theirs,
            SharedMemoryConnector(str(directory / 'shm'), zero_copy=True, recycle_bytes=4 * LARGE) as ours,
        ):
            for count, target in ((1_000, None), (1_000_000, 5), (LARGE, 5)):
                obj = random.Random(count).randbytes(count)
                rounds = min(self.plan.rounds, 11 if count == LARGE else self.plan.rounds)
                works = {'ProxyStore': one_by_one(theirs, obj), 'crossdock': one_by_one(ours, obj)}
                seconds = take_turns(works, rounds, calls_for(works, self.plan.turn, 1_000))
                self.rows.append(timed(group, f'put, {size(count)}', *seconds.values(), target))
                keys = theirs.put(obj), ours.put(obj)
                works = {'ProxyStore': asking(theirs.get, keys[0]), 'crossdock': asking(ours.get, keys[1])}
                seconds = take_turns(works, rounds, calls_for(works, self.plan.turn, 1_000))
                aim = 1_000 if count == LARGE else 10
                self.rows.append(timed(group, f'get, {size(count)}', *seconds.values(), aim))
                theirs.evict(keys[0])
                ours.evict(keys[1])

    def large(self, group: str, connectors: dict[str, Any]) -> None:
        free = shutil.disk_usage(connectors['crossdock'].store_dir).free
        if min(free, free_memory()) < 4 * LARGE:
            return self.skip(f'{group}: get, {size(LARGE)}', f'needs {size(4 * LARGE)} of memory and of room')
        obj = random.Random(LARGE).randbytes(LARGE)
        keys = {name: connector.put(obj) for name, connector in connectors.items()}
        del obj
        theirs, ours = connectors['ProxyStore'], connectors['crossdock']
        works = {
            'ProxyStore get': asking(theirs.get, keys['ProxyStore']),
            'crossdock get': asking(ours.get, keys['crossdock']),
            'crossdock get as a view': repeated(asking(ours.get, keys['crossdock'], zero_copy=True), 50),
        }
        seconds = take_turns(works, min(21, self.plan.rounds), 1)
        for name, target in (('crossdock get as a view', 1_000), ('crossdock get', None)):
            what = name.removeprefix('crossdock ').replace('get as', f'get, {size(LARGE)}, as')
            what = what if ',' in what else f'get, {size(LARGE)}, as bytes'
            self.rows.append(timed(group, what, seconds['ProxyStore get'], seconds[name], target))
        for name, taken in seconds.items():
            self.point(group, *name.split(' ', 1), LARGE, taken)
        for name, connector in connectors.items():
            connector.evict(keys[name])

    def imports(self, directory: pathlib.Path) -> None:
        """A fresh process that imports the multi-connector and builds one, without what a bare Python takes."""
        works = {'bare': fresh('pass', directory)}
        for name, package in PACKAGES.items():
            config = {
                tier: (f'{package}.connectors.file.FileConnector', {'store_dir': str(directory / tier)}, policy)
                for tier, policy in (('small', {'max_size_bytes': 1_000, 'priority': 1}), ('rest', {}))
            }
            code = f'from {package}.connectors.multi import MultiConnector; MultiConnector.from_config({config!r})'
            works[name] = fresh(code, directory)
        seconds = take_turns(works, self.plan.processes, 1)
        bare = seconds.pop('bare')
        middle = quartiles(bare)[1]
        theirs, ours = ([one - middle for one in taken] for taken in seconds.values())
        what = f'import and config (bare Python, {middle * 1e3:.1f} ms, taken off)'
        row = timed('A fresh process', what, theirs, [max(one, 1e-5) for one in ours], 5)
        self.rows.append(row)

    def proxies(self, directory: pathlib.Path) -> None:
        """A pickled proxy behind two file connectors. Both see the same names and directories."""
        from proxystore.store import Store

        sizes = {}
        for name, package in PACKAGES.items():
            file, multi = (importlib.import_module(f'{package}.connectors.{one}') for one in ('file', 'multi'))
            connector = multi.MultiConnector(
                {
                    'small': (
                        file.FileConnector(str(directory / 'small')),
                        multi.Policy(priority=1, max_size_bytes=1_000),
                    ),
                    'rest': (file.FileConnector(str(directory / 'rest')), multi.Policy()),
                },
            )
            with Store('bench', connector) as store:
                sizes[name] = len(pickle.dumps(store.proxy('object')))
        theirs, ours = sizes.values()
        texts = f'{theirs:,} bytes', f'{ours:,} bytes'
        self.rows.append(Row('Size', 'pickled proxy, two file connectors', *texts, ours / theirs, 1.1, at_most=True))

    def peaks(self) -> None:
        """Peak memory of a large put and get, over what the process had before, in sizes of the object."""
        group, count = 'Peak memory, in sizes of the object', self.plan.peak
        if free_memory() < 2.5 * count or shutil.disk_usage(MEMORY).free < 1.2 * count:
            needs = f'needs {size(2.5 * count)} of memory and {size(1.2 * count)} in {MEMORY}'
            return self.skip(f'{group} ({size(count)})', needs)
        with tempfile.TemporaryDirectory(dir=MEMORY, prefix='crossdock-bench-') as directory:
            places = {package: str(pathlib.Path(directory) / package) for package in PACKAGES.values()}
            self.peak(group, 'File on tmpfs', 'file', places, count, 1.05)

    def peak(self, group: str, what: str, kind: str, places: dict[str, str], count: int, target: float) -> None:
        """A row for putting and one for getting; `places` is where each package keeps the object."""
        ratios: dict[str, dict[str, float]] = {'put': {}, 'get': {}}
        for name, package in PACKAGES.items():
            argument = str(count)
            for work, found in ratios.items():
                command = [sys.executable, str(HERE / 'peak.py'), package, kind, work, places[package], argument]
                run = subprocess.run(command, capture_output=True, text=True, check=False)
                if run.returncode != 0:
                    return self.skip(group, f'{package} {work} ended with {run.returncode}: {run.stderr[-300:]}')
                answer = json.loads(run.stdout)
                found[name], argument = answer['ratio'], json.dumps(answer['key'])
        for work, found in ratios.items():
            theirs, ours = found.values()
            row = Row(
                group, f'{work}, {size(count)}, {what}', f'{theirs:.3f}', f'{ours:.3f}', ours, target, at_most=True
            )
            self.rows.append(row)

    def threads(self, directory: pathlib.Path) -> None:
        """The same objects put by one thread and by four."""
        cores, count, objects = len(os.sched_getaffinity(0)), 1_000_000, 64
        obj = random.Random(4).randbytes(count)
        with file_connectors(directory) as connectors, ThreadPoolExecutor(4) as pool:
            works = {
                f'{name} {threads}': threaded(pool, connector, obj, threads)
                for name, connector in connectors.items()
                for threads in (1, 4)
            }
            seconds = take_turns(works, self.plan.rounds, objects)
        rates = {name: count / quartiles(taken)[1] / 1e6 for name, taken in seconds.items()}
        scaling = {name: rates[f'{name} 4'] / rates[f'{name} 1'] for name in PACKAGES}
        texts = [f'{rates[f"{name} 4"]:,.0f} / {rates[f"{name} 1"]:,.0f} MB/s' for name in PACKAGES]
        rounds = [one / four for one, four in zip(seconds['crossdock 1'], seconds['crossdock 4'])]
        low, _, high = quartiles(rounds)
        usable = min(4, cores)
        # Three quarters of the cores, as all of them write to the same memory.
        target = 0.75 * usable if usable > 1 else None
        what = f'put, 1 MB, tmpfs: 4 threads / 1, {cores} cores'
        self.rows.append(Row('Threads', what, *texts, scaling['crossdock'], target, spread=(low, high)))


def one_by_one(connector: Any, obj: bytes) -> Work:
    """Puts, each evicted before the next, outside of the time: a steady stream."""

    def run(calls: int) -> float:
        taken = 0.0
        for _ in range(calls):
            start = time.perf_counter()
            key = connector.put(obj)
            taken += time.perf_counter() - start
            connector.evict(key)
        return taken

    return Work(run)


def threaded(pool: ThreadPoolExecutor, connector: Any, obj: bytes, threads: int) -> Work:
    keys: list[Any] = []

    def put(calls: int) -> list[Any]:
        return [connector.put(obj) for _ in range(calls)]

    def run(calls: int) -> float:
        start = time.perf_counter()
        found = list(pool.map(put, [calls // threads] * threads))
        taken = time.perf_counter() - start
        keys.extend(itertools.chain(*found))
        return taken

    def clean() -> None:
        for key in keys:
            connector.evict(key)
        keys.clear()

    return Work(run, clean)


def fresh(code: str, directory: pathlib.Path) -> Work:
    """A new Python, with frozen modules as an installed one has them."""
    command = [sys.executable, '-X', 'frozen_modules=on', '-c', code]

    def run(calls: int) -> float:
        start = time.perf_counter()
        for _ in range(calls):
            subprocess.run(command, cwd=directory, check=True)
        return time.perf_counter() - start

    return Work(run)


@contextlib.contextmanager
def file_connectors(directory: pathlib.Path) -> Iterator[dict[str, Any]]:
    with contextlib.ExitStack() as stack:
        connectors = {}
        for name, package in PACKAGES.items():
            file = importlib.import_module(f'{package}.connectors.file')
            connectors[name] = stack.enter_context(file.FileConnector(str(directory / name)))
        yield connectors


def free_memory() -> int:
    """Bytes that may be used: of the machine, and of the control group where there is one."""
    fields = dict(line.split(':') for line in pathlib.Path('/proc/meminfo').read_text().splitlines())
    free = int(fields['MemAvailable'].split()[0]) * 1024
    with contextlib.suppress(OSError, ValueError):
        group = pathlib.Path('/sys/fs/cgroup')
        free = min(free, int((group / 'memory.max').read_text()) - int((group / 'memory.current').read_text()))
    return free


def file_system(directory: pathlib.Path) -> str:
    """The type of the file system, as the longest mount point above the directory says."""
    mounts = [line.split()[1:3] for line in pathlib.Path('/proc/mounts').read_text().splitlines()]
    above = [(point, kind) for point, kind in mounts if directory.is_relative_to(point)]
    return max(above, key=lambda mount: len(mount[0]), default=('', 'unknown'))[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--quick', action='store_true', help='fewer rounds, for a first impression')
    parser.add_argument('--out', type=pathlib.Path, default=OUT, help='for plots and objects (default: %(default)s)')
    arguments = parser.parse_args()
    missing = [package for package in PACKAGES.values() if importlib.util.find_spec(package) is None]
    if missing:
        sys.exit(f'not installed for {sys.executable}: {", ".join(missing)}')
    plan = QUICK if arguments.quick else FULL
    bench = Bench(plan)
    out = arguments.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    started, load = time.monotonic(), os.getloadavg()[0]
    with contextlib.ExitStack() as stack:

        def temporary(parent: pathlib.Path) -> pathlib.Path:
            made = tempfile.TemporaryDirectory(dir=parent, prefix='crossdock-bench-', ignore_cleanup_errors=True)
            return pathlib.Path(stack.enter_context(made))

        disk = temporary(out)
        bench.local()
        if os.access(MEMORY, os.W_OK):
            bench.files('File on tmpfs', temporary(MEMORY))
            bench.shared_memory(temporary(MEMORY))
        else:
            bench.skip('File on tmpfs, serializer, peak memory, threads', f'{MEMORY} cannot be written to')
        bench.files(f'File on {file_system(out)}', disk)
        bench.imports(disk)
        bench.proxies(disk)
        if os.access(MEMORY, os.W_OK):
            serializers.serializers(bench)
            bench.peaks()
            bench.threads(temporary(MEMORY))
        services.redis(bench)
        services.s3(bench)

    cores = len(os.sched_getaffinity(0))
    versions = ', '.join(f'{package} {importlib.metadata.version(package)}' for package in PACKAGES.values())
    print(f'{versions}; Python {platform.python_version()}; {cores} cores; {plan.rounds} rounds in turn.')
    print('The other is ProxyStore where no other is named.')
    print(f'Medians, with quartiles in brackets. {time.monotonic() - started:.0f} s in all, load {load:.1f} before.\n')
    missed = [row for row in bench.rows if row.missed]
    print(f'{len(missed)} of {sum(row.target is not None for row in bench.rows)} targets missed.')
    for row in missed:
        print(f'MISSED  {row.group}: {row.what}: {row.cells()[3]}, target {row.cells()[4]}')
    print(f'\n{table(bench.rows)}\n')
    for reason in bench.skipped:
        print(f'skipped: {reason}')
    if importlib.util.find_spec('matplotlib') is None:
        print('skipped: plots: matplotlib is not installed')
    else:
        for path in plots(bench.curves, out):
            print(f'drawn: {path}')


if __name__ == '__main__':
    main()

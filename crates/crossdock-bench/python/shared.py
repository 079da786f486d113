"""Objects in shared memory: a steady stream of puts, and gets from another process."""

from __future__ import annotations

import contextlib
import ctypes
import json
import pathlib
import subprocess
import sys
import timeit
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import contestants
import files
from bench import HUGE, LARGE, Bench, WrongBytes, bytes_of, free_memory, room_in, size
from contestants import Ray, SharedMemory, is_installed
from turns import Work, one_by_one

CHANNEL = 'Shared memory'
# ProxyStore has files for that, here on tmpfs.
FILES, PYTHON = 'ProxyStore (files)', 'Python shared_memory'
BYTES, COPY = 'crossdock, as bytes', 'a warm copy'
GET = 'get from another process'
MAPS = ' (a map, as of Ray and Python; ProxyStore copies)'
# Up to this size, in bytes, ours are copied; from the other on, evicted ones are not kept by default.
SMALL, RECYCLED = 128 << 10, 256 << 20
READER = pathlib.Path(__file__).with_name('reader.py')
# What Ray may have, in bytes, where the largest objects are measured: several at a time.
ROOM = 6 * HUGE
# Seconds of so many gets of that key; for none, the CRC-32 of what is got.
Times = Callable[[Any, int], float]


@contextlib.contextmanager
def another_process(kind: str, package: str, config: dict[str, Any]) -> Iterator[Times]:
    """A reader that lives as long as the block."""
    command = [sys.executable, str(READER)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        asking, answering = process.stdin, process.stdout

        def seconds(key: Any, calls: int) -> float:
            asked = {'kind': kind, 'package': package, 'config': config, 'key': list(key), 'calls': calls}
            asking.write(json.dumps(asked) + '\n')
            asking.flush()
            answer = answering.readline()
            if not answer:
                raise ChildProcessError(f'the reader of {package or kind} has ended')
            return float(answer)

        try:
            yield seconds
        finally:
            asking.close()


def shared_memory(bench: Bench, directory: pathlib.Path) -> None:
    """Every size, against files on the same tmpfs, Ray, and Python's own."""
    with contextlib.ExitStack() as stack:
        rivals = Rivals(bench, directory, stack)
        for count in bench.plan.sizes:
            if room_in(directory) < 8 * count:
                bench.skip(f'{CHANNEL}: {size(count)}', f'needs {size(8 * count)} of memory')
                continue
            rivals.measure(count)
        alike = {'ProxyStore': rivals.everyone[FILES], 'crossdock': rivals.everyone['crossdock']}
        files.batch(bench, CHANNEL, alike)


class Rivals:
    """Each puts in this process and gets in another."""

    def __init__(self, bench: Bench, directory: pathlib.Path, stack: contextlib.ExitStack) -> None:
        self._bench = bench
        self._stack = stack
        theirs = {'store_dir': str(directory / 'files')}
        # Nothing but defaults, so that what is measured is what one gets.
        self._ours = {'dir': str(directory / 'shm'), 'zero_copy': True}
        self.everyone: dict[str, Any] = {
            FILES: contestants.connector('ProxyStore', 'file', 'FileConnector', **theirs),
            'crossdock': contestants.connector('crossdock', 'shm', 'SharedMemoryConnector', **self._ours),
            PYTHON: SharedMemory(),
        }
        self._readers: dict[str, Times] = {
            FILES: stack.enter_context(another_process('file', 'proxystore', {**theirs, 'clear': False})),
            'crossdock': stack.enter_context(another_process('shm', 'crossdock', self._ours)),
            BYTES: stack.enter_context(another_process('shm', 'crossdock', {**self._ours, 'zero_copy': False})),
            PYTHON: stack.enter_context(another_process('shared_memory', '', {})),
        }
        for one in self.everyone.values():
            stack.callback(one.close)
        self._add_ray(stack)

    def _add_ray(self, stack: contextlib.ExitStack) -> None:
        room = min(ROOM, int(free_memory() * 0.4))
        if not is_installed('ray'):
            return self._bench.skip('Ray', 'ray is not installed')
        try:
            ray = Ray(room)
        except Exception as error:  # whatever it says, the others can be measured
            return self._bench.skip('Ray', f'it does not start: {str(error).splitlines()[0]}')
        stack.callback(ray.close)
        self.everyone['Ray'] = ray
        times, read = ray.reader()
        self._readers['Ray'] = lambda key, calls: times(key, calls) if calls else zlib.crc32(read(key))

    def measure(self, count: int) -> None:
        self._puts(count)
        self._gets(count)

    def _puts(self, count: int) -> None:
        bench, obj = self._bench, bytes_of(count)
        note = ''
        if count > RECYCLED:
            # By default it keeps less than that of what was evicted.
            note = f', recycle_bytes={size(ROOM)}'
            ours = contestants.connector('crossdock', 'shm', 'SharedMemoryConnector', **self._ours, recycle_bytes=ROOM)
            self._stack.callback(ours.close)
            self.everyone['crossdock'] = ours
        works = {name: one_by_one(one, self._wanted(name, obj)) for name, one in self.everyone.items()}
        aim = 5 if 1_000_000 <= count <= LARGE else None
        targets = {FILES: aim, 'Ray': aim, PYTHON: 3 if count == 1_000 else None}
        seconds = bench.measure(
            CHANNEL, 'put', count, works | {COPY: warm_copy(obj)}, targets, self._budget(count), note=note
        )
        if aim is not None:
            bench.faster(CHANNEL, f'put, {size(count)}: share of {COPY}', COPY, seconds, 0.7)

    def _gets(self, count: int) -> None:
        bench, obj = self._bench, bytes_of(count)
        keys = {name: one.put(self._wanted(name, obj)) for name, one in self.everyone.items()}
        keys[BYTES] = keys['crossdock']
        for name, read in self._readers.items():
            if read(keys[name], 0) != zlib.crc32(obj):
                raise WrongBytes(f'{name}, in another process, does not get the {count} bytes that were put')
        works = {name: Work(lambda calls, name=name: self._readers[name](keys[name], calls)) for name in self._readers}
        # A thousand times is meant against a copy; Ray has maps as we have.
        targets = {FILES: 1_000 if count == LARGE else 10, 'Ray': 10, PYTHON: 3 if count == 1_000 else None}
        note = MAPS if count > SMALL else ''
        seconds = bench.measure(CHANNEL, GET, count, works, targets, self._budget(count), note=note)
        if count > SMALL:
            bench.faster(CHANNEL, f'{GET}, {size(count)}, copied into bytes', FILES, seconds, None, ours=BYTES)
        for name, one in self.everyone.items():
            one.evict(keys[name])

    def _budget(self, count: int) -> float:
        return self._bench.plan.budget * (3 if count >= LARGE else 1)

    @staticmethod
    def _wanted(name: str, obj: bytes) -> Any:
        return Ray.wants(obj) if name == 'Ray' else obj


def warm_copy(obj: bytes) -> Work:
    """What the processor can do: a copy into memory that is there."""
    there = ctypes.create_string_buffer(len(obj))
    view = memoryview(there).cast('B')

    def copy(calls: int) -> float:
        return timeit.Timer('view[:] = obj', globals={'view': view, 'obj': obj}).timeit(calls)

    return Work(copy)

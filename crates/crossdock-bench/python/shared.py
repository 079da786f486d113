"""Objects in shared memory: a steady stream of puts, and gets from another process."""

from __future__ import annotations

import contextlib
import ctypes
import json
import pathlib
import subprocess
import sys
import timeit
from collections.abc import Callable, Iterator
from typing import Any

import contestants
import files
from bench import HUGE, LARGE, Bench, bytes_of, free_memory, room_in, size
from contestants import Ray, SharedMemory, is_installed
from turns import Work, one_by_one

CHANNEL = 'Shared memory'
# ProxyStore has files for that, here on tmpfs.
FILES, PYTHON = 'ProxyStore (files)', 'Python shared_memory'
READER = pathlib.Path(__file__).with_name('reader.py')
# What Ray may have, in bytes, where the largest objects are measured: several at a time.
ROOM = 6 * HUGE
# Seconds of so many gets of that key.
Times = Callable[[Any, int], float]


@contextlib.contextmanager
def another_process(kind: str, package: str, config: dict[str, Any]) -> Iterator[Times]:
    """A reader that lives as long as the block."""
    command = [sys.executable, str(READER)]
    pipes = {'stdin': subprocess.PIPE, 'stdout': subprocess.PIPE, 'text': True}
    with subprocess.Popen(command, **pipes) as process:

        def seconds(key: Any, calls: int) -> float:
            asked = {'kind': kind, 'package': package, 'config': config, 'key': list(key), 'calls': calls}
            process.stdin.write(json.dumps(asked) + '\n')
            process.stdin.flush()
            answer = process.stdout.readline()
            if not answer:
                raise ChildProcessError(f'the reader of {package} has ended')
            return float(answer)

        try:
            yield seconds
        finally:
            process.stdin.close()


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
        theirs = {'store_dir': str(directory / 'files')}
        # As much as Ray's.
        ours = {'dir': str(directory / 'shm'), 'zero_copy': True, 'recycle_bytes': ROOM}
        self.everyone: dict[str, Any] = {
            FILES: contestants.connector('ProxyStore', 'file', 'FileConnector', **theirs),
            'crossdock': contestants.connector('crossdock', 'shm', 'SharedMemoryConnector', **ours),
            PYTHON: SharedMemory(),
        }
        self._readers: dict[str, Times] = {
            FILES: stack.enter_context(another_process('file', 'proxystore', {**theirs, 'clear': False})),
            'crossdock': stack.enter_context(another_process('shm', 'crossdock', ours)),
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
            self.everyone['Ray'] = Ray(room)
        except Exception as error:  # whatever it says, the others can be measured
            return self._bench.skip('Ray', f'it does not start: {str(error).splitlines()[0]}')
        stack.callback(self.everyone['Ray'].close)
        self._readers['Ray'] = self.everyone['Ray'].reader()

    def measure(self, count: int) -> None:
        bench, obj = self._bench, bytes_of(count)
        budget = bench.plan.budget * (3 if count >= LARGE else 1)
        objects = {name: Ray.wants(obj) if name == 'Ray' else obj for name in self.everyone}
        works = {name: one_by_one(one, objects[name]) for name, one in self.everyone.items()}
        warm = warm_copy(obj)
        aim = 5 if 1_000_000 <= count <= LARGE else None
        targets = {FILES: aim, 'Ray': aim, PYTHON: 3 if count == 1_000 else None}
        seconds = bench.measure(CHANNEL, 'put', count, works | {'a warm copy': warm}, targets, budget)
        if aim is not None:
            bench.faster(CHANNEL, f'put, {size(count)}: share of a warm copy', 'a warm copy', seconds, 0.7)
        keys = {name: one.put(objects[name]) for name, one in self.everyone.items()}
        works = {name: self._elsewhere(name, keys[name]) for name in self.everyone}
        # A thousand times is meant against a copy; Ray has maps as we have.
        targets = {
            FILES: 1_000 if count == LARGE else 10,
            'Ray': 10,
            PYTHON: 3 if count == 1_000 else None,
        }
        bench.measure(CHANNEL, 'get from another process', count, works, targets, budget)
        for name, one in self.everyone.items():
            one.evict(keys[name])

    def _elsewhere(self, name: str, key: Any) -> Work:
        return Work(lambda calls: self._readers[name](key, calls))


def warm_copy(obj: bytes) -> Work:
    """What the processor can do: a copy into memory that is there."""
    there = ctypes.create_string_buffer(len(obj))
    view = memoryview(there).cast('B')

    def copy(calls: int) -> float:
        return timeit.Timer('view[:] = obj', globals={'view': view, 'obj': obj}).timeit(calls)

    return Work(copy)

"""The Python face of the benchmarks: crossdock beside ProxyStore, Ray, obstore and OpenDAL, in one run and in turn.

All do the same work on the same machine a moment apart, so what slows the machine down slows all of them down. What counts is
the ratio within the rounds. A missed target is printed first and is no failure of this program. `make bench` runs it.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import platform
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

import contestants
import files
import memory
import over_redis
import over_s3
import processes
import serializers
import shared
import tables
from bench import FULL, MEMORY, SHORT, Bench, cores, temporary

OUT = pathlib.Path(__file__).resolve().parents[3] / 'target' / 'bench'


def run(bench: Bench, out: pathlib.Path) -> None:
    with temporary(out) as disk:
        part(bench, memory.CHANNEL, memory.memory, bench)
        part(bench, memory.ROUTING, memory.routing, bench)
        if os.access(MEMORY, os.W_OK):
            with temporary(MEMORY) as place:
                part(bench, 'Files on tmpfs', files.files, bench, 'Files on tmpfs', place, bench.plan.sizes[-1])
            with temporary(MEMORY) as place:
                part(bench, shared.CHANNEL, shared.shared_memory, bench, place)
            part(bench, serializers.GROUP, serializers.serializers, bench)
            part(bench, processes.PEAK, processes.peaks, bench)
            part(bench, 'Threads', processes.threads, bench)
        else:
            bench.skip('Files on tmpfs, shared memory, serializers, peaks, threads', f'{MEMORY} cannot be written to')
        channel = f'Files on {files.file_system(out)}'
        part(bench, channel, files.files, bench, channel, disk, bench.plan.slow)
        part(bench, 'A fresh process', processes.imports, bench, disk)
        part(bench, 'Size', processes.proxies, bench, disk)
        part(bench, over_redis.CHANNEL, over_redis.redis, bench)
        part(bench, over_s3.CHANNEL, over_s3.s3, bench)


def part(bench: Bench, name: str, measure: Callable[..., None], *arguments: Any) -> None:
    """One that fails is told in the report, and leaves the others their turn."""
    began = time.monotonic()
    try:
        measure(*arguments)
    except Exception as error:
        traceback.print_exc()
        bench.skip(name, f'it failed: {error}')
    print(f'{name}: measured in {time.monotonic() - began:.0f} s', file=sys.stderr)


def at_work() -> float:
    """How many cores others use, over a second. The usual load has this program's own past in it."""

    def spent() -> list[int]:
        return [int(word) for word in pathlib.Path('/proc/stat').read_text().split('\n', 1)[0].split()[1:]]

    before = spent()
    time.sleep(1)
    passed = [after - one for after, one in zip(spent(), before)]
    # The fourth and the fifth are idle, and waiting for a disk.
    return cores() * (1 - sum(passed[3:5]) / max(1, sum(passed)))


def machine() -> dict[str, object]:
    lines = pathlib.Path('/proc/cpuinfo').read_text().splitlines()
    models = [line.split(':')[1].strip() for line in lines if line.startswith('model name')]
    cpu = models[0] if models else platform.machine()
    return {'cores': cores(), 'kernel': platform.release(), 'cpu': cpu, 'load': at_work()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--short', action='store_true', help='a minute and a half, for a first impression')
    parser.add_argument('--json', type=pathlib.Path, default=OUT / 'python.json', help='(default: %(default)s)')
    arguments = parser.parse_args()
    missing = [name for name in contestants.ALIKE if not contestants.is_installed(contestants.PACKAGES[name])]
    if missing:
        sys.exit(f'not installed for {sys.executable}: {", ".join(missing)}')
    bench = Bench(SHORT if arguments.short else FULL)
    for name, package in contestants.PACKAGES.items():
        if not contestants.is_installed(package):
            bench.skip(name, 'the package is not installed')
    out = arguments.json.resolve()
    out.parent.mkdir(parents=True, exist_ok=True)
    began, before = time.monotonic(), machine()
    run(bench, out.parent)
    report = {
        'face': 'python',
        'form': bench.plan.name,
        'machine': before,
        'versions': {**contestants.versions(), 'Python': platform.python_version()},
        'seconds': round(time.monotonic() - began),
        'points': bench.points,
        'rows': [row.__dict__ for row in bench.rows],
        'absent': bench.absent,
    }
    out.write_text(json.dumps(report, indent=1) + '\n')
    print(tables.for_terminal(json.loads(out.read_text())))


if __name__ == '__main__':
    main()

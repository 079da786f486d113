"""Objects as files: on tmpfs and on the disk."""

from __future__ import annotations

import pathlib
from typing import Any

import contestants
from bench import HUGE, LARGE, Bench, bytes_of, require_same, room_in, size
from contestants import ALIKE, Obstore, Opendal, is_installed
from turns import Work, asking, asking_in_turn, batches, putting, repeated

# What takes longer than this in bytes is given more time, so that there are more rounds of it.
SMALL = 10_000_000
BATCH = 1_000


def connectors(directory: pathlib.Path) -> dict[str, Any]:
    """ProxyStore's and ours, which have the same files."""
    return {name: contestants.connector(name, 'file', 'FileConnector', str(directory / name)) for name in ALIKE}


def rivals(directory: pathlib.Path) -> dict[str, Any]:
    found = connectors(directory)
    if is_installed('obstore'):
        from obstore.store import LocalStore

        found['obstore'] = Obstore(LocalStore(directory / 'obstore', mkdir=True))
    if is_installed('opendal'):
        found['opendal'] = Opendal('fs', root=str(directory / 'opendal'))
    return found


def files(bench: Bench, channel: str, directory: pathlib.Path, most: int) -> None:
    """Put and get of every size; large ones also as a view."""
    everyone = rivals(directory)
    if most < bench.plan.sizes[-1]:
        bench.skip(f'{channel}, more than {size(most)}', 'the disk would have most of the time')
    for count in bench.plan.sizes_up_to(most):
        if room_in(directory) < 6 * count:
            bench.skip(f'{channel}: {size(count)}', f'needs {size(6 * count)} of memory and of room')
            continue
        obj = bytes_of(count)
        budget = bench.plan.budget * (3 if count > SMALL else 1)
        aims = (2, 3) if count <= 100_000 else (None, None)
        works = {name: putting(one, obj) for name, one in everyone.items()}
        bench.measure(channel, 'put', count, works, {'ProxyStore': aims[0]}, budget)
        # Several files, so that not all is in one cache line of the kernel.
        keys = {name: [one.put(obj) for _ in range(4 if count <= SMALL else 1)] for name, one in everyone.items()}
        for name, one in everyone.items():
            require_same(name, one.get(keys[name][0]), obj)
        del obj
        works = getting(everyone, keys, count)
        seconds = bench.measure(channel, 'get', count, works, {'ProxyStore': aims[1]}, budget)
        if 'crossdock, as a view' in seconds:
            target = 1_000 if count == LARGE else None
            what = f'get, {size(count)}, as a view'
            bench.faster(channel, what, 'ProxyStore', seconds, target, ours='crossdock, as a view')
        for name, one in everyone.items():
            for key in keys[name]:
                one.evict(key)
    batch(bench, channel, {name: everyone[name] for name in ALIKE})
    for one in everyone.values():
        one.close()


def getting(everyone: dict[str, Any], keys: dict[str, list[Any]], count: int) -> dict[str, Work]:
    works = {name: asking_in_turn(one.get, keys[name]) for name, one in everyone.items()}
    if count >= 1_000_000:
        view = asking(everyone['crossdock'].get, keys['crossdock'][0], zero_copy=True)
        works['crossdock, as a view'] = repeated(view, 50 if count < HUGE else 10)
    return works


def batch(bench: Bench, channel: str, alike: dict[str, Any]) -> None:
    objects = [bytes_of(BATCH) for _ in range(BATCH)]
    for operation in ('put_batch', 'get_batch'):
        works = {name: batches(one, operation, objects) for name, one in alike.items()}
        bench.faster(channel, f'{operation}, {BATCH:,} x 1 kB', 'ProxyStore', bench.times(works), None)


def file_system(directory: pathlib.Path) -> str:
    """The type of the file system, as the longest mount point above the directory says."""
    mounts = [line.split()[1:3] for line in pathlib.Path('/proc/mounts').read_text().splitlines()]
    above = [(point, kind) for point, kind in mounts if directory.is_relative_to(point)]
    # Of several at one point, the last hides the others.
    return max(reversed(above), key=lambda mount: len(mount[0]), default=('', 'unknown'))[1]

"""The targets, one for each kind of work: which rows show it, and so whether it is met, missed, or was not measured."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

from tables import figure, is_missed, markdown


@dataclasses.dataclass(frozen=True)
class Target:
    """`rows` is a pattern for `group: what, beside other` of the rows with a target, in reports of `face`."""

    work: str
    against: str
    least: str
    face: str
    rows: str


TARGETS = (
    Target(
        'put into Local through Multi, 10 B-1 GB',
        "ProxyStore's Multi",
        '8 times faster',
        'python',
        'Multi over 4 Local: put',
    ),
    Target(
        'get and exists of the same',
        "ProxyStore's Multi",
        '2 times faster',
        'python',
        'Multi over 4 Local: (get|exists)',
    ),
    Target('routing in Rust, 4 policies', 'a bare put', '50 ns more', 'rust', r'Routing: added by 4 policies \('),
    Target('routing in Rust, 256 policies', 'a bare put', '1 µs more', 'rust', 'Routing: added by 256 policies'),
    Target('File put, 10 B-100 kB, tmpfs', 'ProxyStore', '2 times faster', 'python', 'Files on tmpfs: put'),
    Target('File put, 10 B-100 kB, disk', 'ProxyStore', '2 times faster', 'python', 'Files on (?!tmpfs).*: put'),
    Target(
        'File get, 10 B-100 kB, tmpfs', 'ProxyStore', '3 times faster', 'python', 'Files on tmpfs: get, [0-9]+ k?B,'
    ),
    Target(
        'File get, 10 B-100 kB, disk',
        'ProxyStore',
        '3 times faster',
        'python',
        'Files on (?!tmpfs).*: get, [0-9]+ k?B,',
    ),
    Target(
        'File get of 100 MB as a view',
        'ProxyStore',
        '1,000 times faster',
        'python',
        'Files on .*: get, 100 MB, as a view',
    ),
    Target(
        'Redis put and get, 10 B and 1 kB', 'ProxyStore', '1.5 times faster', 'python', 'Redis: (put|get), (10 B|1 kB),'
    ),
    Target('the same, Python', 'a bare socket', 'at most 1.25 times as long', 'python', 'Redis beside a bare socket'),
    Target('the same, Rust', 'a bare socket', 'at most 1.25 times as long', 'rust', 'Redis: .*bare socket'),
    Target('Redis put and get of 100 MB', 'ProxyStore', '1.5 times faster', 'python', 'Redis: (put|get), 100 MB'),
    Target(
        '1,000 x 1 kB through Multi over Redis',
        "ProxyStore's Multi",
        '30 times faster',
        'python',
        'Redis, batches: .*beside ProxyStore$',
    ),
    Target(
        'the same',
        'redis-benchmark -P 64',
        'at most 1.5 times as long',
        'python',
        'Redis, batches: .*beside redis-benchmark',
    ),
    Target(
        'shared memory put, 1-100 MB',
        "ProxyStore's files on tmpfs",
        '5 times faster',
        'python',
        r'Shared memory: put.*beside ProxyStore \(files\)',
    ),
    Target('the same', 'Ray', '5 times faster', 'python', 'Shared memory: put.*beside Ray'),
    Target(
        'the same, Python', 'a warm copy', '70 % of its speed', 'python', 'Shared memory: put.*share of a warm copy'
    ),
    Target('the same, Rust', 'a warm copy', '70 % of its speed', 'rust', 'Shared memory: put.*copy into a warm map'),
    Target(
        'shared memory get in another process, 10 B-1 GB',
        "ProxyStore's files on tmpfs",
        '10 times faster',
        'python',
        r'Shared memory: get (?!.*, 100 MB).*beside ProxyStore \(files\)',
    ),
    Target(
        'the same, 100 MB',
        "ProxyStore's files on tmpfs",
        '1,000 times faster',
        'python',
        r'Shared memory: get .*, 100 MB.*beside ProxyStore \(files\)',
    ),
    Target('the same, 10 B-1 GB', 'Ray', '10 times faster', 'python', 'Shared memory: get .*beside Ray'),
    Target(
        'shared memory put and get of 1 kB',
        'Python shared_memory',
        '3 times faster',
        'python',
        'Shared memory: .*beside Python shared_memory',
    ),
    Target('S3 put and get, 1 kB-100 MB', 'obstore', 'on a par', 'python', 'S3: '),
    Target('S3 batches of 256 x 1 kB', 'obstore', 'on a par', 'python', 'S3, batches: '),
    Target('S3 in Rust, batches too', 'object_store', 'on a par', 'rust', 'S3: '),
    Target('import, then a Multi from a config', 'ProxyStore', '5 times faster', 'python', 'A fresh process: '),
    Target('peak memory of a 1 GB put and get', 'the object itself', '1.05; Redis 1.1', 'python', 'Peak memory'),
    Target('the same, Rust', 'the object itself', '1.05; Redis 1.1', 'rust', 'Peak memory'),
    Target('4 threads putting 1 MB into File and shm', 'one thread', '0.75 of the cores', 'python', 'Threads: '),
    Target('the same, Rust', '1 thread', '0.75 of the cores', 'rust', 'Threads: '),
    Target('size of a pickled proxy', 'ProxyStore', 'at most 1.1 times', 'python', 'Size: a pickled proxy'),
    Target('1 GB array behind a proxy, another process', 'a limit', '1 ms; 50 MB', 'python', 'A proxy of an array'),
)


def text_of(row: dict[str, Any]) -> str:
    return f'{row["group"]}: {row["what"]}, beside {row["other"]}'


def summary(reports: list[dict[str, Any]]) -> list[list[str]]:
    """A line for each target: work, against, at least, what was found, verdict."""
    lines = []
    for target in TARGETS:
        rows = [
            row
            for report in reports
            if report['face'] == target.face
            for row in report['rows']
            if row['target'] is not None and re.match(target.rows, text_of(row))
        ]
        lines.append([target.work, target.against, target.least, *found(rows)])
    return lines


def found(rows: list[dict[str, Any]]) -> tuple[str, str]:
    if not rows:
        return '', '**not measured**'
    ratios = sorted(row['ratio'][1] for row in rows)
    missed = sum(map(is_missed, rows))
    shown = figure(ratios[0]) if len(ratios) == 1 else f'{figure(ratios[0])} to {figure(ratios[-1])}'
    return shown, 'met' if missed == 0 else f'**missed** by {missed} of {len(rows)}'


def table(reports: list[dict[str, Any]]) -> list[str]:
    head = ['work', 'beside', 'target', 'found', '']
    return markdown(head, summary(reports))

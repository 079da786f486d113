"""What a run collects: points of curves, rows that are held against targets, and what could not be measured."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import random
import shutil
import statistics
import tempfile
from collections.abc import Iterator
from typing import Any

from turns import MOST, Work, take_turns

MEMORY = pathlib.Path('/dev/shm')
LARGE = 100_000_000
HUGE = 1_000_000_000

# The quarter, the middle and the three quarters.
Quartiles = tuple[float, float, float]


def quartiles(figures: list[float]) -> Quartiles:
    low, middle, high = statistics.quantiles(figures, n=4, method='inclusive')
    return low, middle, high


@dataclasses.dataclass(frozen=True)
class Plan:
    """How long things may take, in seconds, and how large they are, in bytes."""

    name: str
    # One contestant's turn, and a row of all contestants.
    turn: float
    budget: float
    sizes: tuple[int, ...]
    # The most that goes to the disk and to S3.
    slow: int
    rounds: int
    processes: int
    peak: int

    def sizes_up_to(self, most: int) -> list[int]:
        return [count for count in self.sizes if count <= most]


FULL = Plan(
    name='full',
    turn=0.015,
    budget=3,
    sizes=(10, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, LARGE, HUGE),
    slow=LARGE,
    rounds=MOST,
    processes=25,
    peak=HUGE,
)
SHORT = Plan(
    name='short',
    turn=0.004,
    budget=0.2,
    sizes=(10, 1_000, 100_000, 1_000_000, LARGE),
    slow=1_000_000,
    rounds=7,
    processes=5,
    peak=250_000_000,
)


@dataclasses.dataclass(frozen=True)
class Row:
    """Ours beside another. `ratio` is held against `target`: a least value, unless `at_most`."""

    group: str
    what: str
    other: str
    theirs: Quartiles
    ours: Quartiles
    unit: str
    ratio: Quartiles
    target: float | None
    at_most: bool
    # Rounds that the quartiles are of; 1 for what was measured once.
    rounds: int
    # `ratio` is ours, in this row's unit, and held against a limit in that unit.
    is_absolute: bool = False


class Bench:
    """Collects what is measured."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.rows: list[Row] = []
        self.points: list[dict[str, Any]] = []
        self.absent: list[str] = []

    def skip(self, what: str, why: str) -> None:
        self.absent.append(f'{what}: {why}')

    def times(self, works: dict[str, Work], budget: float | None = None) -> dict[str, list[float]]:
        """Seconds a call, by contestant and round."""
        return take_turns(works, self.plan.turn, budget or self.plan.budget, self.plan.rounds)

    def measure(
        self,
        channel: str,
        operation: str,
        count: int,
        works: dict[str, Work],
        targets: dict[str, float | None],
        budget: float | None = None,
        note: str = '',
    ) -> dict[str, list[float]]:
        """One point of each contestant's curve, and a row for each that has, or could have, a target.

        The note says what is particular about ours.
        """
        seconds = self.times(works, budget)
        for name, taken in seconds.items():
            contestant, *kind = name.split(', ', 1)
            self.point(channel, contestant, ' '.join([operation, *kind]), count, taken)
        for name, target in targets.items():
            if name in seconds:
                self.faster(channel, f'{operation}, {size(count)}{note}', name, seconds, target)
        return seconds

    def point(
        self, channel: str, contestant: str, operation: str, at: int, taken: list[float], x: str = 'bytes'
    ) -> None:
        self.points.append(
            {
                'channel': channel,
                'contestant': contestant,
                'operation': operation,
                'x': x,
                'at': at,
                'seconds': quartiles(taken),
            }
        )

    def faster(
        self,
        group: str,
        what: str,
        other: str,
        seconds: dict[str, list[float]],
        target: float | None,
        ours: str = 'crossdock',
    ) -> None:
        """A row that says how many times faster ours is. Ratios are those within the rounds."""
        self._timed(group, what, other, seconds[other], seconds[ours], target, at_most=False)

    def slower(self, group: str, what: str, other: str, seconds: dict[str, list[float]], at_most: float | None) -> None:
        """A row that says how many times as long ours takes."""
        self._timed(group, what, other, seconds[other], seconds['crossdock'], at_most, at_most=True)

    def _timed(
        self,
        group: str,
        what: str,
        other: str,
        theirs: list[float],
        ours: list[float],
        target: float | None,
        at_most: bool,
    ) -> None:
        pairs = zip(ours, theirs) if at_most else zip(theirs, ours)
        # Within the rounds, so that what slows a whole round down does not show.
        ratio = quartiles([one / another for one, another in pairs])
        row = Row(group, what, other, quartiles(theirs), quartiles(ours), 's', ratio, target, at_most, len(ours))
        self.rows.append(row)

    def single(
        self,
        group: str,
        what: str,
        other: str,
        pair: tuple[float, float],
        unit: str,
        ratio: float | Quartiles,
        target: float | None,
        at_most: bool = False,
        rounds: int = 1,
    ) -> None:
        """A row of two figures that are no times, theirs and ours."""
        (theirs, ours), ratio = pair, ratio if isinstance(ratio, tuple) else (ratio,) * 3
        self.rows.append(Row(group, what, other, (theirs,) * 3, (ours,) * 3, unit, ratio, target, at_most, rounds))

    def limit(
        self, group: str, what: str, other: str, theirs: float, ours: list[float], unit: str, most: float | None
    ) -> None:
        """A row that holds ours against a limit in its own unit. Theirs is told beside it."""
        found = quartiles(ours)
        row = Row(group, what, other, (theirs,) * 3, found, unit, found, most, True, len(ours), is_absolute=True)
        self.rows.append(row)


class WrongBytes(Exception):
    """A contestant gave back what was not put. Nothing that it does is worth timing."""


def require_same(name: str, found: Any, obj: bytes) -> None:
    """Refuses a contestant that would be fast because it does not do its work."""
    if found is None or memoryview(found).cast('B') != memoryview(obj):
        raise WrongBytes(f'{name} does not give back the {len(obj)} bytes that were put')


def bytes_of(count: int) -> bytes:
    """The same for the same size, of no pattern; in parts, as 1 GB at once takes long to make."""
    part = random.Random(count).randbytes(min(count, 10_000_000))
    return (part * (count // len(part) + 1))[:count] if count > len(part) else part


def size(count: float) -> str:
    """10 B, 100 kB, 1 GB."""
    for unit in ('B', 'kB', 'MB'):
        if count < 1_000:
            return f'{count:g} {unit}'
        count /= 1_000
    return f'{count:g} GB'


def free_memory() -> int:
    """Bytes that may be used: of the machine, and of the control group where there is one."""
    fields = dict(line.split(':') for line in pathlib.Path('/proc/meminfo').read_text().splitlines())
    free = int(fields['MemAvailable'].split()[0]) * 1024
    with contextlib.suppress(OSError, ValueError):
        group = pathlib.Path('/sys/fs/cgroup')
        free = min(free, int((group / 'memory.max').read_text()) - int((group / 'memory.current').read_text()))
    return free


def room_in(directory: pathlib.Path) -> int:
    """Bytes that may be written there; what is in memory needs that too."""
    return min(shutil.disk_usage(directory).free, free_memory())


@contextlib.contextmanager
def temporary(parent: pathlib.Path) -> Iterator[pathlib.Path]:
    with tempfile.TemporaryDirectory(dir=parent, prefix='crossdock-bench-', ignore_cleanup_errors=True) as directory:
        yield pathlib.Path(directory)


def cores() -> int:
    return len(os.sched_getaffinity(0))

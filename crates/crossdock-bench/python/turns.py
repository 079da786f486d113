"""Contestants that take turns, so that what slows the machine down slows all of them down."""

from __future__ import annotations

import dataclasses
import gc
import itertools
import timeit
from collections.abc import Callable
from typing import Any


@dataclasses.dataclass
class Work:
    """What a contestant does in its turn: `time(calls)` gives the seconds of that many calls, `after` cleans up."""

    time: Callable[[int], float]
    after: Callable[[], None] = lambda: None

    def turn(self, calls: int) -> float:
        try:
            return self.time(calls) / calls
        finally:
            self.after()


def take_turns(works: dict[str, Work], rounds: int, calls: int) -> dict[str, list[float]]:
    """Seconds a call, for each contestant and round. The first round warms up, and every other one goes backwards."""
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for count in range(rounds + 1):
        for name in sorted(works, reverse=bool(count % 2)):
            taken = works[name].turn(calls)
            if count > 0:
                seconds[name].append(taken)
    gc.collect()
    return seconds


def calls_for(works: dict[str, Work], turn: float, most: int) -> int:
    """As many calls as the slower contestant does in one turn."""
    for _ in range(2):  # the first call warms up
        slowest = max(work.turn(1) for work in works.values())
    return max(1, min(most, round(turn / slowest)))


def putting(connector: Any, obj: bytes) -> Work:
    """Puts, and evicts outside of the time, so that memory and directories stay small."""
    keys: list[Any] = []

    def clean() -> None:
        for key in keys:
            connector.evict(key)
        keys.clear()

    names = {'keep': keys.append, 'put': connector.put, 'obj': obj}
    return Work(timeit.Timer('keep(put(obj))', globals=names).timeit, clean)


def asking(call: Callable[..., Any], key: Any, **options: Any) -> Work:
    """Asks for the same object again and again."""
    given = ''.join(f', {name}={value!r}' for name, value in options.items())
    return Work(timeit.Timer(f'call(key{given})', globals={'call': call, 'key': key}).timeit)


def repeated(work: Work, times: int) -> Work:
    """Each call stands for many: a single short one would show how cold the large copy before it left the caches."""
    return Work(lambda calls: work.time(calls * times) / times, work.after)


def asking_in_turn(call: Callable[..., Any], keys: list[Any]) -> Work:
    key = itertools.cycle(keys).__next__
    return Work(timeit.Timer('call(key())', globals={'call': call, 'key': key}).timeit)

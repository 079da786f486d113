"""Contestants that take turns, so that what slows the machine down slows all of them down."""

from __future__ import annotations

import dataclasses
import gc
import itertools
import random
import time
import timeit
from collections.abc import Callable
from typing import Any

# Rounds of one row, at least and at most. Few are enough for what takes seconds, and more than these tell no more.
FEWEST, MOST = 5, 41


@dataclasses.dataclass
class Work:
    """What a contestant does in its turn: `time(calls)` gives the seconds of that many calls, `after` cleans up."""

    time: Callable[[int], float]
    after: Callable[[], None] = lambda: None
    # Calls in one turn, where more would need too much memory.
    most: int = 5_000

    def turn(self, calls: int) -> float:
        """Seconds a call."""
        try:
            return self.time(calls) / calls
        finally:
            self.after()


def take_turns(works: dict[str, Work], turn: float, budget: float, most: int = MOST) -> dict[str, list[float]]:
    """Seconds a call, for each contestant and round.

    Every contestant has about `turn` seconds in each round, and all of them about `budget` seconds together. What comes before
    the rounds warms up. Each round is shuffled, but nobody has two turns in a row, who would find the caches warm.
    """
    began = time.monotonic()
    calls = {name: calls_for(work, turn) for name, work in works.items()}
    rounds, whole = most, 0.0
    order, chance = sorted(works), random.Random(1)
    seconds: dict[str, list[float]] = {name: [] for name in works}
    done = 0
    while done < rounds:
        start = time.monotonic()
        last = order[-1] if done else None
        chance.shuffle(order)
        if order[0] == last:
            order.reverse()
        for name in order:
            seconds[name].append(works[name].turn(calls[name]))
        done += 1
        whole = max(whole, time.monotonic() - start)
        left = budget - (time.monotonic() - began)
        rounds = min(most, max(FEWEST, done + int(left / whole)))
    gc.collect()
    return seconds


# What takes longer than this, in seconds, is warm after one call.
LONG = 0.5


def calls_for(work: Work, turn: float) -> int:
    """How many calls fill a turn. Making sure warms up."""
    calls, each = 1, work.turn(1)
    if each < LONG:
        # The first call of a process or a connection says nothing of the others.
        each = work.turn(1)
    while each * calls < turn / 4 and calls < work.most:
        calls = max(1, min(work.most, calls * 8, round(turn / max(each, 1e-9))))
        each = work.turn(calls)
    return max(1, min(work.most, round(turn / max(each, 1e-9))))


def putting(connector: Any, obj: Any, most: int = 5_000) -> Work:
    """Puts, and evicts outside of the time, so that memory and directories stay small."""
    keys: list[Any] = []

    def clean() -> None:
        for key in keys:
            connector.evict(key)
        keys.clear()

    names = {'keep': keys.append, 'put': connector.put, 'obj': obj}
    # What lies around before it is evicted stays below 64 MB.
    return Work(timeit.Timer('keep(put(obj))', globals=names).timeit, clean, max(1, min(most, 64_000_000 // len(obj))))


def one_by_one(connector: Any, obj: Any) -> Work:
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


def asking(call: Callable[..., Any], key: Any, **options: Any) -> Work:
    """Asks for the same object again and again."""
    given = ''.join(f', {name}={value!r}' for name, value in options.items())
    return Work(timeit.Timer(f'call(key{given})', globals={'call': call, 'key': key}).timeit)


def asking_in_turn(call: Callable[..., Any], keys: list[Any], **options: Any) -> Work:
    """Asks for one after the other."""
    given = ''.join(f', {name}={value!r}' for name, value in options.items())
    key = itertools.cycle(keys).__next__
    return Work(timeit.Timer(f'call(key(){given})', globals={'call': call, 'key': key}).timeit)


def repeated(work: Work, times: int) -> Work:
    """Each call stands for many: a single short one would show how cold the large copy before it left the caches."""
    return Work(lambda calls: work.time(calls * times) / times, work.after, work.most)


def batches(connector: Any, operation: str, objects: list[bytes]) -> Work:
    """Batches of those objects, put, or got again and again."""
    keys: list[Any] = []

    def put(calls: int) -> float:
        start = time.perf_counter()
        for _ in range(calls):
            keys.extend(connector.put_batch(objects))
        return time.perf_counter() - start

    def clean() -> None:
        for key in keys:
            connector.evict(key)
        keys.clear()

    if operation == 'put_batch':
        return Work(put, clean, 5)
    there = connector.put_batch(objects)
    if list(connector.get_batch(there)) != objects:
        raise ValueError(f'{type(connector).__name__} does not give back the batch that was put')
    return asking(connector.get_batch, there)

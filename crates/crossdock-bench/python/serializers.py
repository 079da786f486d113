"""crossdock's serializer beside ProxyStore's default one: alone, and in a `Store`. A part of compare.py, or by itself."""

from __future__ import annotations

import importlib.util
import pathlib
import random
import tempfile
import timeit
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from report import timed
from turns import Work, calls_for, take_turns

if TYPE_CHECKING:
    from compare import Bench

GROUP = 'Serializer'
MEMORY = '/dev/shm'


def serializers(bench: Bench) -> None:
    """Serializing, deserializing, and getting from a store whose connector gives views."""
    absent = [name for name in ('numpy', 'pandas') if importlib.util.find_spec(name) is None]
    if absent:
        return bench.skip(GROUP, f'needs {" and ".join(absent)}')
    from proxystore.serialize import deserialize, serialize

    import crossdock

    for what, obj in objects().items():
        row(bench, f'serialize, {what}', call(serialize, obj), call(crossdock.serialize, obj))
        theirs, ours = serialize(obj), crossdock.serialize(obj)
        row(bench, f'deserialize, {what}', call(deserialize, theirs), call(crossdock.deserialize, ours))
    with tempfile.TemporaryDirectory(dir=MEMORY, prefix='crossdock-bench-') as directory:
        stored(bench, pathlib.Path(directory))


def objects() -> dict[str, Any]:
    import numpy
    import pandas

    values = numpy.random.default_rng(1)
    texts = [f'text {number}' for number in range(100)] * 2_500
    return {
        'numpy array, 100 MB': values.random(12_500_000),
        'pandas frame, 10 MB': pandas.DataFrame(
            {'a': values.random(250_000), 'b': numpy.arange(250_000), 'c': texts, 'd': values.random(250_000)}
        ),
        'bytes, 1 MB': random.Random(1).randbytes(1_000_000),
        'dict of three items': {'answer': 42, 'name': 'crossdock', 'list': [1, 2, 3]},
        '1,000 arrays of 1 kB': [values.random(125) for _ in range(1_000)],
    }


def stored(bench: Bench, directory: pathlib.Path) -> None:
    """The same connector below both, which gives views of mapped files."""
    from proxystore.store import Store

    import crossdock
    from crossdock.connectors.file import FileConnector

    array = objects()['numpy array, 100 MB']
    with FileConnector(directory, zero_copy=True) as connector:
        default = Store('default', connector, cache_size=0)
        own = Store('own', connector, cache_size=0, serializer=crossdock.serialize, deserializer=crossdock.deserialize)
        getting = [call(store.get, store.put(array)) for store in (default, own)]
        row(bench, 'Store.get, numpy array, 100 MB, views of a file on tmpfs', *getting)


def call(function: Callable[[Any], Any], argument: Any) -> Work:
    return Work(timeit.Timer('function(argument)', globals={'function': function, 'argument': argument}).timeit)


def row(bench: Bench, what: str, theirs: Work, ours: Work) -> None:
    works = {'ProxyStore': theirs, 'crossdock': ours}
    seconds = take_turns(works, bench.plan.rounds, calls_for(works, bench.plan.turn, 5_000))
    bench.rows.append(timed(GROUP, what, seconds['ProxyStore'], seconds['crossdock'], None))


if __name__ == '__main__':
    from compare import FULL, Bench
    from report import table

    alone = Bench(FULL)
    serializers(alone)
    print(table(alone.rows), *alone.skipped, sep='\n')

"""crossdock's serializer beside ProxyStore's default one: alone, in a `Store`, and behind a proxy in another process."""

from __future__ import annotations

import json
import pathlib
import pickle
import statistics
import subprocess
import sys
import timeit
from collections.abc import Callable
from typing import Any

from bench import HUGE, MEMORY, Bench, bytes_of, room_in, size, temporary
from contestants import is_installed
from turns import Work

GROUP = 'Serializer'
PROXY = 'A proxy of an array, resolved in another process'
RESOLVE = pathlib.Path(__file__).with_name('resolve.py')


def serializers(bench: Bench) -> None:
    """Serializing, deserializing, and getting from a store whose connector gives views."""
    absent = [name for name in ('numpy', 'pandas') if not is_installed(name)]
    if absent:
        return bench.skip(GROUP, f'needs {" and ".join(absent)}')
    from proxystore.serialize import deserialize, serialize

    import crossdock

    for what, obj in objects().items():
        both(bench, f'serialize, {what}', call(serialize, obj), call(crossdock.serialize, obj))
        theirs, ours = serialize(obj), crossdock.serialize(obj)
        both(bench, f'deserialize, {what}', call(deserialize, theirs), call(crossdock.deserialize, ours))
    with temporary(MEMORY) as directory:
        stored(bench, directory)
        resolved(bench, directory)


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
        'bytes, 1 MB': bytes_of(1_000_000),
        'dict of three items': {'answer': 42, 'name': 'crossdock', 'list': [1, 2, 3]},
        '1,000 arrays of 1 kB': [values.random(125) for _ in range(1_000)],
    }


def stored(bench: Bench, directory: pathlib.Path) -> None:
    """The same connector below both, which gives views of mapped files."""
    from proxystore.store import Store

    import crossdock
    from crossdock.connectors.file import FileConnector

    array = objects()['numpy array, 100 MB']
    with FileConnector(directory / 'files', zero_copy=True) as connector:
        default = Store('default', connector, cache_size=0)
        own = Store('own', connector, cache_size=0, serializer=crossdock.serialize, deserializer=crossdock.deserialize)
        getting = [call(store.get, store.put(array)) for store in (default, own)]
        both(bench, 'Store.get, numpy array, 100 MB, views of a file on tmpfs', *getting)


def resolved(bench: Bench, directory: pathlib.Path) -> None:
    """Until another process can read the first element of an array, and what memory it needs for that."""
    import numpy
    from proxystore.connectors.file import FileConnector
    from proxystore.store import Store

    import crossdock
    from crossdock.connectors.shm import SharedMemoryConnector

    count = min(bench.plan.sizes[-1], HUGE)
    if room_in(MEMORY) < 6 * count:
        return bench.skip(PROXY, f'needs {size(6 * count)} of memory')
    array = numpy.ones(count // 8)
    ours = {'serializer': crossdock.serialize, 'deserializer': crossdock.deserialize}
    found: dict[str, list[dict[str, float]]] = {}
    for name, connector, options in (
        ('ProxyStore', FileConnector(str(directory / 'theirs')), {}),
        ('crossdock', SharedMemoryConnector(str(directory / 'ours'), clear=True, zero_copy=True), ours),
    ):
        with Store(name, connector, **options) as store:
            proxy = pickle.dumps(store.proxy(array))
            found[name] = [read('proxy', proxy) for _ in range(3)]
            if name == 'crossdock':
                key = pickle.dumps((connector.config(), connector.put(crossdock.serialize(array))))
                found['alone'] = [read('key', key) for _ in range(3)]
    other = 'ProxyStore, files on tmpfs'
    what = f'numpy array, {size(count)}'
    for ours, how, field, unit, most in (
        ('crossdock', 'until the first element', 'seconds', 'ms', 1),
        ('crossdock', 'memory over that of the imports', 'over', 'MB', 50),
        ('crossdock', 'memory in all, of which most are imports of ProxyStore', 'peak', 'MB', None),
        ('alone', 'memory in all, by key and without ProxyStore', 'peak', 'MB', 50),
    ):
        scale = 1e3 if unit == 'ms' else 1e-6
        theirs = statistics.median(one[field] for one in found['ProxyStore']) * scale
        bench.limit(PROXY, f'{what}, {how}', other, theirs, [one[field] * scale for one in found[ours]], unit, most)


def read(what: str, sent: bytes) -> dict[str, float]:
    done = subprocess.run([sys.executable, str(RESOLVE), what], input=sent, stdout=subprocess.PIPE, check=True)
    answer: dict[str, float] = json.loads(done.stdout)
    return answer


def call(function: Callable[[Any], Any], argument: Any) -> Work:
    return Work(timeit.Timer('function(argument)', globals={'function': function, 'argument': argument}).timeit)


def both(bench: Bench, what: str, theirs: Work, ours: Work) -> None:
    bench.faster(GROUP, what, 'ProxyStore', bench.times({'ProxyStore': theirs, 'crossdock': ours}), None)

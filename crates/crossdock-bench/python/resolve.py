"""Run by serializers.py as a process of its own: finds an array that another process put, without and with ProxyStore.

resolve.py proxy     reads a pickled proxy from standard input
resolve.py key       reads a pickled config of a SharedMemoryConnector and a key

Answers with JSON: the seconds until the first element was read, the bytes that memory rose by until then at its peak, and
that peak itself, imports and all.
"""

from __future__ import annotations

import json
import pathlib
import pickle
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy
from peak import memory


def of_proxy(sent: Any) -> Callable[[], Any]:
    from proxystore.store import get_store

    # The store is built from the config in the proxy, which a process does once.
    factory = sent.__proxy_factory__
    get_store(factory.store_config.name) or factory.get_store()
    return lambda: sent[0]


def of_key(sent: Any) -> Callable[[], Any]:
    import crossdock
    from crossdock.connectors.shm import SharedMemoryConnector

    config, key = sent
    connector = SharedMemoryConnector.from_config(config)
    # It is loaded at first use.
    crossdock.deserialize(crossdock.serialize(b''))
    return lambda: crossdock.deserialize(connector.get(key))[0]


def main() -> None:
    first_of = {'proxy': of_proxy, 'key': of_key}[sys.argv[1]](pickle.load(sys.stdin.buffer))
    # From here on the peak is that of resolving.
    pathlib.Path('/proc/self/clear_refs').write_text('5')
    before = memory('VmRSS')
    start = time.perf_counter()
    first = first_of()
    seconds = time.perf_counter() - start
    peak = memory('VmHWM')
    assert isinstance(first, numpy.float64)
    print(json.dumps({'seconds': seconds, 'over': peak - before, 'peak': peak}))


if __name__ == '__main__':
    main()

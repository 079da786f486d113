"""Tasks of Dask pass proxies to each other; the scheduler never sees the objects.

A cluster of two worker processes on the loopback interface. Each task takes a proxy and leaves its result in the store,
so that what goes through the scheduler stays small.
"""

from __future__ import annotations

import os
import pickle
import tempfile

import dask
from distributed import Client, LocalCluster
from proxystore.proxy import Proxy
from proxystore.store import Store, get_store
from proxystore.store.utils import get_key

from crossdock.connectors.file import FileConnector
from crossdock.connectors.multi import MultiConnector, Policy


def reverse(data: bytes) -> Proxy[bytes]:
    """Runs in a worker. The proxy knows its store, and fetches the object when it is first used."""
    return get_store(data).proxy(data[::-1])


def summary(data: bytes) -> tuple[int, int, bytes]:
    return os.getpid(), len(data), data[:5]


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        connector = MultiConnector(
            {
                'small': (FileConnector(f'{directory}/small'), Policy(priority=1, max_size_bytes=1_000)),
                'large': (FileConnector(f'{directory}/large'), Policy()),
            },
        )
        # Dask would keep its settings below the home directory otherwise.
        dask.config.set(temporary_directory=directory)
        cluster = LocalCluster(2, processes=True, threads_per_worker=1, host='127.0.0.1', dashboard_address=None)
        with Store('letters', connector, register=True) as store, cluster, Client(cluster) as client:
            for count in (10, 1_000_000):
                proxy = store.proxy(b'abcde' * count)
                reversed_proxy = client.submit(reverse, proxy, pure=False)
                worker, size, begin = client.submit(summary, reversed_proxy, pure=False).result()
                print(f'{size} bytes in {get_key(proxy).connector_name}, proxy of {len(pickle.dumps(proxy))} bytes')
                print(f'  another process read them: {worker != os.getpid()}; they begin with {begin.decode()}')


if __name__ == '__main__':
    main()

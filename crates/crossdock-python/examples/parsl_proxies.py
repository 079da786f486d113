"""Apps of Parsl take and return proxies; the objects go through a MultiConnector.

The executor is the one for clusters, with an interchange and two worker processes, here on the loopback interface. A tag
sends what is worth keeping to a directory of its own.
"""

from __future__ import annotations

import os
import sys
import tempfile

import parsl
from parsl.config import Config
from parsl.executors import HighThroughputExecutor
from proxystore.proxy import Proxy
from proxystore.store import Store
from proxystore.store.utils import get_key

from crossdock.connectors.file import FileConnector
from crossdock.connectors.multi import MultiConnector, Policy


@parsl.python_app
def simulate(start: list[float]) -> tuple[int, Proxy[list[float]]]:
    """Runs in a worker, which gets the store from the proxy."""
    import os

    from proxystore.store import get_store

    result = [value * 0.5 + 1.0 for value in start]
    return os.getpid(), get_store(start).proxy(result, superset_tags=['keep'])


@parsl.python_app
def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def main() -> None:
    # Parsl finds the programs that it starts by their names.
    os.environ['PATH'] = os.path.dirname(sys.executable) + os.pathsep + os.environ['PATH']
    with tempfile.TemporaryDirectory() as directory:
        connector = MultiConnector(
            {
                'kept': (FileConnector(f'{directory}/kept'), Policy(priority=1, superset_tags=['keep'])),
                'scratch': (FileConnector(f'{directory}/scratch'), Policy()),
            },
        )
        workers = HighThroughputExecutor(address='127.0.0.1', max_workers_per_node=2, cores_per_worker=0.5)
        config = Config(executors=[workers], run_dir=f'{directory}/parsl', usage_tracking=0)
        with Store('simulation', connector, register=True) as store, parsl.load(config):
            start = store.proxy([0.0, 1.0, 2.0] * 10_000)
            worker, result = simulate(start).result()
            print(f'input in {get_key(start).connector_name}, result in {get_key(result).connector_name}')
            print(f'another process simulated: {worker != os.getpid()}')
            print(f'mean before {mean(start).result()}, after {mean(result).result()}')


if __name__ == '__main__':
    main()

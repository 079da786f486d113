"""Objects of a Store reach a pool of spawned processes through the connector that its policies pick.

Small objects go to one directory, large ones to another (on a cluster: one in memory, one that all nodes see). Only
proxies of about a kilobyte pass through the pipes of the pool, in both directions, whatever the size of the objects.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import tempfile
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

from proxystore.proxy import Proxy
from proxystore.store import Store, get_store
from proxystore.store.utils import get_key

from crossdock.connectors.file import FileConnector
from crossdock.connectors.multi import MultiConnector, Policy


def count_words(text: str) -> tuple[int, Proxy[str]]:
    """Runs in a worker. `text` is a proxy: the object is fetched when it is first used."""
    report = ', '.join(f'{word} {count}' for word, count in Counter(text.split()).most_common(2))
    return os.getpid(), get_store(text).proxy(report)


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        connector = MultiConnector(
            {
                'fast': (FileConnector(f'{directory}/fast'), Policy(priority=1, max_size_bytes=100_000)),
                'roomy': (FileConnector(f'{directory}/roomy'), Policy()),
            },
        )
        spawn = multiprocessing.get_context('spawn')
        with Store('words', connector, register=True) as store, ProcessPoolExecutor(2, mp_context=spawn) as pool:
            texts = [store.proxy('put get get ' * count) for count in (10, 100_000)]
            for text, (worker, report) in zip(texts, pool.map(count_words, texts)):
                print(f'{len(text)} bytes in {get_key(text).connector_name}, proxy of {len(pickle.dumps(text))} bytes')
                print(f'  another process counted: {worker != os.getpid()}; {report}')


if __name__ == '__main__':
    main()

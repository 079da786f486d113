"""The rivals, each with the face of a connector: `put` gives a key, `get` and `evict` take it.

What stands between is one Python call and, where a rival wants a name, one UUID, as ProxyStore and crossdock make one too.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import importlib.util
import uuid
from collections.abc import Callable
from multiprocessing import resource_tracker, shared_memory
from typing import Any

# How each is called in tables, and its package.
PACKAGES = {
    'crossdock': 'crossdock',
    'ProxyStore': 'proxystore',
    'obstore': 'obstore',
    'opendal': 'opendal',
    'Ray': 'ray',
}
# These two have the same connectors.
ALIKE = ('ProxyStore', 'crossdock')


def is_installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def versions() -> dict[str, str]:
    packages = {**PACKAGES, 'redis-py': 'redis', 'numpy': 'numpy'}
    return {name: importlib.metadata.version(one) for name, one in packages.items() if is_installed(one)}


def connector(name: str, kind: str, kind_class: str, *arguments: Any, **options: Any) -> Any:
    """One of the connectors that ProxyStore and crossdock both have."""
    module = importlib.import_module(f'{PACKAGES[name]}.connectors.{kind}')
    return getattr(module, kind_class)(*arguments, **options)


def multi_module(name: str) -> Any:
    return importlib.import_module(f'{PACKAGES[name]}.connectors.multi')


class Obstore:
    """obstore over one of its stores. What it reads is handed out in its own buffers, without a copy."""

    def __init__(self, store: Any) -> None:
        self._module = importlib.import_module('obstore')
        self.store = store

    def put(self, obj: bytes) -> str:
        name = str(uuid.uuid4())
        self._module.put(self.store, name, obj)
        return name

    def get(self, name: str) -> Any:
        return self._module.get(self.store, name).bytes()

    def evict(self, name: str) -> None:
        self._module.delete(self.store, name)

    def close(self) -> None:
        """Has nothing to close."""


class Opendal:
    """OpenDAL over one of its services."""

    def __init__(self, service: str, **options: str) -> None:
        self._operator = importlib.import_module('opendal').Operator(service, **options)

    def put(self, obj: bytes) -> str:
        name = str(uuid.uuid4())
        self._operator.write(name, obj)
        return name

    def get(self, name: str) -> Any:
        return self._operator.read(name)

    def evict(self, name: str) -> None:
        self._operator.delete(name)

    def close(self) -> None:
        """Has nothing to close."""


class Ray:
    """Ray's object store. Objects are arrays of bytes, which it hands out without a copy, as it does not `bytes`."""

    def __init__(self, memory: int) -> None:
        self.module = importlib.import_module('ray')
        self.module.init(
            num_cpus=1,
            include_dashboard=False,
            object_store_memory=memory,
            logging_level='ERROR',
            log_to_driver=False,
            configure_logging=False,
        )
        self.get = self.module.get

    @staticmethod
    def wants(obj: bytes) -> Any:
        """The object as it takes it best."""
        return importlib.import_module('numpy').frombuffer(obj, 'u1')

    def put(self, obj: Any) -> list[Any]:
        return [self.module.put(obj)]

    def evict(self, key: list[Any]) -> None:
        """Nobody refers to it any more; Ray frees it in its own time."""
        key.clear()

    def reader(self) -> tuple[Callable[[list[Any], int], float], Callable[[list[Any]], bytes]]:
        """Seconds of so many gets in another process of Ray's, and what it gets."""
        reader = self.module.remote(_Reader).remote()
        return (
            lambda key, calls: self.module.get(reader.time.remote(key, calls)),
            lambda key: self.module.get(reader.read.remote(key)),
        )

    def close(self) -> None:
        self.module.shutdown()


class _Reader:
    """Lives in a process of its own."""

    def time(self, key: list[Any], calls: int) -> float:
        # An actor's class travels by value, with what it refers to.
        import gc
        import time

        import ray

        # As for the others: one that is not timed, then no collection of garbage.
        ray.get(key[0])
        gc.disable()
        start = time.perf_counter()
        for _ in range(calls):
            ray.get(key[0])
        taken = time.perf_counter() - start
        gc.enable()
        return taken

    def read(self, key: list[Any]) -> bytes:
        import ray

        return bytes(ray.get(key[0]))


class SharedMemory:
    """`multiprocessing.shared_memory` of Python: a block for each object, and its size in the key."""

    def put(self, obj: bytes) -> tuple[str, int]:
        block = shared_memory.SharedMemory(create=True, size=len(obj))
        block.buf[: len(obj)] = obj
        block.close()
        return block.name, len(obj)

    def get(self, key: tuple[str, int]) -> Any:
        """A map, as the others give one, whose end is a part of the time, as it is with them."""
        block = shared_memory.SharedMemory(key[0])
        with contextlib.closing(block):
            return block.size >= key[1]

    def read(self, key: tuple[str, int]) -> bytes:
        block = shared_memory.SharedMemory(key[0])
        with contextlib.closing(block):
            return bytes(block.buf[: key[1]])

    def evict(self, key: tuple[str, int]) -> None:
        shared_memory.SharedMemory(key[0]).unlink()

    def close(self) -> None:
        """Has nothing to close."""


def forget(key: tuple[str, int]) -> None:
    """Python 3.11 has whoever attaches to a block remove it at its end, unless it is told not to."""
    resource_tracker.unregister(f'/{key[0]}', 'shared_memory')

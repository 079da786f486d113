"""The types: the package is checked as strictly as can be, and its stub is held against the module that it describes."""

from __future__ import annotations

import pathlib
import subprocess
import sys
import textwrap

import pytest

USE = """
from collections.abc import Callable

import crossdock
from crossdock.serialize import BytesLike
from crossdock.connectors.file import FileConnector, FileKey
from crossdock.connectors.local import LocalConnector
from crossdock.connectors.multi import MultiConnector, MultiKey, Policy
from crossdock.connectors.object_store import ObjectStoreConnector, ObjectStoreKey
from crossdock.connectors.shm import SharedMemoryConnector, SharedMemoryKey
from crossdock.connectors.protocols import Connector, DeferrableConnector
from crossdock.connectors.redis import RedisConnector, RedisKey

files = FileConnector('/tmp/x', clear=False, durability='host')
multi = MultiConnector({'memory': (LocalConnector(), Policy(max_size_bytes=10)), 'files': (files, Policy())})
again = MultiConnector(**multi.config())
file_key: FileKey = files.put(bytearray(b'object'))
key: MultiKey = multi.put(b'object', subset_tags=['a'])
view: memoryview | None = multi.get(key, zero_copy=True)
copied: bytes | None = multi.get(key, zero_copy=False)
route: str | None = multi.explain(size_bytes=3).route
connector: Connector = multi
deferrable: DeferrableConnector = files
cache = RedisConnector('h', 6379, ttl='1h', deadline=2.5, sentinels=None)
bulk = ObjectStoreConnector('s3://b', options={'region': 'x', 'allow_http': True}, part_size='8 MiB')
shared = SharedMemoryConnector(max_total_bytes=1_000_000, recycle_bytes=0)
shared_key: SharedMemoryKey = shared.put(b'object')
redis_key: RedisKey = cache.put(b'object')
store_keys: list[ObjectStoreKey] = bulk.put_batch([b'object'])
seconds: float = cache.check().put
hostname: str | None = cache.hostname
connectors: list[DeferrableConnector] = [cache, bulk]
data: bytes = crossdock.serialize({'a': 1})
obj: dict[str, int] = crossdock.deserialize(memoryview(data))
write: Callable[[object], BytesLike] = crossdock.serialize
"""


def mypy(*arguments: str | pathlib.Path, cwd: pathlib.Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, '-m', *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300, check=False)


def test_the_package_passes_mypy_strictly(tmp_path: pathlib.Path) -> None:
    run = mypy('mypy', '--strict', '-p', 'crossdock', cwd=tmp_path)
    assert run.returncode == 0, run.stdout + run.stderr


def test_the_stub_describes_the_module(tmp_path: pathlib.Path) -> None:
    run = mypy('mypy.stubtest', 'crossdock', cwd=tmp_path)
    assert run.returncode == 0, run.stdout + run.stderr
    assert 'no issues found' in run.stdout


def test_code_that_uses_the_package_is_checked(tmp_path: pathlib.Path) -> None:
    (tmp_path / 'use.py').write_text(USE)
    run = mypy('mypy', '--strict', 'use.py', cwd=tmp_path)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize(
    'mistake',
    [
        'FileConnector(3)',
        'FileConnector("/tmp/x", durability="forever")',
        'Policy(priority="high")',
        'LocalConnector().put("text")',
        'LocalConnector().get("key")',
        'MultiConnector({"a": LocalConnector()})',
        'RedisConnector("h", "6379")',
        'RedisConnector("h").put(3)',
        'SharedMemoryConnector(recycle_bytes="1 MiB")',
        'ObjectStoreConnector(options={})',
        'redis_key = files.put(b"x")',
        'crossdock.deserialize("text")',
        'text: str = crossdock.serialize(1)',
        'crossdock.serialise(1)',
    ],
)
def test_mistakes_are_found(tmp_path: pathlib.Path, mistake: str) -> None:
    (tmp_path / 'use.py').write_text(textwrap.dedent(USE) + mistake + '\n')
    run = mypy('mypy', '--strict', 'use.py', cwd=tmp_path)
    assert run.returncode == 1, mistake
    assert len([line for line in run.stdout.splitlines() if ': error:' in line]) == 1, run.stdout

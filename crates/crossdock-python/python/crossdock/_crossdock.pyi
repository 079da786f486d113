"""The native part of crossdock. What people use derives from it, in `crossdock.connectors`."""

import os
import sys
from collections.abc import Iterable
from typing import Any, Generic, Literal, Self, TypeAlias, TypeVar, final, overload

from typing_extensions import disjoint_base

from crossdock.checkup import Checkup
from crossdock.connectors.local import LocalKey
from crossdock.connectors.multi import MultiKey
from crossdock.serialize import BytesLike

_K = TypeVar('_K')
_Key: TypeAlias = tuple[Any, ...] | list[Any]
_Durability: TypeAlias = Literal['process', 'host', 'backend']

__all__ = [
    'CompiledPolicy',
    'LocalBase',
    'MultiBase',
    'StoredBase',
    'View',
    '__version__',
    'hostname',
    'join',
    'open_file',
    'open_object_store',
    'open_redis',
    'open_shm',
    'read_config',
    'read_tags',
]

__version__: str

def hostname() -> str:
    """The name of this host, as policies see it: `$CROSSDOCK_HOSTNAME` if that is set, else what the system says."""

def join(parts: list[Any]) -> bytes:
    """All of these buffers, one behind the other; the interpreter lock is let go of meanwhile.

    Raises:
        TypeError: One is no buffer.
        MemoryError: There is no memory for the bytes.
    """

def read_tags(argument: str, given: Iterable[str]) -> list[str]:
    """The tags as a list of strings, once and for all."""

def read_config(*, path: str | os.PathLike[str] | None = None, text: str | None = None) -> str:
    """A config as JSON in ProxyStore's shape, with our class paths where it names connectors of ours."""

def open_file(
    base: StoredBase[Any],
    dir: str,
    clear: bool | None,
    durability: str,
    integrity: str,
    allow_foreign_owner: bool,
    make_dir: bool,
    write_once: bool,
    max_total_bytes: int | None,
    zero_copy: bool,
) -> str:
    """Opens the connector of a `FileConnector`, and says its directory as the config has it."""

def open_object_store(base: StoredBase[Any], options: dict[str, Any], clear: bool, zero_copy: bool) -> dict[str, Any]:
    """Opens the connector of an `ObjectStoreConnector`, without connecting, and says its options as the config has them."""

def open_redis(base: StoredBase[Any], options: dict[str, Any], clear: bool, zero_copy: bool) -> dict[str, Any]:
    """Opens the connector of a `RedisConnector`, without connecting, and says its options as the config has them."""

def open_shm(
    base: StoredBase[Any],
    dir: str | None,
    clear: bool | None,
    integrity: str,
    max_total_bytes: int | None,
    recycle_bytes: int | None,
    zero_copy: bool,
) -> str | None:
    """Opens the connector of a `SharedMemoryConnector`, and says its directory as the config has it."""

@final
class CompiledPolicy:
    """What `crossdock.connectors.multi.Policy` means."""

    def __new__(
        cls,
        priority: int,
        host_pattern: Iterable[str] | str | None,
        min_size_bytes: float,
        max_size_bytes: float,
        subset_tags: Iterable[str],
        superset_tags: Iterable[str],
        fallback: bool,
        max_failures: int,
        cooldown: float,
    ) -> CompiledPolicy: ...
    def is_valid(
        self,
        hostname: str,
        size_bytes: int | None,
        subset_tags: Iterable[str] | None,
        superset_tags: Iterable[str] | None,
    ) -> bool: ...
    def is_valid_on_host(self, hostname: str) -> bool: ...
    @property
    def min_size_bytes(self) -> int: ...
    @property
    def max_size_bytes(self) -> int: ...

@final
class View:
    """Memory of an object that Python looks at without a copy."""

    if sys.version_info >= (3, 12):
        def __buffer__(self, flags: int, /) -> memoryview: ...

@disjoint_base
class LocalBase:
    """The native part of `crossdock.connectors.local.LocalConnector`."""

    def __new__(cls, *_args: Any, **_kwargs: Any) -> Self: ...
    def _setup(self, store: dict[Any, Any], max_total_bytes: int | None, zero_copy: bool, write_once: bool) -> None: ...
    def _close(self) -> None: ...
    def put(self, obj: BytesLike) -> LocalKey: ...
    def put_batch(self, objs: Iterable[BytesLike]) -> list[LocalKey]: ...
    @overload
    def get(self, key: _Key, *, zero_copy: Literal[True]) -> memoryview | None: ...
    @overload
    def get(self, key: _Key, *, zero_copy: Literal[False]) -> bytes | None: ...
    @overload
    def get(self, key: _Key, *, zero_copy: bool | None = None) -> BytesLike | None: ...
    def get_batch(self, keys: Iterable[_Key], *, zero_copy: bool | None = None) -> list[BytesLike | None]: ...
    def exists(self, key: _Key) -> bool: ...
    def evict(self, key: _Key) -> None: ...
    def new_key(self, obj: BytesLike | None = None) -> LocalKey: ...
    def set(self, key: _Key, obj: BytesLike) -> None: ...

@disjoint_base
class StoredBase(Generic[_K]):
    """The native part of `crossdock.connectors.file.FileConnector` and of its like, whose keys are `_K`."""

    def __new__(cls, *_args: Any, **_kwargs: Any) -> Self: ...
    def __class_getitem__(cls, _keys: Any, /) -> type[Self]: ...
    def _close(self, clear: bool | None) -> None: ...
    def put(self, obj: BytesLike, *, durability: _Durability | None = None) -> _K: ...
    def put_batch(self, objs: Iterable[BytesLike], *, durability: _Durability | None = None) -> list[_K]: ...
    @overload
    def get(self, key: _Key, *, zero_copy: Literal[True]) -> memoryview | None: ...
    @overload
    def get(self, key: _Key, *, zero_copy: Literal[False]) -> bytes | None: ...
    @overload
    def get(self, key: _Key, *, zero_copy: bool | None = None) -> BytesLike | None: ...
    def get_batch(self, keys: Iterable[_Key], *, zero_copy: bool | None = None) -> list[BytesLike | None]: ...
    def exists(self, key: _Key) -> bool: ...
    def evict(self, key: _Key) -> None: ...
    def new_key(self, obj: BytesLike | None = None) -> _K: ...
    def set(self, key: _Key, obj: BytesLike, *, durability: _Durability | None = None) -> None: ...
    def check(self) -> Checkup: ...
    def gc(self, min_age: float = 3600.0, dry_run: bool = False) -> dict[str, int]: ...

@disjoint_base
class MultiBase:
    """The native part of `crossdock.connectors.multi.MultiConnector`."""

    def __new__(cls, *_args: Any, **_kwargs: Any) -> Self: ...
    def _setup(self, entries: list[tuple[str, CompiledPolicy, Any, Any]]) -> None: ...
    def _is_closed(self) -> bool: ...
    def _close(self) -> None: ...
    def _order(self) -> list[str]: ...
    def _connector(self, place: int) -> Any: ...
    def _opened(self, place: int) -> Any: ...
    def _explain(
        self, size_bytes: float | None, subset_tags: Iterable[str], superset_tags: Iterable[str]
    ) -> tuple[str | None, list[tuple[str, bool, list[str], str | None]]]: ...
    def _check(self) -> dict[str, Checkup | Exception]: ...
    def _stats(self) -> dict[str, dict[str, dict[str, Any]]]: ...
    def put(
        self,
        obj: BytesLike,
        subset_tags: Iterable[str] | None = None,
        superset_tags: Iterable[str] | None = None,
        *,
        durability: _Durability | None = None,
    ) -> MultiKey: ...
    def put_batch(
        self,
        objs: Iterable[BytesLike],
        subset_tags: Iterable[str] | None = None,
        superset_tags: Iterable[str] | None = None,
        *,
        durability: _Durability | None = None,
    ) -> list[MultiKey]: ...
    @overload
    def get(self, key: _Key, *, zero_copy: Literal[True]) -> memoryview | None: ...
    @overload
    def get(self, key: _Key, *, zero_copy: Literal[False]) -> bytes | None: ...
    @overload
    def get(self, key: _Key, *, zero_copy: bool | None = None) -> BytesLike | None: ...
    def get_batch(self, keys: Iterable[_Key], *, zero_copy: bool | None = None) -> list[BytesLike | None]: ...
    def exists(self, key: _Key) -> bool: ...
    def evict(self, key: _Key) -> None: ...
    def new_key(
        self,
        obj: BytesLike | None = None,
        subset_tags: Iterable[str] | None = None,
        superset_tags: Iterable[str] | None = None,
    ) -> MultiKey: ...
    def set(self, key: _Key, obj: BytesLike, *, durability: _Durability | None = None) -> None: ...

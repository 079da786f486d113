"""What makes a connector: the methods that ProxyStore and `MultiConnector` call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from crossdock.serialize import BytesLike

__all__ = ['Connector', 'DeferrableConnector']


@runtime_checkable
class Connector(Protocol):
    """A channel for byte objects. Keys are named tuples of the connector's own."""

    def close(self) -> None:
        """Release what the connector holds. Calling it again does nothing."""

    def config(self) -> dict[str, Any]:
        """All that another process needs to build the connector again with `from_config`."""

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Connector:
        """Build a connector from what `config` returned."""

    def evict(self, key: Any) -> None:
        """Remove the object; it is no error if there is none."""

    def exists(self, key: Any) -> bool:
        """Whether the object is there."""

    def get(self, key: Any) -> BytesLike | None:
        """The object, or `None` if there is none."""

    def get_batch(self, keys: Sequence[Any]) -> list[BytesLike | None]:
        """Several objects in the order of their keys."""

    def put(self, obj: BytesLike) -> Any:
        """Store an object under a new key."""

    def put_batch(self, objs: Sequence[BytesLike]) -> list[Any]:
        """Store several objects, in the order of their keys."""


@runtime_checkable
class DeferrableConnector(Protocol):
    """A connector that can name an object before it has it."""

    def new_key(self, obj: bytes | None = None) -> Any:
        """A key whose object does not exist yet."""

    def set(self, key: Any, obj: BytesLike) -> None:
        """Store the object of a key that `new_key` made."""

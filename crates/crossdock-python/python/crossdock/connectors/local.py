"""Objects in the memory of this process."""

from __future__ import annotations

from typing import Any, NamedTuple, Self

from crossdock._crossdock import LocalBase
from crossdock.connectors._managed import Managed, check_bound
from crossdock.serialize import BytesLike

__all__ = ['LocalConnector', 'LocalKey']


class LocalKey(NamedTuple):
    """The key of an object in a `LocalConnector`.

    Attributes:
        id: The object's id, which also says which process made it.
    """

    id: str


class LocalConnector(LocalBase, Managed):
    """Keeps objects in a dictionary of this process, without a copy: the `bytes` that were put come back.

    Keys name the process that made them: in another one they are refused (`InvalidKeyError`) unless their object is
    there, rather than reported as missing. A forked child reads what its parent had put.

    Args:
        store_dict: The dictionary to keep objects in, from `LocalKey` to `bytes`; connectors that are given the same
            one share their objects. Default: a new one.
        include_data_in_config: Put the dictionary into `config()`, so that a connector built from it in another
            process has a copy of the objects. Slow: for tests.
        max_total_bytes: The most bytes that all objects together may take; what is over is a `FullError`. Counted is what
            the dictionary has when the connector is built, and what this connector puts and evicts.
        write_once: Whether an object is written once. Without, setting a key again replaces its object: for ProxyStore's
            `ref.update()`.
        zero_copy: `get` returns read-only memoryviews instead of `bytes`.

    Example:
        >>> from crossdock.connectors.local import LocalConnector
        >>> connector = LocalConnector()
        >>> key = connector.put(b'object')
        >>> connector.get(key)
        b'object'
    """

    def __init__(
        self,
        store_dict: dict[LocalKey, BytesLike] | None = None,
        *,
        include_data_in_config: bool = False,
        max_total_bytes: int | None = None,
        write_once: bool = True,
        zero_copy: bool = False,
    ) -> None:
        if store_dict is not None and not (hasattr(store_dict, '__setitem__') and hasattr(store_dict, 'values')):
            raise TypeError(f'store_dict must be a dict, not {type(store_dict).__name__}')
        check_bound(max_total_bytes)
        self._store: dict[LocalKey, BytesLike] = {} if store_dict is None else store_dict
        self._include_data_in_config = include_data_in_config
        self._max_total_bytes = max_total_bytes
        self._write_once = write_once
        self._zero_copy = zero_copy
        self._setup(self._store, max_total_bytes, zero_copy, write_once)

    def __repr__(self) -> str:
        return f'{type(self).__name__}({len(self._store)} objects)'

    def __setstate__(self, state: dict[str, Any]) -> None:
        # What ProxyStore's class pickles, once `crossdock.proxystore.install()` has put ours in its place.
        self.__init__(state['_store'], include_data_in_config=state['_include_data_in_config'])  # type: ignore[misc]

    def close(self, clear: bool | None = None) -> None:
        """Refuse everything from now on. What was handed out stays valid.

        Args:
            clear: Whether to empty the dictionary. Default: it is left as it is.
        """
        self._close()
        if clear:
            self._store.clear()

    def config(self) -> dict[str, Any]:
        """All that another process needs to build this connector again; without its objects, unless asked for."""
        config: dict[str, Any] = {'include_data_in_config': self._include_data_in_config}
        if self._include_data_in_config:
            config['store_dict'] = self._store
        if self._max_total_bytes is not None:
            config['max_total_bytes'] = self._max_total_bytes
        if not self._write_once:
            config['write_once'] = False
        if self._zero_copy:
            config['zero_copy'] = True
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Build a connector from what `config` returned."""
        return cls(**config)

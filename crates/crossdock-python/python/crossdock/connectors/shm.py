"""Objects in shared memory, for the processes of one user on one host."""

from __future__ import annotations

import os
from typing import Any, Literal, NamedTuple, Self

from crossdock._crossdock import StoredBase, open_shm
from crossdock.connectors._managed import Managed, check_bound, known_fields

__all__ = ['SharedMemoryConnector', 'SharedMemoryKey']


class SharedMemoryKey(NamedTuple):
    """The key of an object in a `SharedMemoryConnector`. It is good on its own host, until that is started again.

    Attributes:
        object_id: A UUID that says where the object is and who made it.
        size: The object's size in bytes, if it was known when the key was made.
        checksum: The CRC-64/NVME of its bytes, in 16 hexadecimal digits, if that was asked for.
    """

    object_id: str
    size: int | None = None
    checksum: str | None = None


class SharedMemoryConnector(StoredBase[SharedMemoryKey], Managed):
    """Keeps objects in shared memory, for the processes of one user on one host. There is no server.

    An object is a private file on a memory file system, or up to 128 KiB a part of one that all who use the directory keep
    mapped: then a put, a get and an evict are no system call. It appears whole or not at all, and lives until it is evicted or
    the host is started again. `get(key, zero_copy=True)` maps what is larger than that, however large it is, and the view stays
    valid and the same for as long as it is held: after an evict, and after the end of whoever put it. (Of a smaller object it
    is a view of a copy.) A process keeps the memory of its evicted objects and puts others there once nobody has a view of the
    old ones, so that a steady stream of puts is as fast as a copy. What killed processes leave is removed by the next one that
    builds a connector.

    Args:
        dir: The directory, on a memory file system; made where it is missing, with mode 0700. It may hold references such as
            `${env:USER}`, which are resolved in each process; without any, a relative one is taken from the working directory
            now. Default: the user's own below `/dev/shm`.
        clear: Whether `close` removes all objects, whoever put them, and the directory if nothing else is in it. Counts only in
            the process that built the connector, and not for those that are built from its config.
        integrity: What keys carry and what is checked when an object is read: `'size'`, or `'checksum'` as well, which has
            every byte read at every put and get.
        max_total_bytes: The most bytes that all objects in the directory may take together, whoever put them; what is over
            is a `FullError`, or a `TooLargeError` where it alone is more. Default: as much as the file system takes, less
            than that being a `FullError` too. What processes keep of evicted objects is not counted. With a bound, small objects
            are files of their own, for the sake of the count.
        recycle_bytes: How many bytes of its evicted objects a process may keep to put others there; 0 for none. Default: 256
            MiB, and at most an eighth of the file system. The files of small objects may take a quarter as much besides.
        zero_copy: `get` returns read-only memoryviews instead of `bytes`: of the mapped file from 128 KiB on; only sizes are
            checked then.

    Raises:
        UnavailableError: The directory cannot be made or opened, or other users may write to it.

    Example:
        >>> import tempfile
        >>> from crossdock.connectors.shm import SharedMemoryConnector
        >>> with SharedMemoryConnector(tempfile.mkdtemp(dir='/dev/shm'), clear=True) as connector:
        ...     key = connector.put(bytes(1_000_000))
        ...     view = connector.get(key, zero_copy=True)
        ...     connector.evict(key)
        ...     len(view)
        1000000
    """

    def __init__(
        self,
        dir: str | os.PathLike[str] | None = None,
        *,
        clear: bool = False,
        integrity: Literal['size', 'checksum'] = 'size',
        max_total_bytes: int | None = None,
        recycle_bytes: int | None = None,
        zero_copy: bool = False,
    ) -> None:
        self.clear = clear
        self._options: dict[str, Any] = {
            'integrity': integrity,
            'max_total_bytes': max_total_bytes,
            'recycle_bytes': recycle_bytes,
            'zero_copy': zero_copy,
        }
        self._open(dir, clear)

    def _open(self, dir: str | os.PathLike[str] | None, clear: bool | None) -> None:
        directory = os.fspath(dir) if isinstance(dir, os.PathLike) else dir
        if not isinstance(directory, str | None):
            raise TypeError(f'dir must be a str or a path of one, or None, not {type(directory).__name__}')
        if directory is not None and '\0' in directory:
            raise ValueError(f'dir has a null character in it, which no path can have: {directory!r}')
        check_bound(self._options['max_total_bytes'])
        check_bound(self._options['recycle_bytes'], 'recycle_bytes')
        self._dir = open_shm(self, directory, clear, **self._options)

    @property
    def dir(self) -> str | None:
        """The directory, absolute, with references unresolved; `None` for the default one."""
        return self._dir

    def __repr__(self) -> str:
        return f'{type(self).__name__}(dir={self.dir!r})'

    def close(self, clear: bool | None = None) -> None:
        """Give back what is kept of evicted objects. Objects stay unless clearing is asked for, here or when it was built.

        Args:
            clear: Whether to remove all objects, whoever put them, and the directory if nothing else is in it. Default: what
                the connector was built with, and in another process than that not at all.

        Raises:
            UnavailableError: Something could not be removed. The connector is closed all the same.
        """
        self._close(clear)

    def config(self) -> dict[str, Any]:
        """All that another process needs to build this connector again. It never clears there."""
        config = {} if self.dir is None else {'dir': self.dir}
        return config | {name: value for name, value in self._options.items() if value != _DEFAULTS[name]}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Build a connector from what `config` returned. Only putting makes the directory where it is missing."""
        if cls.__init__ is not SharedMemoryConnector.__init__:
            return cls(**config)
        known_fields(cls, config, _FIELDS)
        connector = cls.__new__(cls)
        connector.clear = False
        connector._options = {name: config.get(name, default) for name, default in _DEFAULTS.items()}
        connector._open(config.get('dir'), None)
        return connector


_DEFAULTS: dict[str, Any] = {
    'integrity': 'size',
    'max_total_bytes': None,
    'recycle_bytes': None,
    'zero_copy': False,
}
_FIELDS = {'dir', *_DEFAULTS}

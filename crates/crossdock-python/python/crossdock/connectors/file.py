"""Objects as files in a directory, laid out as ProxyStore does."""

from __future__ import annotations

import os
from typing import Any, Literal, NamedTuple, Self

from crossdock._crossdock import StoredBase, open_file
from crossdock.connectors._managed import Managed, check_bound, known_fields
from crossdock.exceptions import InvalidConfigError

__all__ = ['FileConnector', 'FileKey']


class FileKey(NamedTuple):
    """The key of an object in a `FileConnector`.

    Attributes:
        filename: The name of the object's file: a UUID.
        size: The object's size in bytes, if it was known when the key was made.
        checksum: The CRC-64/NVME of its bytes, in 16 hexadecimal digits, if that was known.
    """

    filename: str
    size: int | None = None
    checksum: str | None = None


class FileConnector(StoredBase[FileKey], Managed):
    """Keeps objects as files, for every process and host that sees the directory.

    An object is a file whose name is a UUID, and exists once an empty marker beside it does (`<uuid>.ready`): what
    ProxyStore's `FileConnector` writes and reads, so both may work on one directory at the same time. Files are private
    (mode 0600), appear whole or not at all, and are checked against the size and checksum in their keys. Where these agree,
    `get` does not ask for the marker.

    Args:
        store_dir: The directory; made where it is missing. It may hold references such as `${env:SCRATCH}`, which are
            resolved on each host; without any, a relative one is taken from the working directory now.
        clear: Whether `close` removes all objects, and the directory if nothing else is in it. Counts only in the
            process that built the connector, and not for those that are built from its config.
        buffering: Taken because ProxyStore takes it; without effect, as objects are written in one piece.
        durability: What an object survives once `put` has returned: `'process'` (the end of the process) or `'host'`
            (a power cut).
        integrity: What keys carry and what is checked when an object is read: `'size'`, or `'checksum'` as well.
        allow_foreign_owner: Whether the directory and its files may belong to another user, who could change them.
        make_dir: Whether the directory is made where it is missing. Without, putting is an `UnavailableError` then: for
            file systems that may not be mounted.
        write_once: Whether an object is written once. Without, setting a key again replaces its object whole, and keys
            carry neither size nor checksum: for ProxyStore's `ref.update()`.
        max_total_bytes: The most bytes that all objects in the directory may take together, whoever put them; what is over
            is a `FullError`, or a `TooLargeError` where it alone is more. Default: no bound. All connectors that write to
            the directory, in whichever process, should have the same one: they share a count in it, `.crossdock-usage`.
            What others add or remove, as ProxyStore's connectors do, is seen at the latest after some seconds, and
            before anything is refused.
        zero_copy: `get` returns read-only memoryviews of the mapped file instead of `bytes`; only sizes are checked then.

    Raises:
        UnavailableError: The directory cannot be made or opened, or belongs to somebody else.

    Example:
        >>> import tempfile
        >>> from crossdock.connectors.file import FileConnector
        >>> with FileConnector(tempfile.mkdtemp()) as connector:
        ...     key = connector.put(b'object')
        ...     connector.get(key)
        b'object'
    """

    def __init__(
        self,
        store_dir: str | os.PathLike[str],
        *,
        clear: bool = True,
        buffering: int = -1,
        durability: Literal['process', 'host'] = 'process',
        integrity: Literal['size', 'checksum'] = 'checksum',
        allow_foreign_owner: bool = False,
        make_dir: bool = True,
        write_once: bool = True,
        max_total_bytes: int | None = None,
        zero_copy: bool = False,
    ) -> None:
        self.clear = clear
        self.buffering = buffering
        self._options: dict[str, Any] = {
            'durability': durability,
            'integrity': integrity,
            'allow_foreign_owner': allow_foreign_owner,
            'make_dir': make_dir,
            'write_once': write_once,
            'max_total_bytes': max_total_bytes,
            'zero_copy': zero_copy,
        }
        self._open(store_dir, clear)

    def _open(self, store_dir: str | os.PathLike[str], clear: bool | None) -> None:
        directory = os.fspath(store_dir) if isinstance(store_dir, os.PathLike) else store_dir
        if not isinstance(directory, str):
            raise TypeError(f'store_dir must be a str or a path of one, not {type(directory).__name__}')
        if '\0' in directory:
            raise ValueError(f'store_dir has a null character in it, which no path can have: {directory!r}')
        check_bound(self._options['max_total_bytes'])
        self._dir = open_file(self, directory, clear, **self._options)

    @property
    def store_dir(self) -> str:
        """The directory, absolute, with references unresolved."""
        return self._dir

    def __repr__(self) -> str:
        return f'{type(self).__name__}(store_dir={self.store_dir!r})'

    def __setstate__(self, state: dict[str, Any]) -> None:
        # What ProxyStore's class pickles, once `crossdock.proxystore.install()` has put ours in its place.
        self.__init__(**{**state, 'clear': False})  # type: ignore[misc]

    def close(self, clear: bool | None = None) -> None:
        """Release the directory. Objects stay unless clearing is asked for, here or when the connector was built.

        Args:
            clear: Whether to remove all objects, and the directory if nothing else is in it. Default: what the
                connector was built with, and in another process than that not at all.

        Raises:
            UnavailableError: Something could not be removed. The connector is closed all the same.
        """
        self._close(clear)

    def config(self) -> dict[str, Any]:
        """All that another process needs to build this connector again. It never clears there."""
        config = {'store_dir': self.store_dir, 'clear': False, 'buffering': self.buffering}
        return config | {name: value for name, value in self._options.items() if value != _DEFAULTS[name]}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Build a connector from what `config` returned. Only putting makes the directory where it is missing."""
        if 'store_dir' not in config:
            raise InvalidConfigError(
                f'the config of a {cls.__name__} lacks store_dir, the directory of its objects; it has {sorted(config)}',
            )
        if cls.__init__ is not FileConnector.__init__:
            return cls(**config)
        known_fields(cls, config, _FIELDS)
        connector = cls.__new__(cls)
        connector.clear = False
        connector.buffering = config.get('buffering', -1)
        connector._options = {name: config.get(name, default) for name, default in _DEFAULTS.items()}
        connector._open(config['store_dir'], None)
        return connector


_DEFAULTS: dict[str, Any] = {
    'durability': 'process',
    'integrity': 'checksum',
    'allow_foreign_owner': False,
    'make_dir': True,
    'write_once': True,
    'max_total_bytes': None,
    'zero_copy': False,
}
_FIELDS = {'store_dir', 'clear', 'buffering', *_DEFAULTS}

"""Objects in an object store: S3 and whatever speaks as it does."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, Self

from crossdock._crossdock import StoredBase, open_object_store
from crossdock.connectors._managed import Managed, known_fields

__all__ = ['ObjectStoreConnector', 'ObjectStoreKey']


class ObjectStoreKey(NamedTuple):
    """The key of an object in an `ObjectStoreConnector`.

    Attributes:
        object_key: The object's name in the store, without the prefix of the URL: a UUID.
        size: The object's size in bytes, if it was known when the key was made.
        checksum: The CRC-64/NVME of its bytes, in 16 hexadecimal digits, if that was known.
    """

    object_key: str
    size: int | None = None
    checksum: str | None = None


class ObjectStoreConnector(StoredBase[ObjectStoreKey], Managed):
    """Keeps objects in a bucket, for every process and host that can reach it.

    An object is stored under its id behind the prefix of the URL. A put creates and never replaces. Large objects go in
    parts, several at a time, and come so into one buffer; of a batch, several requests are on the way at the same time.

    Nothing is reached before the first call. Every call ends within its deadline, retries included: what cannot be reached is
    an `UnavailableError`, what does not answer a `TimeoutError`. A put of which nobody knows how it ended is an
    `AmbiguousError`, which carries the key.

    Strings may hold references, `${env:NAME}` and `${file:PATH}`, which are resolved when the connector is built. Secrets
    must be such, as configs travel and are shown. Credentials that are not given are those of the environment
    (`AWS_ACCESS_KEY_ID` and the like), else of the machine's role; `~/.aws` is not read.

    Args:
        url: Where the objects are: `s3://bucket/prefix`. The bucket must be there.
        options: Options of the store, such as `region`, `endpoint`, `access_key_id` and `secret_access_key`, by the names
            that the Rust crate `object_store` gives them, with `aws_` before them or without.
        clear: Whether `close` removes all objects below the prefix. Counts only in the process that built the connector, and
            not for those that are built from its config.
        ca_file: A file of certificates (PEM) that are trusted besides those of the system.
        integrity: What keys carry and what is checked when an object is read: `'size'`, or `'checksum'` as well.
        write_once: Whether an object is written once. Without, setting a key again replaces its object, and keys carry
            neither size nor checksum: for ProxyStore's `ref.update()`.
        conditional_put: Whether puts ask the store to create and never to replace, which some older servers cannot do.
        multipart_threshold: From which size on an object goes and comes in parts: bytes, or a string such as `'16 MiB'`,
            which is the default.
        part_size: The size of a part, likewise, from 5 MiB to 5 GiB. Default 8 MiB.
        concurrency: How many requests one call makes at the same time, from 1 to 256. Default 32.
        deadline: How long a call may take, retries included, and a second more for each 8 MiB that it moves: seconds, more
            than 0, or a string such as `'500ms'`. Default 15.
        retries: How often a request is repeated where that may help, from 0 to 100. Default 3.
        zero_copy: `get` returns read-only memoryviews instead of `bytes`.

    Raises:
        InvalidConfigError: An option is wrong, or a secret is no reference.
        UnavailableError: A reference cannot be resolved, or this build lacks the service.

    Example:
        >>> from crossdock.connectors.object_store import ObjectStoreConnector
        >>> options = {'endpoint': 'http://127.0.0.1:9000', 'access_key_id': 'me', 'secret_access_key': '${env:MY_SECRET}'}
        >>> connector = ObjectStoreConnector('s3://runs/today', options=options)  # doctest: +SKIP
        >>> key = connector.put(b'object')  # doctest: +SKIP
        >>> connector.get(key)  # doctest: +SKIP
        b'object'
    """

    def __init__(
        self,
        url: str,
        *,
        options: Mapping[str, str | int | bool] | None = None,
        clear: bool = False,
        ca_file: str | os.PathLike[str] | None = None,
        integrity: Literal['size', 'checksum'] = 'checksum',
        write_once: bool = True,
        conditional_put: bool = True,
        multipart_threshold: int | str | None = None,
        part_size: int | str | None = None,
        concurrency: int | None = None,
        deadline: float | str | None = None,
        retries: int | None = None,
        zero_copy: bool = False,
    ) -> None:
        self.clear = clear
        self._zero_copy = zero_copy
        self._options: dict[str, Any] = {'url': url}
        given = {
            'url': url,
            'options': dict(options) if isinstance(options, Mapping) else options,
            'ca_file': os.fspath(ca_file) if isinstance(ca_file, os.PathLike) else ca_file,
            'integrity': integrity,
            'write_once': write_once,
            'conditional_put': conditional_put,
            'multipart_threshold': multipart_threshold,
            'part_size': part_size,
            'concurrency': concurrency,
            'deadline': deadline,
            'retries': retries,
        }
        wanted = {name: value for name, value in given.items() if value is not None}
        self._options = open_object_store(self, wanted, clear, zero_copy)

    @property
    def url(self) -> str:
        """Where the objects are, with references unresolved."""
        url: str = self._options['url']
        return url

    def __repr__(self) -> str:
        return f'{type(self).__name__}({self.url!r})'

    def close(self, clear: bool | None = None) -> None:
        """Close the connections. Objects stay unless clearing is asked for, here or when the connector was built.

        Args:
            clear: Whether to remove all objects below the prefix of the URL, whoever put them. Default: what the connector
                was built with, and in another process than that not at all.

        Raises:
            UnavailableError, TimeoutError: Clearing did not get through. The connector is closed all the same.
        """
        self._close(clear)

    def config(self) -> dict[str, Any]:
        """All that another process needs to build this connector again. It never clears there."""
        return self._options | {'zero_copy': True} if self._zero_copy else dict(self._options)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Build a connector from what `config` returned. Nothing is reached yet, and closing it clears nothing."""
        if cls.__init__ is ObjectStoreConnector.__init__:
            known_fields(cls, config, _FIELDS)
        options: dict[str, Any] = {name: False if name == 'clear' else value for name, value in config.items()}
        return cls(**options)


_FIELDS = set(ObjectStoreConnector.__init__.__annotations__) - {'return'}

"""Objects in Redis or Valkey, laid out as ProxyStore does."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, Self

from crossdock._crossdock import StoredBase, open_redis
from crossdock.connectors._managed import Managed, known_fields

__all__ = ['RedisConnector', 'RedisKey']


class RedisKey(NamedTuple):
    """The key of an object in a `RedisConnector`.

    Attributes:
        redis_key: The object's name on the server, without the prefix: a UUID.
        size: The object's size in bytes, if it was known when the key was made.
        checksum: The CRC-64/NVME of its bytes, in 16 hexadecimal digits, if that was known.
    """

    redis_key: str
    size: int | None = None
    checksum: str | None = None


class RedisConnector(StoredBase[RedisKey], Managed):
    """Keeps objects in Redis or Valkey, for every process and host that reaches the server.

    An object is a string under a UUID: what ProxyStore's `RedisConnector` writes and reads, so both may work on one server
    at the same time. Other names are refused as keys: what others keep on the server stays out of reach.

    Nothing is connected before the first call. Every call ends within its deadline, retries included: what cannot be
    reached is an `UnavailableError`, what does not answer a `TimeoutError`. A put whose outcome is not known is tried again
    under the same key until the deadline; then it is an `AmbiguousError`, which carries the key. Connections are kept for
    each process; a forked child makes its own. A small call is one round trip, a batch one pipeline.

    Strings may hold references, `${env:NAME}` and `${file:PATH}`, which are resolved where and when they are needed. A
    password must be one, as configs travel and are shown.

    Args:
        hostname: The server's host, by name or address; or say where it is with `url`, `unix_socket`, `nodes` or `sentinels`.
        port: The server's port, from 1 to 65535. Default 6379.
        clear: Whether `close` removes all objects: the strings whose names are the prefix and a UUID, whoever put them.
            Counts only in the process that built the connector, and not for those that are built from its config.
        url: The server: `redis://user:${env:PASSWORD}@host:6379/0`, `rediss://...` for TLS, `unix:///path`.
        unix_socket: The path of the server's unix socket, an absolute one.
        username: The user of the server. Default: its default user.
        password: The password, as a reference.
        database: The number of the database, from 0 on.
        tls: Whether connections are encrypted. Default: where the URL or one of the next three says so.
        tls_ca_file: A file of certificates (PEM) of the authorities to trust. Default: those of the system.
        tls_cert_file: A file with the certificate (PEM) that we show the server.
        tls_key_file: A file with the key (PEM) of that certificate.
        prefix: What the names of all objects begin with on the server. Default: nothing, as ProxyStore has it.
        ttl: How long the server keeps an object: seconds, or a string such as `'12h'`. Default: until it is evicted.
        cluster: Whether the server is a node of a cluster.
        nodes: The addresses of some nodes of a cluster (`host:6379`): the first that answers tells of the others.
        sentinels: The addresses of sentinels (`host:26379`), which know the primary.
        sentinel_service: The name that the sentinels know the servers by.
        sentinel_password: The password of the sentinels, as a reference. Default: they have none.
        durability: What an object must survive once `put` has returned: `'process'` (an orderly restart of the server) or `'host'`
            (a power cut of its host). Puts are refused where the server's settings promise less. Default: whatever it
            offers.
        integrity: What keys carry and what is checked when an object is read: `'size'`, or `'checksum'` as well.
        write_once: Whether an object is written once. Without, setting a key again replaces its object, and keys carry
            neither size nor checksum: for ProxyStore's `ref.update()`.
        deadline: How long a call may take, retries included, and a second more for each 8 MiB that it moves: seconds, more
            than 0, or a string such as `'500ms'`. Default 15.
        retries: How often a call is tried again within its deadline where nothing was written, from 0 to 100. Default 3.
        zero_copy: `get` returns read-only memoryviews instead of `bytes`.

    Raises:
        InvalidConfigError: An option is wrong, or two of them contradict each other.
        UnavailableError: A reference in `prefix` cannot be resolved.

    Example:
        >>> from crossdock.connectors.redis import RedisConnector
        >>> connector = RedisConnector('cache.example', 6379, password='${env:REDIS_PASSWORD}', prefix='my-run:')
        >>> key = connector.put(b'object')  # doctest: +SKIP
        >>> connector.get(key)  # doctest: +SKIP
        b'object'
    """

    def __init__(
        self,
        hostname: str | None = None,
        port: int | None = None,
        clear: bool = False,
        *,
        url: str | None = None,
        unix_socket: str | os.PathLike[str] | None = None,
        username: str | None = None,
        password: str | None = None,
        database: int | None = None,
        tls: bool | None = None,
        tls_ca_file: str | os.PathLike[str] | None = None,
        tls_cert_file: str | os.PathLike[str] | None = None,
        tls_key_file: str | os.PathLike[str] | None = None,
        prefix: str | None = None,
        ttl: float | str | None = None,
        cluster: bool = False,
        nodes: Sequence[str] | None = None,
        sentinels: Sequence[str] | None = None,
        sentinel_service: str | None = None,
        sentinel_password: str | None = None,
        durability: Literal['process', 'host'] | None = None,
        integrity: Literal['size', 'checksum'] = 'checksum',
        write_once: bool = True,
        deadline: float | str | None = None,
        retries: int | None = None,
        zero_copy: bool = False,
    ) -> None:
        self.clear = clear
        self._zero_copy = zero_copy
        self._options: dict[str, Any] = {}
        given = {
            'hostname': hostname,
            'port': port,
            'url': url,
            'unix_socket': unix_socket,
            'username': username,
            'password': password,
            'database': database,
            'tls': tls,
            'tls_ca_file': tls_ca_file,
            'tls_cert_file': tls_cert_file,
            'tls_key_file': tls_key_file,
            'prefix': prefix,
            'ttl': ttl,
            'cluster': cluster,
            'nodes': nodes,
            'sentinels': sentinels,
            'sentinel_service': sentinel_service,
            'sentinel_password': sentinel_password,
            'durability': durability,
            'integrity': integrity,
            'write_once': write_once,
            'deadline': deadline,
            'retries': retries,
        }
        options = {
            name: os.fspath(value) if isinstance(value, os.PathLike) else value
            for name, value in given.items()
            if value is not None
        }
        self._options = open_redis(self, options, clear, zero_copy)

    @property
    def hostname(self) -> str | None:
        """The server's host, with references unresolved; `None` if something else says where the server is."""
        return self._options.get('hostname')

    @property
    def port(self) -> int | None:
        """The server's port; `None` if something else says where the server is."""
        return self._options.get('port')

    def __repr__(self) -> str:
        options = ', '.join(f'{name}={value!r}' for name, value in self._options.items())
        return f'{type(self).__name__}({options})'

    def close(self, clear: bool | None = None) -> None:
        """Close the connections. Objects stay unless clearing is asked for, here or when the connector was built.

        Args:
            clear: Whether to remove all objects: the strings whose names are the prefix and a UUID, whoever put them.
                Nothing else on the server is touched. Default: what the connector was built with, and in another process
                than that not at all.

        Raises:
            UnavailableError, TimeoutError: Clearing did not get through. The connector is closed all the same.
        """
        self._close(clear)

    def config(self) -> dict[str, Any]:
        """All that another process needs to build this connector again. It never clears there."""
        config = {**self._options, 'clear': False}
        return config | {'zero_copy': True} if self._zero_copy else config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Build a connector from what `config` returned. Nothing is connected yet, and closing it clears nothing."""
        if cls.__init__ is RedisConnector.__init__:
            known_fields(cls, config, _FIELDS)
        options: dict[str, Any] = {name: False if name == 'clear' else value for name, value in config.items()}
        return cls(**options)


_FIELDS = set(RedisConnector.__init__.__annotations__) - {'return'}

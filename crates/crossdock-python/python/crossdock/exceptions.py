"""The exceptions of crossdock: one class per kind of error, under one base.

Where Python has a class for the same thing, the exception is one of those too: an `InvalidKeyError` is a
`ValueError`, a `TimeoutError` a `TimeoutError`. A missing object is no error: `get` returns `None`.
"""

from __future__ import annotations

import builtins
from typing import Any

__all__ = [
    'AlreadyExistsError',
    'AmbiguousError',
    'ClosedError',
    'CorruptError',
    'CrossdockError',
    'DormantError',
    'FullError',
    'InterruptedError',
    'InvalidConfigError',
    'InvalidKeyError',
    'MultiConnectorError',
    'NoRouteError',
    'SerializationError',
    'TimeoutError',
    'TooLargeError',
    'UnavailableError',
    'UnknownConnectorError',
    'UnsupportedError',
]


class CrossdockError(Exception):
    """The base of all exceptions of crossdock.

    Attributes:
        kind: The kind of error as a word, such as `'no_route'`.
        connector: The name of the connector in which it happened (`'outer/inner'` in nested ones), if known.
        operation: The operation during which it happened, such as `'put'`, if known.
        retryable: Whether the same call could succeed later without anybody changing anything.
        keys: Keys whose objects may have been written although the call failed; evicting them is safe.
    """

    kind: str = 'error'

    def __init__(
        self,
        message: str = '',
        *,
        connector: str | None = None,
        operation: str | None = None,
        retryable: bool = False,
        keys: list[Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.connector = connector
        self.operation = operation
        self.retryable = retryable
        self.keys = [] if keys is None else keys


class CorruptError(CrossdockError):
    """Bytes were found that are not the object: their size or checksum differs from the key's."""

    kind = 'corrupt'


class UnavailableError(CrossdockError, ConnectionError):
    """The backend cannot be reached or used now. A put wrote nothing."""

    kind = 'unavailable'


class TimeoutError(CrossdockError, builtins.TimeoutError):
    """The deadline passed before the backend was asked to write. A put wrote nothing."""

    kind = 'timeout'


class AmbiguousError(CrossdockError):
    """The outcome is not known. Writing the same bytes again under the keys in `keys`, or evicting them, is safe."""

    kind = 'ambiguous'


class FullError(CrossdockError, OSError):
    """No space or quota is left. A put wrote nothing."""

    kind = 'full'


class TooLargeError(CrossdockError, ValueError):
    """The object is larger than the backend takes. A put wrote nothing."""

    kind = 'too_large'


class InvalidKeyError(CrossdockError, ValueError):
    """The key cannot be one of this connector's."""

    kind = 'invalid_key'


class InvalidConfigError(CrossdockError, ValueError):
    """A config, a policy or an option is wrong."""

    kind = 'invalid_config'


class AlreadyExistsError(CrossdockError, FileExistsError):
    """The key holds another object already: objects are written once."""

    kind = 'already_exists'


class UnsupportedError(CrossdockError, NotImplementedError):
    """The connector does not offer what was asked of it. A put wrote nothing."""

    kind = 'unsupported'


class ClosedError(CrossdockError, ValueError):
    """The connector was closed. A put wrote nothing."""

    kind = 'closed'


class InterruptedError(CrossdockError, builtins.InterruptedError):
    """The call was given up because its caller wanted so. A put wrote nothing."""

    kind = 'interrupted'


class SerializationError(CrossdockError, ValueError):
    """An object cannot be turned into bytes, or bytes into an object; `__cause__` is what was raised, if anything was."""

    kind = 'serialization'


class MultiConnectorError(CrossdockError):
    """What a multi-connector cannot do: no policy fits, or a key names a connector that is not usable here."""


class NoRouteError(MultiConnectorError):
    """No policy accepts the object; the message says why, connector by connector."""

    kind = 'no_route'


class UnknownConnectorError(MultiConnectorError):
    """The key names a connector that the config does not have."""

    kind = 'unknown_connector'


class DormantError(MultiConnectorError):
    """The key's connector is known, but not active on this host."""

    kind = 'dormant'


BY_KIND: dict[str, type[CrossdockError]] = {
    cls.kind: cls
    for cls in (
        CorruptError,
        UnavailableError,
        TimeoutError,
        AmbiguousError,
        FullError,
        TooLargeError,
        InvalidKeyError,
        InvalidConfigError,
        AlreadyExistsError,
        UnsupportedError,
        ClosedError,
        InterruptedError,
        NoRouteError,
        UnknownConnectorError,
        DormantError,
    )
}
"""The class of each kind."""

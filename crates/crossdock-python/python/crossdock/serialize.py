"""What ProxyStore has under the same name: `BytesLike`, `serialize`, `deserialize`, `SerializationError`.

As an attribute of the package, `crossdock.serialize` is the function.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, TypeAlias

if sys.version_info >= (3, 12):
    from collections.abc import Buffer

    BytesLike: TypeAlias = Buffer
else:
    BytesLike: TypeAlias = bytes | bytearray | memoryview

if TYPE_CHECKING:
    from crossdock.serialization import SerializationError, deserialize, serialize
else:

    def __getattr__(name: str) -> object:
        # Every connector imports this module, and few processes serialize with it.
        if name not in __all__:
            raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
        from crossdock import serialization

        return getattr(serialization, name)


__all__ = ['BytesLike', 'SerializationError', 'deserialize', 'serialize']

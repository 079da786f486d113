"""Types of serialized objects."""

from __future__ import annotations

import sys
from typing import TypeAlias

if sys.version_info >= (3, 12):
    from collections.abc import Buffer

    BytesLike: TypeAlias = Buffer
else:
    BytesLike: TypeAlias = bytes | bytearray | memoryview

__all__ = ['BytesLike']

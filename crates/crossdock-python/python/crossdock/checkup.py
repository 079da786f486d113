"""What `check()` of a connector finds."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ['Checkup']


class Checkup(NamedTuple):
    """How a connector works now: a small object was put, got and evicted.

    Attributes:
        server: The server, with its version and address but no secret; `None` where there is none.
        durability: The most that an object survives: `'process'`, `'host'` or `'backend'`; `None` for nothing.
        put: How long putting took, in seconds.
        get: How long getting took, in seconds.
        evict: How long evicting took, in seconds.
        warnings: What works, but should be known: a sentence each.
    """

    server: str | None
    durability: str | None
    put: float
    get: float
    evict: float
    warnings: list[str]

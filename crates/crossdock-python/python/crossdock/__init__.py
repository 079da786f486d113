"""Moves byte objects between tasks, processes and hosts through the channel that a policy picks.

`crossdock.connectors.multi`, `.file`, `.redis` and `.local` are drop-in replacements for ProxyStore's connectors of the
same names; `load` builds a multi-connector from a policy file; `serialize` and `deserialize` turn Python objects into bytes
and back, with views of large ones; `crossdock.exceptions` has one class per kind of error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

# Loaded now, as loading it later would put the module in the place of the function of its name.
import crossdock.serialize
from crossdock._crossdock import __version__
from crossdock._load import load

if TYPE_CHECKING:
    from crossdock.serialization import deserialize, serialize
else:
    del crossdock, serialize

    def __getattr__(name: str) -> object:
        # Most processes that import this package serialize nothing, or in another way.
        if name not in {'deserialize', 'serialize'}:
            raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
        from crossdock import serialization

        globals()[name] = found = getattr(serialization, name)
        return found


__all__ = ['__version__', 'deserialize', 'load', 'serialize']

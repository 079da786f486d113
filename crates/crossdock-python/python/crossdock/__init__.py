"""Moves byte objects between tasks, processes and hosts through the channel that a policy picks.

`crossdock.connectors.multi`, `.file`, `.redis` and `.local` are drop-in replacements for ProxyStore's connectors of the
same names; `load` builds a multi-connector from a policy file; `crossdock.exceptions` has one class per kind of error.
"""

from __future__ import annotations

from crossdock._crossdock import __version__
from crossdock._load import load

__all__ = ['__version__', 'load']

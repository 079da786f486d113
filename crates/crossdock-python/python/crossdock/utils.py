"""What connectors ask of their surroundings."""

from __future__ import annotations

from crossdock._crossdock import hostname

__all__ = ['hostname']

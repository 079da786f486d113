"""ProxyStore's names for crossdock's classes: for configs and pickles that exist already.

`install()` puts crossdock's classes in place of ProxyStore's in ProxyStore's own modules, in this process. Afterwards
configs that name ProxyStore's classes build ours, and pickles of its keys load as ours. Objects that exist already stay
what they are. `uninstall()` undoes it.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType, TracebackType
from typing import Any

__all__ = ['install', 'installed', 'uninstall']

_CLASSES = {
    'file': ('FileConnector', 'FileKey'),
    'local': ('LocalConnector', 'LocalKey'),
    'multi': ('MultiConnector', 'MultiConnectorError', 'MultiKey', 'Policy'),
    'redis': ('RedisConnector', 'RedisKey'),
}
_replaced: list[tuple[Any, str, Any]] = []


class _Installation:
    """What `install()` returns: used with `with`, it is undone at the end of the block."""

    def __init__(self, *, is_first: bool) -> None:
        self._is_first = is_first

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        exc_traceback: TracebackType | None,
    ) -> None:
        if self._is_first:
            uninstall()


def install() -> _Installation:
    """Put crossdock's classes in place of ProxyStore's in this process; a second time does nothing.

    Returns:
        A context manager that undoes it, for `with crossdock.proxystore.install(): ...`.

    Raises:
        ImportError: ProxyStore is not installed.
    """
    if installed():
        return _Installation(is_first=False)
    for module, names in _CLASSES.items():
        ours = importlib.import_module(f'crossdock.connectors.{module}')
        theirs = _module_of_theirs(f'proxystore.connectors.{module}')
        for name in names:
            _replaced.append((theirs, name, getattr(theirs, name, None)))
            setattr(theirs, name, getattr(ours, name))
    return _Installation(is_first=True)


def uninstall() -> None:
    """Put ProxyStore's own classes back; without `install()` it does nothing."""
    while _replaced:
        module, name, original = _replaced.pop()
        setattr(module, name, original)
        if original is None:
            sys.modules.pop(module.__name__, None)


def _module_of_theirs(name: str) -> ModuleType:
    """The module, or an empty one in its place where the package that it is made for is not installed."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if (error.name or '').partition('.')[0] == 'proxystore':
            raise
        return sys.modules.setdefault(name, ModuleType(name))


def installed() -> bool:
    """Whether crossdock's classes stand in for ProxyStore's in this process."""
    return bool(_replaced)

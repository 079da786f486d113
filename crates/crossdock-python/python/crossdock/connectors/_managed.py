"""What all connectors do alike: they close at the end of a `with` block, and travel as their configs."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from crossdock.exceptions import InvalidConfigError


class Managed:
    """A connector with `close`, `config` and `from_config`."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self: Any,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        exc_traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __reduce__(self: Any) -> Any:
        return type(self).from_config, (self.config(),)


def known_fields(cls: type[Any], config: dict[str, Any], known: set[str]) -> None:
    """Refuses what the constructor does not take.

    Raises:
        InvalidConfigError: The config has a field of another name.
    """
    unknown = set(config) - known
    if unknown:
        raise InvalidConfigError(
            f'the config of a {cls.__name__} has an unknown field {sorted(unknown)[0]!r}; known are {sorted(known)}',
        )


def check_bound(size: int | None, name: str = 'max_total_bytes') -> None:
    """Refuse a bound that is no size in bytes."""
    if size is not None and size < 0:
        raise ValueError(f'{name} is a size in bytes, which cannot be below 0, not {size}')

"""Policies: which objects a connector of a multi-connector takes."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar, NotRequired, TypedDict

from crossdock import utils
from crossdock._crossdock import CompiledPolicy, read_tags

if TYPE_CHECKING:
    import dataclasses

__all__ = ['Policy', 'PolicyDict']


class PolicyDict(TypedDict):
    """A policy as a dict that JSON can hold. What ProxyStore does not know is there only if it differs from its default."""

    priority: int
    host_pattern: list[str] | str | None
    min_size_bytes: int
    max_size_bytes: int
    subset_tags: list[str]
    superset_tags: list[str]
    fallback: NotRequired[bool]
    max_failures: NotRequired[int]
    cooldown: NotRequired[float]


class _OfDataclass:
    """What makes `Policy` a dataclass, once somebody asks: `dataclasses` takes longer to import than all of crossdock."""

    def __set_name__(self, owner: type[Policy], name: str) -> None:
        self.name = name

    def __get__(self, policy: Policy | None, owner: type[Policy]) -> Any:
        import dataclasses

        def field(name: str) -> tuple[str, Any, dataclasses.Field[Any]]:
            default = Policy._DEFAULTS[name]
            factory = {'default_factory': list} if isinstance(default, tuple) else {'default': default}
            return name, Policy.__init__.__annotations__[name], dataclasses.field(**factory)

        template = dataclasses.make_dataclass('Policy', [field(name) for name in Policy._DEFAULTS])
        for name in ('__dataclass_fields__', '__dataclass_params__'):
            setattr(Policy, name, vars(template)[name])
        return vars(template)[self.name]


class Policy:
    """Which objects a connector takes, and in which order it is asked. A dataclass.

    A policy may be changed until a `MultiConnector` has it; from then on, use `dataclasses.replace`.

    Attributes:
        priority: Connectors with a higher priority are asked first, ties in the order in which they were given.
        host_pattern: The hosts on which the policy holds: a pattern, or several of which one must match the whole
            hostname as `re.fullmatch` does. `None` is every host, an empty list none.
        min_size_bytes: The smallest object that is taken, in bytes.
        max_size_bytes: The largest object that is taken, in bytes.
        subset_tags: Tags among which all of an object's subset tags must be.
        superset_tags: Tags that must all be among an object's superset tags.
        fallback: Whether a put that fails here without having written anything goes on to the next valid connector.
        max_failures: How many puts in a row may fail here before the connector is skipped for a while: by puts that may
            fall back; others fail at once then. 0: never.
        cooldown: How long it is skipped then, in seconds, before one put tries it again.

    Raises:
        TypeError: A field is of another type.
        ValueError: A pattern does not compile, a number is below 0, or the smallest size is above the largest.

    Example:
        >>> from crossdock.connectors.multi import Policy
        >>> policy = Policy(max_size_bytes=1000, subset_tags=['scratch'])
        >>> policy.is_valid(size_bytes=1000), policy.is_valid(size_bytes=1001)
        (True, False)
    """

    _DEFAULTS: ClassVar[dict[str, Any]] = {
        'priority': 0,
        'host_pattern': None,
        'min_size_bytes': 0,
        'max_size_bytes': sys.maxsize,
        'subset_tags': (),
        'superset_tags': (),
        'fallback': False,
        'max_failures': 5,
        'cooldown': 10,
    }
    FIELDS: ClassVar[frozenset[str]] = frozenset(_DEFAULTS)
    __match_args__: ClassVar[tuple[str, ...]] = tuple(_DEFAULTS)
    __hash__ = None  # type: ignore[assignment]

    if TYPE_CHECKING:
        __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]
    else:
        __dataclass_fields__ = _OfDataclass()
        __dataclass_params__ = _OfDataclass()

    priority: int
    host_pattern: list[str] | str | None
    min_size_bytes: int
    max_size_bytes: int
    subset_tags: list[str]
    superset_tags: list[str]
    fallback: bool
    max_failures: int
    cooldown: float

    def __init__(
        self,
        priority: int = 0,
        host_pattern: Iterable[str] | str | None = None,
        min_size_bytes: float = 0,
        max_size_bytes: float = sys.maxsize,
        subset_tags: Iterable[str] = (),
        superset_tags: Iterable[str] = (),
        fallback: bool = False,
        max_failures: int = 5,
        cooldown: float = 10,
    ) -> None:
        self.priority = priority
        # Lists, so that whatever the values come from can be used up, and policies can be compared.
        if host_pattern is None or isinstance(host_pattern, str):
            self.host_pattern = host_pattern
        else:
            self.host_pattern = read_tags('host_pattern', host_pattern)
        self.subset_tags = read_tags('subset_tags', subset_tags)
        self.superset_tags = read_tags('superset_tags', superset_tags)
        self.fallback = fallback
        self.max_failures = max_failures
        self.cooldown = cooldown
        compiled = self._compile(min_size_bytes, max_size_bytes)
        self.min_size_bytes = min(compiled.min_size_bytes, sys.maxsize)
        self.max_size_bytes = min(compiled.max_size_bytes, sys.maxsize)

    def __repr__(self) -> str:
        fields = ', '.join(f'{name}={getattr(self, name)!r}' for name in self._DEFAULTS)
        return f'{type(self).__qualname__}({fields})'

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self._DEFAULTS)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self.FIELDS:
            if '_is_frozen' in self.__dict__:
                raise AttributeError(
                    f'cannot set {name}: a MultiConnector has this policy; make another with dataclasses.replace',
                )
            self.__dict__.pop('_cache', None)
        object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        if name in self.FIELDS:
            raise AttributeError(f'cannot delete {name}: every policy has it')
        object.__delattr__(self, name)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ('_cache', '_is_frozen')}

    def __setstate__(self, state: dict[str, Any]) -> None:
        # ProxyStore's policies, once `crossdock.proxystore.install()` has put ours in their place, lack fields.
        Policy.__init__(self, **{name: value for name, value in state.items() if name in self.FIELDS})
        self.__dict__.update({name: value for name, value in state.items() if name not in self.FIELDS})

    @property
    def _compiled(self) -> CompiledPolicy:
        compiled: CompiledPolicy | None = self.__dict__.get('_cache')
        if compiled is None:
            compiled = self._compile(self.min_size_bytes, self.max_size_bytes)
            # Lists can be changed without us noticing, so that only a frozen policy can be remembered.
            if '_is_frozen' in self.__dict__:
                self.__dict__['_cache'] = compiled
        return compiled

    def _compile(self, min_size_bytes: float, max_size_bytes: float) -> CompiledPolicy:
        return CompiledPolicy(
            self.priority,
            self.host_pattern,
            min_size_bytes,
            max_size_bytes,
            self.subset_tags,
            self.superset_tags,
            self.fallback,
            self.max_failures,
            self.cooldown,
        )

    def _freeze(self) -> None:
        self.__dict__['_is_frozen'] = True

    def is_valid(
        self,
        *,
        size_bytes: int | None = None,
        subset_tags: Iterable[str] | None = None,
        superset_tags: Iterable[str] | None = None,
    ) -> bool:
        """Whether the policy takes an object on this host. What is `None` is not checked.

        Args:
            size_bytes: The object's size in bytes.
            subset_tags: Tags that must all be among the policy's.
            superset_tags: Tags among which all of the policy's must be.
        """
        return self._compiled.is_valid(utils.hostname(), size_bytes, subset_tags, superset_tags)

    def is_valid_on_host(self) -> bool:
        """Whether the policy holds on this host, of which `crossdock.utils.hostname` tells the name."""
        return self.host_pattern is None or self._compiled.is_valid_on_host(utils.hostname())

    def as_dict(self) -> PolicyDict:
        """The policy as a dict that JSON can hold: `Policy(**policy.as_dict()) == policy`."""
        pattern = self.host_pattern
        fields = PolicyDict(
            priority=self.priority,
            host_pattern=pattern if pattern is None or isinstance(pattern, str) else list(pattern),
            min_size_bytes=self.min_size_bytes,
            max_size_bytes=self.max_size_bytes,
            subset_tags=list(self.subset_tags),
            superset_tags=list(self.superset_tags),
        )
        if self.fallback:
            fields['fallback'] = True
        if self.max_failures != self._DEFAULTS['max_failures']:
            fields['max_failures'] = self.max_failures
        if self.cooldown != self._DEFAULTS['cooldown']:
            fields['cooldown'] = self.cooldown
        return fields

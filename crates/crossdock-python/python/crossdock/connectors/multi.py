"""One connector over several: each object goes to the first whose policy takes it, and its key says where it landed."""

from __future__ import annotations

import copy
import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Self, overload

from crossdock._crossdock import MultiBase
from crossdock.checkup import Checkup
from crossdock.connectors._managed import Managed
from crossdock.exceptions import CrossdockError, InvalidConfigError, MultiConnectorError
from crossdock.policy import Policy, PolicyDict
from crossdock.serialize import BytesLike

__all__ = [
    'ConnectorPolicyConfig',
    'Explanation',
    'MultiConnector',
    'MultiConnectorError',
    'MultiKey',
    'Policy',
    'PolicyDict',
    'Verdict',
]

ConnectorPolicyConfig = tuple[str, dict[str, Any], PolicyDict]
"""What a config says of one connector: the class path, the class's own config, the policy."""


class MultiKey(NamedTuple):
    """The key of an object in a `MultiConnector`.

    Attributes:
        connector_name: The name of the connector that has the object.
        connector_key: That connector's key.
    """

    connector_name: str
    connector_key: Any


class Verdict(NamedTuple):
    """What one connector's policy says to a request.

    Attributes:
        connector: The connector's name.
        accepts: Whether it takes the object.
        reasons: Why not; empty if it does.
        skipped: Why puts skip it for now, although it accepts: too many in a row have failed there. `None` if they do not.
    """

    connector: str
    accepts: bool
    reasons: list[str]
    skipped: str | None = None

    def __str__(self) -> str:
        if not self.accepts:
            return f'{self.connector}: {"; ".join(self.reasons)}'
        return f'{self.connector}: accepts' + (f', but is being skipped: {self.skipped}' if self.skipped else '')


class Explanation(NamedTuple):
    """Where an object would go, and why.

    Attributes:
        route: The name of the connector that would take it, if one does.
        verdicts: What every policy says, in the order in which the connectors are asked.
    """

    route: str | None
    verdicts: list[Verdict]

    def __str__(self) -> str:
        route = self.route or 'none'
        blocking = next((verdict for verdict in self.verdicts if verdict.accepts), None)
        if self.route is None and blocking is not None:
            route += f' while {blocking.connector} is being skipped, as its policy has no fallback: puts fail'
        return '\n'.join([f'route: {route}', *(f'  {verdict}' for verdict in self.verdicts)])


class _ConnectorPolicy(NamedTuple):
    connector: Any
    policy: Policy


class _Connectors(Mapping[str, _ConnectorPolicy]):
    """The active connectors by name. One that is not open yet is opened when it is looked at."""

    def __init__(self, multi: MultiConnector) -> None:
        self._multi = multi

    def __getitem__(self, name: str) -> _ConnectorPolicy:
        place, entry = self._multi._entries[name]
        if entry.is_dormant:
            raise KeyError(name)
        return _ConnectorPolicy(self._multi._connector(place), entry.policy)

    def __iter__(self) -> Iterator[str]:
        return (name for name, (_, entry) in self._multi._entries.items() if not entry.is_dormant)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, name: object) -> bool:
        return any(each == name for each in self)

    def __repr__(self) -> str:
        return f'{{{", ".join(f"{name!r}: {self._multi._shown(name)}" for name in self)}}}'


class _Entry:
    """One connector of a multi-connector, as it was given."""

    def __init__(
        self,
        policy: Policy,
        *,
        connector: Any = None,
        config: tuple[str, dict[str, Any]] | None = None,
        opener: Callable[[], Any] | None = None,
    ) -> None:
        self.policy = policy
        # As it is now: what routes is compiled now, too.
        self.policy_dict = policy.as_dict()
        self.connector = connector
        self.config = config
        self.opener = opener

    @property
    def is_dormant(self) -> bool:
        return self.connector is None and self.opener is None


class MultiConnector(MultiBase, Managed):
    """Puts each object into the first connector whose policy takes it.

    - `put` asks the policies from the highest priority down, ties in the order in which the connectors were given.
    - `get`, `exists` and `evict` go to the connector that the key names; no policy is asked.
    - Batches are routed whole before anything is written, handed over in one call for each connector, and undone when
      one of these fails.
    - A connector of a config whose host pattern does not match this host is dormant: it is kept in `config()`, not opened.
    - A connector of a config that cannot be opened is an `UnavailableError` when it is needed, not before.
    - A connector in which too many puts in a row have failed (its policy's `max_failures`) is skipped for a while (its
      `cooldown`): where its policy says `fallback`, puts go to the next one at once, and come back to it only if no other
      has taken the object; where not, they fail at once. Reads go there all the same. `explain` and `stats` show it.

    Any object with the methods of ProxyStore's `Connector` can be one of the connectors. Its keys and its exceptions
    pass through unchanged. An exception other than those of `crossdock.exceptions` says nothing of what was written,
    so that `fallback` does not go on after it.

    Args:
        connectors: From each name to its connector and policy.
        dormant_connectors: From each name to the config of a connector that is known, but not for this process.
        config: What `config` returned, as keywords: so ProxyStore's `Store` builds connectors in other processes.

    Raises:
        TypeError: A connector lacks a method, a policy is no `Policy`.
        InvalidConfigError: A config is wrong.

    Example:
        >>> from crossdock.connectors.local import LocalConnector
        >>> from crossdock.connectors.multi import MultiConnector, Policy
        >>> connector = MultiConnector({
        ...     'small': (LocalConnector(), Policy(max_size_bytes=100, priority=1)),
        ...     'large': (LocalConnector(), Policy()),
        ... })
        >>> key = connector.put(b'object')
        >>> key.connector_name
        'small'
        >>> connector.get(key)
        b'object'
    """

    @overload
    def __init__(
        self,
        /,
        connectors: Mapping[str, tuple[Any, Policy]],
        dormant_connectors: Mapping[str, ConnectorPolicyConfig] | None = None,
    ) -> None: ...

    @overload
    def __init__(self, /, **config: Any) -> None: ...

    def __init__(self, /, *args: Any, **kwargs: Any) -> None:
        given = _arguments(args, kwargs)
        if given is None:
            entries = [(name, _entry_of_config(name, item)) for name, item in kwargs.items()]
            self._is_from_config = True
        else:
            connectors, dormant = given
            entries = [(name, _entry_of_connector(name, item)) for name, item in connectors.items()]
            entries += [(name, _entry_of_dormant(name, item)) for name, item in (dormant or {}).items()]
            self._is_from_config = dormant is not None
        self._entries = {name: (place, entry) for place, (name, entry) in enumerate(entries)}
        if len(self._entries) != len(entries):
            raise InvalidConfigError('a connector and a dormant one have the same name; give each a name of its own')
        for _, entry in entries:
            entry.policy._freeze()
        self._setup([(name, entry.policy._compiled, entry.connector, entry.opener) for name, entry in entries])

    @property
    def connectors(self) -> Mapping[str, _ConnectorPolicy]:
        """The active connectors, each with its policy, by name. One that is not open yet is opened when looked at."""
        return _Connectors(self)

    @property
    def dormant_connectors(self) -> dict[str, ConnectorPolicyConfig] | None:
        """The configs of the dormant connectors by name; `None` for a multi-connector that was not built from a config."""
        if not self._is_from_config:
            return None
        return {
            name: self._config_of(place, entry) for name, (place, entry) in self._entries.items() if entry.is_dormant
        }

    @property
    def connectors_by_priority(self) -> list[str]:
        """The names of the active connectors in the order in which they are asked."""
        return [name for name in self._order() if not self._entries[name][1].is_dormant]

    def __repr__(self) -> str:
        shown = ', '.join(f'{name!r}: {self._shown(name)}' for name in self._entries)
        return f'{type(self).__name__}({{{shown}}})'

    def __setstate__(self, state: dict[str, Any]) -> None:
        # What ProxyStore's class pickles, once `crossdock.proxystore.install()` has put ours in its place.
        self.__init__(state['connectors'], state['dormant_connectors'])  # type: ignore[misc]

    def _shown(self, name: str) -> str:
        place, entry = self._entries[name]
        if entry.is_dormant:
            return 'dormant'
        connector = self._opened(place)
        return f'{entry.config[0]} (not opened)' if connector is None and entry.config else repr(connector)

    def close(self, clear: bool | None = None, **kwargs: Any) -> None:
        """Close every connector that is open, then raise what the first one that failed has raised.

        Args:
            clear: Handed to each connector whose `close` takes it.
            kwargs: Likewise.

        Raises:
            TypeError: No connector's `close` takes one of the arguments; nothing was closed.
            Exception: What a connector has raised; what later ones have raised stands in its notes.
        """
        if clear is not None:
            kwargs['clear'] = clear
        active = [(name, place) for name, (place, entry) in self._entries.items() if not entry.is_dormant]
        taken = {'clear'}.union(*(_taken(self._opened(place), kwargs) for _, place in active))
        if not taken.issuperset(kwargs):
            raise TypeError(f'no connector here can be closed with {sorted(set(kwargs) - taken)[0]}=...')
        if self._is_closed():
            return
        failed: list[tuple[str, BaseException]] = []
        closing: list[tuple[str, Any]] = []
        for name, place in active:
            try:
                # Clearing means the objects of this connector as well, though nobody needed it so far.
                closing.append((name, self._connector(place) if clear else self._opened(place)))
            except Exception as error:
                failed.append((name, error))
        self._close()
        for name, connector in closing:
            try:
                if connector is not None:
                    connector.close(**{name: kwargs[name] for name in _taken(connector, kwargs)})
            except BaseException as error:
                failed.append((name, error))
        if failed:
            # Ctrl-C and its like come out whatever else has happened.
            failed.sort(key=lambda each: isinstance(each[1], Exception))
            _, first = failed[0]
            for name, later in failed[1:]:
                first.add_note(f'connector {name!r} failed as well: {later!r}')
            raise first

    def config(self) -> dict[str, ConnectorPolicyConfig]:
        """All that another process needs to build this connector again: all entries, dormant ones too, in their order."""
        return {name: self._config_of(place, entry) for name, (place, entry) in self._entries.items()}

    def _config_of(self, place: int, entry: _Entry) -> ConnectorPolicyConfig:
        connector = self._opened(place)
        if connector is not None:
            return _path_of(type(connector)), connector.config(), copy.deepcopy(entry.policy_dict)
        class_path, options = entry.config or ('', {})
        return class_path, copy.deepcopy(options), copy.deepcopy(entry.policy_dict)

    @classmethod
    def from_config(cls, config: Mapping[str, ConnectorPolicyConfig]) -> Self:
        """Build a connector from what `config` returned.

        Class paths are imported, as ProxyStore does: use `crossdock.load` for configs that you do not trust.

        Raises:
            InvalidConfigError: The config is wrong; the message says where.
        """
        if not isinstance(config, Mapping):
            raise TypeError(
                f'a config is a dict from names to (class path, config, policy), not {type(config).__name__}'
            )
        return cls(**config)

    def explain(
        self,
        obj: BytesLike | None = None,
        *,
        size_bytes: int | None = None,
        subset_tags: Iterable[str] = (),
        superset_tags: Iterable[str] = (),
    ) -> Explanation:
        """Where an object would go on this host now, and what each policy says. Nothing is opened or written.

        A connector in which too many puts in a row have failed is skipped for a while: the route goes past it.

        Args:
            obj: The object; or
            size_bytes: its size in bytes. With neither, no size is checked.
            subset_tags: As for `put`.
            superset_tags: As for `put`.

        Example:
            >>> from crossdock.connectors.local import LocalConnector
            >>> from crossdock.connectors.multi import MultiConnector, Policy
            >>> connector = MultiConnector({'small': (LocalConnector(), Policy(max_size_bytes=100))})
            >>> print(connector.explain(size_bytes=3_000_000))
            route: none
              small: too large: 3000000 bytes, the maximum is 100 bytes
        """
        if isinstance(obj, (int, float)):
            raise TypeError(f'obj is an object, of bytes; for its size write explain(size_bytes={obj})')
        if obj is not None:
            size_bytes = memoryview(obj).nbytes
        route, verdicts = self._explain(size_bytes, subset_tags, superset_tags)
        return Explanation(route, [Verdict(*verdict) for verdict in verdicts])

    def check(self) -> dict[str, Checkup | Exception]:
        """Open every connector that is active here and test it: a small object is put, got and evicted.

        Connectors of other machines are tested at the same time. What is wrong with one hides nothing of the others.

        Returns:
            From each name to what was found, or to the exception that says what is wrong.

        Raises:
            ClosedError: The connector is closed.

        Example:
            >>> from crossdock.checkup import Checkup
            >>> from crossdock.connectors.local import LocalConnector
            >>> from crossdock.connectors.multi import MultiConnector, Policy
            >>> found = MultiConnector({'memory': (LocalConnector(), Policy())}).check()
            >>> isinstance(found['memory'], Checkup), found['memory'].warnings
            (True, [])
        """
        return self._check()

    def stats(self) -> dict[str, dict[str, dict[str, Any]]]:
        """What went through each connector since this one was built, and how it fares: `{connector: {operation: figures}}`.

        The figures are `operations` (calls), `objects`, `bytes`, `errors` and `seconds`. Of calls into process memory,
        which take less time than a look at the clock, every 64th is timed and counts for all.

        Beside the operations stands `health`: the `state` of the connector's circuit breaker (`'closed'`: puts go there;
        `'open'`: they skip it; `'half-open'`: one tries it again), how many puts in a row have failed there (`failures`),
        what the last of them said (`last_error`, or `None`), and in how many seconds it is tried again (`retry_in`, `None`
        where it is closed).

        Example:
            >>> from crossdock.connectors.local import LocalConnector
            >>> from crossdock.connectors.multi import MultiConnector, Policy
            >>> MultiConnector({'memory': (LocalConnector(), Policy())}).stats()['memory']['health']
            {'state': 'closed', 'failures': 0, 'last_error': None, 'retry_in': None}
        """
        return self._stats()


def _arguments(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any] | None:
    """`(connectors, dormant_connectors)`, or `None` if the keywords are a config.

    A connector of a config may itself be called `connectors`: then that keyword is its entry, which is a tuple.
    """
    names = ('connectors', 'dormant_connectors')
    if len(args) > 2:
        raise TypeError(f'at most {names[0]} and {names[1]} can be given by position, not {len(args)} arguments')
    named = {name: kwargs[name] for name in kwargs if name in names and not isinstance(kwargs[name], (tuple, list))}
    if not args and not named:
        return None
    given = dict(zip(names, args)) | named
    if len(args) + len(kwargs) != len(given):
        raise TypeError('give connectors (and dormant_connectors), or the keywords of a config, but not both')
    if 'connectors' not in given:
        raise TypeError('connectors is missing: a dict from names to (connector, policy)')
    for name, value in given.items():
        if not isinstance(value, Mapping) and not (name == 'dormant_connectors' and value is None):
            raise TypeError(f'{name} must be a dict from names, not {type(value).__name__}')
    return given['connectors'], given.get('dormant_connectors')


def _require_name(name: object) -> None:
    if not isinstance(name, str):
        raise TypeError(f'the name of a connector is a str, not {type(name).__name__}')
    if not name:
        raise ValueError('the name of a connector is empty')


def _entry_of_connector(name: str, item: Any) -> _Entry:
    _require_name(name)
    if isinstance(item, (tuple, list)) and len(item) == 3:
        raise TypeError(f'connectors[{name!r}] is an entry of a config; use MultiConnector.from_config(config)')
    if not isinstance(item, (tuple, list)) or len(item) != 2:
        raise TypeError(f'connectors[{name!r}] must be (connector, policy), not {type(item).__name__}')
    connector, policy = item
    if not isinstance(policy, Policy):
        if not hasattr(policy, 'as_dict'):
            raise TypeError(f'connectors[{name!r}]: the policy must be a Policy, not {type(policy).__name__}')
        policy = Policy(**policy.as_dict())
    return _Entry(policy, connector=connector)


def _entry_of_dormant(name: str, item: Any) -> _Entry:
    class_path, options, policy = _parse(name, item)
    return _Entry(policy, config=(class_path, options))


def _entry_of_config(name: str, item: Any) -> _Entry:
    class_path, options, policy = _parse(name, item)
    if not policy.is_valid_on_host():
        return _Entry(policy, config=(class_path, options))

    def opener() -> Any:
        return _class_of(class_path).from_config(dict(options))

    if class_path in _OWN:
        # Costs next to nothing, and a mistake in the config shows at once; what is only not there now may come back.
        try:
            return _Entry(policy, connector=opener())
        except (InvalidConfigError, TypeError, ValueError) as error:
            raise InvalidConfigError(f'connectors.{name}: {error}') from error
        except CrossdockError:
            pass
    return _Entry(policy, config=(class_path, options), opener=opener)


def _parse(name: str, item: Any) -> tuple[str, dict[str, Any], Policy]:
    _require_name(name)
    if not isinstance(item, (tuple, list)) or len(item) != 3:
        shown = f'{len(item)} items' if isinstance(item, (tuple, list)) else type(item).__name__
        raise InvalidConfigError(f'connectors.{name} must be (class path, config, policy), not {shown}')
    class_path, options, policy = item
    if not isinstance(class_path, str) or not isinstance(options, Mapping) or not isinstance(policy, Mapping):
        kinds = ', '.join(type(each).__name__ for each in item)
        raise InvalidConfigError(
            f'connectors.{name} must be (class path, config, policy), that is (str, dict, dict), not ({kinds})'
        )
    unknown = set(policy) - Policy.FIELDS
    if unknown:
        raise InvalidConfigError(
            f'connectors.{name}: the policy has an unknown field {sorted(map(str, unknown))[0]!r}; known are {sorted(Policy.FIELDS)}',
        )
    try:
        return class_path, dict(options), Policy(**policy)
    except (TypeError, ValueError) as error:
        raise InvalidConfigError(f'connectors.{name}: the policy is wrong: {error}') from error


_OWN = {
    'crossdock.connectors.file.FileConnector',
    'crossdock.connectors.local.LocalConnector',
    'crossdock.connectors.multi.MultiConnector',
    'crossdock.connectors.object_store.ObjectStoreConnector',
    'crossdock.connectors.redis.RedisConnector',
    'crossdock.connectors.shm.SharedMemoryConnector',
}


def _class_of(class_path: str) -> Any:
    module, _, name = class_path.rpartition('.')
    if not module:
        raise ImportError(f'{class_path!r} is no class path, which looks like package.module.Class')
    try:
        return getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        # Without ProxyStore, ours stand in for its classes; with it, only after `crossdock.proxystore.install()`.
        ours = class_path.replace('proxystore.', 'crossdock.', 1)
        if error.name != 'proxystore' or ours not in _OWN:
            raise
        return _class_of(ours)


def _path_of(cls: type) -> str:
    return f'{cls.__module__}.{cls.__qualname__}'


def _taken(connector: Any, kwargs: dict[str, Any]) -> set[str]:
    """Which of the keywords the connector's `close` takes."""
    if connector is None or not kwargs:
        return set()
    if type(connector) is MultiConnector:
        return {'clear'}.union(*(_taken(connector._opened(place), kwargs) for place, _ in connector._entries.values()))
    import inspect

    try:
        parameters = inspect.signature(connector.close).parameters
    except ValueError:
        # Some callables have no signature to be looked at.
        return set()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return set(kwargs)
    return {name for name in kwargs if name in parameters}

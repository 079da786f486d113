"""What becomes of puts where a connector fails again and again: it is skipped, tried again, and shown."""

from __future__ import annotations

import time
from typing import Any

import pytest

from crossdock.connectors.local import LocalConnector
from crossdock.connectors.multi import MultiConnector, Policy, Verdict
from crossdock.exceptions import AmbiguousError, FullError, TimeoutError, UnavailableError
from helpers import GENEROUS

HOUR = 3600.0


class Ailing:
    """A connector of Python whose puts raise what they are told to."""

    def __init__(self) -> None:
        self.inner = LocalConnector()
        self.raises: BaseException | None = None
        self.puts = 0

    def put(self, obj: Any) -> Any:
        self.puts += 1
        if self.raises is not None:
            raise self.raises
        return self.inner.put(obj)

    def get(self, key: Any) -> Any:
        return self.inner.get(key)

    def exists(self, key: Any) -> bool:
        return self.inner.exists(key)

    def evict(self, key: Any) -> None:
        self.inner.evict(key)

    def config(self) -> dict[str, Any]:
        return {}

    def close(self) -> None:
        self.inner.close()


def two(**policy: Any) -> tuple[Ailing, Ailing, MultiConnector]:
    first, second = Ailing(), Ailing()
    policy = {'max_failures': 3, 'cooldown': HOUR, **policy}
    return first, second, MultiConnector({'first': (first, Policy(**policy)), 'second': (second, Policy())})


def unavailable() -> UnavailableError:
    return UnavailableError('the server is gone')


def test_a_connector_that_fails_again_and_again_is_skipped() -> None:
    first, _, connector = two(fallback=True)
    first.raises = unavailable()
    keys = [connector.put(b'object') for _ in range(6)]
    assert [key.connector_name for key in keys] == ['second'] * 6
    assert first.puts == 3
    keys = connector.put_batch([b'a', b'b'])
    assert [key.connector_name for key in keys] == ['second'] * 2
    assert first.puts == 3
    assert connector.get_batch(keys) == [b'a', b'b']


def test_without_fallback_puts_fail_at_once_and_say_why() -> None:
    first, second, connector = two()
    first.raises = unavailable()
    for _ in range(3):
        with pytest.raises(UnavailableError) as passed:
            connector.put(b'object')
        assert passed.value is first.raises
    for call in (lambda: connector.put(b'object'), lambda: connector.put_batch([b'object'])):
        with pytest.raises(
            UnavailableError, match='failed 3 times in a row .*the server is gone.* tried again in'
        ) as told:
            call()
        assert told.value.connector == 'first' and told.value.retryable
    assert (first.puts, second.puts) == (3, 0)


def test_it_is_tried_again_after_the_cool_down() -> None:
    first, _, connector = two(fallback=True, max_failures=1, cooldown=0.02)
    first.raises = unavailable()
    assert connector.put(b'object').connector_name == 'second'
    assert connector.stats()['first']['health']['failures'] == 1
    first.raises = None
    deadline = time.monotonic() + GENEROUS
    while connector.put(b'object').connector_name != 'first':
        assert time.monotonic() < deadline
    assert connector.stats()['first']['health'] == {
        'state': 'closed',
        'failures': 0,
        'last_error': None,
        'retry_in': None,
    }


def test_what_was_skipped_is_tried_after_all_before_a_put_fails() -> None:
    first, second, connector = two(fallback=True)
    first.raises = unavailable()
    for _ in range(3):
        connector.put(b'object')
    first.raises, second.raises = None, FullError('no space is left')
    key = connector.put(b'object')
    assert key.connector_name == 'first' and connector.get(key) == b'object'
    assert connector.stats()['first']['health']['state'] == 'closed'


def test_an_unknown_outcome_goes_nowhere_else() -> None:
    first, second, connector = two(fallback=True)
    first.raises = unavailable()
    for _ in range(3):
        connector.put(b'object')
    second.raises = OSError('who knows')
    with pytest.raises(OSError) as passed:
        connector.put(b'object')
    assert passed.value is second.raises
    assert first.puts == 3


@pytest.mark.parametrize(
    ('raised', 'counts'),
    [
        (unavailable(), True),
        (TimeoutError('too late'), True),
        (AmbiguousError('who knows'), True),
        (ConnectionResetError('by peer'), True),
        (RuntimeError('by anybody'), True),
        (FullError('no space is left'), False),
        (TypeError('no such argument'), False),
        (ValueError('no such value'), False),
        (KeyboardInterrupt(), False),
    ],
    ids=repr,
)
def test_what_counts_is_the_channel_and_not_the_caller(raised: BaseException, counts: bool) -> None:
    first, _, connector = two()
    first.raises = raised
    for _ in range(2):
        with pytest.raises(type(raised)):
            connector.put(b'object')
    assert connector.stats()['first']['health']['failures'] == (2 if counts else 0)


def test_what_is_skipped_shows() -> None:
    first, _, connector = two(fallback=True)
    first.raises = unavailable()
    for _ in range(3):
        connector.put(b'object')
    health = connector.stats()['first']['health']
    assert (health['state'], health['failures']) == ('open', 3)
    assert 'the server is gone' in health['last_error'] and 0 < health['retry_in'] <= HOUR
    found = connector.explain(b'object')
    assert found.route == 'second'
    skipped, well = found.verdicts
    assert skipped.accepts and skipped.reasons == []
    assert skipped.skipped is not None and skipped.skipped.startswith('it failed 3 times in a row (last: ')
    assert well == Verdict('second', True, [])
    assert str(found) == f'route: second\n  first: accepts, but is being skipped: {skipped.skipped}\n  second: accepts'


def test_why_there_is_no_route_past_what_is_skipped_shows() -> None:
    first, _, connector = two(fallback=False)
    first.raises = unavailable()
    for _ in range(3):
        with pytest.raises(UnavailableError):
            connector.put(b'object')
    first_line = str(connector.explain(b'object')).splitlines()[0]
    assert first_line == 'route: none while first is being skipped, as its policy has no fallback: puts fail'


def test_an_error_tells_of_every_connector() -> None:
    first, second, connector = two(fallback=True)
    first.raises, second.raises = unavailable(), FullError('no space is left')
    with pytest.raises(UnavailableError) as passed:
        connector.put(b'object')
    assert passed.value is first.raises
    assert passed.value.__notes__ == ['crossdock: connector "second": FullError: no space is left']


def test_reads_go_where_the_key_says() -> None:
    first, _, connector = two(fallback=True)
    key = connector.put(b'object')
    first.raises = unavailable()
    for _ in range(4):
        connector.put(b'object')
    assert connector.stats()['first']['health']['state'] == 'open'
    assert key.connector_name == 'first' and connector.get(key) == b'object' and connector.exists(key)
    connector.evict(key)


def test_the_policy_travels() -> None:
    _, _, connector = two(fallback=True)
    policy = connector.config()['first'][2]
    assert (policy['fallback'], policy['max_failures'], policy['cooldown']) == (True, 3, HOUR)
    assert 'max_failures' not in connector.config()['second'][2]

"""Random policies and requests route as in ProxyStore's MultiConnector, in one process and on patched hostnames.

The one difference that a random request can meet is that upstream uses a generator of tags up at the first policy:
there, it is asked with the same tags as a list.
"""

from __future__ import annotations

import dataclasses
import random
import re
import socket
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import pytest
from proxystore.connectors import local as upstream_local
from proxystore.connectors import multi as upstream_multi

from crossdock.connectors import local, multi

SEED = 20261124
POLICY_SETS = 10_000
REQUESTS = 10
TAGS = ['a', 'b', 'c', 'ab', 'é']
HOSTS = ['nid0042', 'nid', 'login1', 'gpu-3.cluster', 'Login1', '']
PATTERNS = [r'nid\d+', 'login.', '.*', r'(?:gpu-\d\.cluster|nid)', r'nid(?=0).*', r'(.)\w*\1?', '(?i)LOGIN1', '']

pytestmark = pytest.mark.filterwarnings('ignore:.*letter:UserWarning')


@dataclasses.dataclass
class Host:
    """What both packages are told the hostname is."""

    name: str = HOSTS[0]

    def __call__(self) -> str:
        return self.name


@pytest.fixture()
def host() -> Iterator[Host]:
    host = Host()
    # MultiConnectors that look the name up themselves would not notice that it is patched.
    with mock.patch('proxystore.utils.hostname', host), mock.patch('crossdock.utils.hostname', host):
        yield host


def some(rng: random.Random, values: list[str], share: float = 0.35) -> list[str]:
    return [value for value in values if rng.random() < share]


def policy(rng: random.Random) -> dict[str, Any]:
    low, high = sorted((rng.randrange(20), rng.randrange(20)))
    fields = {
        'priority': rng.randrange(-2, 3),
        'host_pattern': rng.choice([None, rng.choice(PATTERNS), some(rng, PATTERNS), tuple(some(rng, PATTERNS)), []]),
        'min_size_bytes': low,
        'max_size_bytes': high,
        'subset_tags': some(rng, TAGS, 0.6),
        'superset_tags': some(rng, TAGS, 0.2),
    }
    return {name: value for name, value in fields.items() if rng.random() < 0.6}


# How a caller may write tags: for ours, and for upstream what means the same there.
FORMS: dict[str, tuple[Callable[[list[str]], Any], Callable[[list[str]], Any]]] = {
    'list': (list, list),
    'tuple': (tuple, tuple),
    'set': (set, set),
    'frozenset': (frozenset, frozenset),
    'dict keys': (lambda tags: dict.fromkeys(tags).keys(), lambda tags: dict.fromkeys(tags).keys()),
    'dict': (dict.fromkeys, dict.fromkeys),
    'string': (''.join, ''.join),
    'generator': (lambda tags: (tag for tag in tags), list),
    'iterator': (iter, list),
    'repeated': (lambda tags: tags * 2, lambda tags: tags * 2),
}


def tags(rng: random.Random, seen: dict[str, int]) -> tuple[Any, Any]:
    form = rng.choice(list(FORMS))
    seen[form] = seen.get(form, 0) + 1
    ours, theirs = FORMS[form]
    values = some(rng, TAGS, 0.3)
    return ours(values), theirs(values)


def build(package: Any, connector: Any, policies: dict[str, dict[str, Any]], *, from_config: bool) -> Any:
    built = {name: (connector(), package.Policy(**fields)) for name, fields in policies.items()}
    direct = package.MultiConnector(built)
    # The connectors that do not match this host are dormant in one that is rebuilt; and in both kinds, the others stop
    # taking objects when the hostname changes.
    return package.MultiConnector.from_config(direct.config()) if from_config else direct


def route(errors: type[Exception], put: Callable[..., Any], *arguments: Any, **keywords: Any) -> str | None:
    try:
        return str(put(*arguments, **keywords).connector_name)
    except errors:
        return None


def test_random_requests_route_as_upstream(host: Host) -> None:
    rng = random.Random(SEED)
    forms: dict[str, int] = {}
    requests = routed = refused = explained = dormant = 0
    for number in range(POLICY_SETS):
        policies = {f'c{n}': policy(rng) for n in range(rng.randrange(1, 7))}
        host.name = rng.choice(HOSTS)
        from_config = number % 2 == 1
        theirs = build(upstream_multi, upstream_local.LocalConnector, policies, from_config=from_config)
        ours = build(multi, local.LocalConnector, policies, from_config=from_config)
        assert ours.connectors_by_priority == theirs.connectors_by_priority
        if from_config:
            assert list(ours.dormant_connectors) == list(theirs.dormant_connectors)
            dormant += len(theirs.dormant_connectors)
        for _ in range(REQUESTS):
            if rng.random() < 0.3:
                host.name = rng.choice(HOSTS)
            data = bytes(rng.randrange(22))
            (subset, their_subset), (superset, their_superset) = tags(rng, forms), tags(rng, forms)
            story = (policies, host.name, from_config, len(data), their_subset, their_superset)
            expected = route(upstream_multi.MultiConnectorError, theirs.put, data, their_subset, their_superset)
            if rng.random() < 0.1:
                # Before the put, which uses up what is an iterator.
                again = {'subset_tags': list(their_subset), 'superset_tags': list(their_superset)}
                assert ours.explain(data, **again).route == expected, story
                assert ours.explain(size_bytes=len(data), **again).route == expected, story
                explained += 1
            found = route(multi.MultiConnectorError, ours.put, data, subset_tags=subset, superset_tags=superset)
            assert found == expected, story
            requests += 1
            routed += expected is not None
            refused += expected is None
    print(f'seed {SEED}: {requests} requests of {POLICY_SETS} policy sets, {routed} with a route, {refused} without:')
    print(f'all alike; {explained} explained; {dormant} dormant connectors; tags as {forms}')
    assert requests == 100_000
    assert min(routed, refused) > 20_000
    assert min(forms[form] for form in FORMS) > 10_000
    assert dormant > 1_000
    assert explained > 5_000


def test_random_policies_answer_as_upstreams(host: Host) -> None:
    rng = random.Random(SEED)
    valid = 0
    for _ in range(20_000):
        fields = policy(rng)
        theirs, ours = upstream_multi.Policy(**fields), multi.Policy(**fields)
        host.name = rng.choice(HOSTS)
        request = {
            'size_bytes': rng.choice([None, rng.randrange(22)]),
            'subset_tags': rng.choice([None, some(rng, TAGS), tuple(some(rng, TAGS))]),
            'superset_tags': rng.choice([None, some(rng, TAGS), set(some(rng, TAGS))]),
        }
        request = {name: value for name, value in request.items() if rng.random() < 0.8}
        expected = theirs.is_valid(**request)
        assert ours.is_valid(**request) is expected, (fields, host.name, request)
        assert ours.is_valid_on_host() is theirs.is_valid_on_host(), (fields, host.name)
        assert ours.as_dict() == theirs.as_dict()
        assert list(ours.as_dict()) == list(theirs.as_dict())
        assert multi.Policy(**ours.as_dict()) == ours
        valid += expected
    print(f'seed {SEED}: 20000 policies, {valid} valid')
    assert 4_000 < valid < 16_000


def test_random_batches_route_as_upstream(host: Host) -> None:
    rng = random.Random(SEED)
    whole = refused = split = 0
    for _ in range(2_000):
        policies = {f'c{n}': policy(rng) for n in range(rng.randrange(1, 7))}
        host.name = rng.choice(HOSTS)
        theirs = build(upstream_multi, upstream_local.LocalConnector, policies, from_config=False)
        ours = build(multi, local.LocalConnector, policies, from_config=False)
        objects = [bytes(rng.randrange(20)) for _ in range(rng.randrange(6))]
        subset, superset = some(rng, TAGS, 0.1), some(rng, TAGS, 0.6)
        try:
            expected = [key.connector_name for key in theirs.put_batch(objects, subset, superset)]
        except upstream_multi.MultiConnectorError:
            with pytest.raises(multi.MultiConnectorError):
                ours.put_batch(objects, subset, superset)
            refused += 1
            continue
        keys = ours.put_batch(objects, iter(subset), superset_tags=iter(superset))
        assert [key.connector_name for key in keys] == expected, (policies, host.name, objects, subset, superset)
        assert ours.get_batch(keys) == objects
        whole += 1
        split += len(set(expected)) > 1
    print(f'seed {SEED}: {whole} batches with a route ({split} over several connectors), {refused} without: all alike')
    assert min(whole, refused) > 300
    assert split > 30


def test_ties_go_to_the_first_given_and_the_order_of_all_is_upstreams() -> None:
    rng = random.Random(SEED)
    for _ in range(500):
        policies = {f'c{n}': {'priority': rng.randrange(3)} for n in range(rng.randrange(1, 12))}
        theirs = build(upstream_multi, upstream_local.LocalConnector, policies, from_config=False)
        ours = build(multi, local.LocalConnector, policies, from_config=False)
        assert ours.connectors_by_priority == theirs.connectors_by_priority
        assert ours.put(b'').connector_name == theirs.put(b'').connector_name


def test_deferred_keys_route_as_their_objects_would(host: Host) -> None:
    rng = random.Random(SEED)
    routed = 0
    for _ in range(2_000):
        policies = {f'c{n}': policy(rng) for n in range(rng.randrange(1, 7))}
        host.name = rng.choice(HOSTS)
        theirs = build(upstream_multi, upstream_local.LocalConnector, policies, from_config=False)
        ours = build(multi, local.LocalConnector, policies, from_config=False)
        data, superset = bytes(rng.randrange(20)), some(rng, TAGS, 0.6)
        expected = route(upstream_multi.MultiConnectorError, theirs.put, data, (), superset)
        found = route(multi.MultiConnectorError, ours.new_key, data, superset_tags=superset)
        assert found == expected, (policies, host.name, len(data), superset)
        routed += expected is not None
    assert 300 < routed < 1_950


def test_the_real_hostname_decides_where_nothing_is_patched() -> None:
    policies = {'other': {'host_pattern': 'no-such-host'}, 'this': {'host_pattern': re.escape(socket.gethostname())}}
    for from_config in [False, True]:
        theirs = build(upstream_multi, upstream_local.LocalConnector, policies, from_config=from_config)
        ours = build(multi, local.LocalConnector, policies, from_config=from_config)
        assert ours.put(b'').connector_name == theirs.put(b'').connector_name == 'this'

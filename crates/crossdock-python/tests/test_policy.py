"""Policies are dataclasses, are checked when they are made, and mean what ProxyStore's mean."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
import pickle
import random
import sys
from typing import Any
from unittest import mock

import proxystore.connectors.multi as upstream
import pytest

from crossdock.connectors.local import LocalConnector
from crossdock.connectors.multi import MultiConnector, Policy

SEED = 20261124
EXTENSIONS = ['fallback', 'max_failures', 'cooldown']
FIELDS = ['priority', 'host_pattern', 'min_size_bytes', 'max_size_bytes', 'subset_tags', 'superset_tags']


def test_the_fields_and_their_defaults_are_those_of_proxystore() -> None:
    ours = {field.name: getattr(Policy(), field.name) for field in dataclasses.fields(Policy)}
    assert [ours.pop(name) for name in EXTENSIONS] == [False, 5, 10]
    assert ours == dataclasses.asdict(upstream.Policy())
    assert list(ours) == FIELDS
    assert Policy(3, 'a.*', 1, 2, ['x'], ['y']) == Policy(
        priority=3,
        host_pattern='a.*',
        min_size_bytes=1,
        max_size_bytes=2,
        subset_tags=['x'],
        superset_tags=['y'],
    )


def test_it_is_a_dataclass() -> None:
    policy = Policy(priority=2, subset_tags=['a'], fallback=True)
    assert dataclasses.replace(policy, priority=3) == Policy(priority=3, subset_tags=['a'], fallback=True)
    assert policy != Policy(priority=2, subset_tags=['a'])
    assert policy != 'policy'
    extensions = {'fallback': True, 'max_failures': 5, 'cooldown': 10}
    assert dataclasses.asdict(policy) == {**upstream.Policy(2, subset_tags=['a']).as_dict(), **extensions}
    assert repr(Policy()) == (
        f'Policy(priority=0, host_pattern=None, min_size_bytes=0, max_size_bytes={sys.maxsize}, '
        'subset_tags=[], superset_tags=[], fallback=False, max_failures=5, cooldown=10)'
    )
    namespace = {'Policy': Policy}
    assert eval(repr(policy), namespace) == policy
    for twin in (copy.copy(policy), copy.deepcopy(policy), pickle.loads(pickle.dumps(policy))):
        assert twin == policy and type(twin) is Policy


def test_lists_of_two_policies_are_not_shared() -> None:
    first, second = Policy(), Policy()
    first.subset_tags.append('a')
    assert second.subset_tags == []
    assert first.is_valid(subset_tags=['a']) and not second.is_valid(subset_tags=['a'])


def test_what_is_none_is_not_checked() -> None:
    policy = Policy(min_size_bytes=5, max_size_bytes=7, superset_tags=['need'])
    assert policy.is_valid()
    assert policy.is_valid(size_bytes=None, subset_tags=None, superset_tags=None)
    assert not policy.is_valid(superset_tags=())
    assert [policy.is_valid(size_bytes=size) for size in (4, 5, 7, 8)] == [False, True, True, False]
    assert policy.is_valid(size_bytes=6, superset_tags=['need', 'more'])
    assert not policy.is_valid(subset_tags=['a'])


def test_the_host_is_always_checked() -> None:
    with mock.patch('crossdock.utils.hostname', return_value='nid0042'):
        assert Policy(host_pattern=r'nid\d+').is_valid()
        assert Policy(host_pattern=['login', r'nid\d+']).is_valid_on_host()
        assert not Policy(host_pattern='nid').is_valid()
        assert not Policy(host_pattern=[]).is_valid_on_host()
        assert not Policy(host_pattern=[]).is_valid(size_bytes=1)
        assert Policy().is_valid_on_host()


@pytest.mark.parametrize(
    'policy',
    [
        Policy(),
        Policy(5, 'a.*', 10, 20, ['a', 'b'], ['c']),
        Policy(-1, ['a', 'b']),
        Policy(host_pattern=[]),
        Policy(fallback=True),
        Policy(max_failures=0),
        Policy(fallback=True, max_failures=3, cooldown=0.5),
        Policy(max_failures=5, cooldown=10.0),
    ],
    ids=repr,
)
def test_a_policy_makes_the_trip_through_json(policy: Policy) -> None:
    fields = policy.as_dict()
    unusual = [name for name in EXTENSIONS if getattr(policy, name) != getattr(Policy(), name)]
    assert list(fields) == FIELDS + unusual
    assert Policy(**json.loads(json.dumps(fields))) == policy
    fields['subset_tags'].append('changed')
    assert 'changed' not in policy.subset_tags, 'the dict is fresh'
    if not unusual:
        assert upstream.Policy(**policy.as_dict()).as_dict() == policy.as_dict()


@pytest.mark.parametrize('make', [list, tuple, set, frozenset, iter, lambda tags: (tag for tag in tags), dict.fromkeys])
def test_patterns_and_tags_may_be_any_iterable(make: Any) -> None:
    policy = Policy(host_pattern=make(['here', 'there']), subset_tags=make(['a', 'b']), superset_tags=make(['c', 'd']))
    assert sorted(policy.host_pattern) == ['here', 'there'] and type(policy.host_pattern) is list
    assert sorted(policy.subset_tags) == ['a', 'b'] and sorted(policy.superset_tags) == ['c', 'd']
    with mock.patch('crossdock.utils.hostname', return_value='there'):
        for _ in range(2):
            assert policy.is_valid(subset_tags=make(['a']), superset_tags=make(['c', 'd', 'e']))
            assert not policy.is_valid(subset_tags=make(['a', 'x']))
            assert not policy.is_valid(superset_tags=make(['c']))
    json.dumps(policy.as_dict())


def test_a_string_as_tags_counts_as_its_letters_with_a_warning() -> None:
    with pytest.warns(UserWarning, match='letters'):
        policy = Policy(subset_tags='ab')  # type: ignore[arg-type]
    assert policy.subset_tags == ['a', 'b']
    with pytest.warns(UserWarning, match='letters'):
        assert policy.is_valid(subset_tags='ba')
    with pytest.warns(UserWarning, match='superset_tags'):
        assert not Policy(superset_tags=['ab']).is_valid(superset_tags='ab')


@pytest.mark.parametrize(
    ('given', 'smallest', 'largest'),
    [
        ({'max_size_bytes': 1e6}, 0, 1_000_000),
        ({'max_size_bytes': math.inf}, 0, sys.maxsize),
        ({'max_size_bytes': float('1e300')}, 0, sys.maxsize),
        ({'max_size_bytes': 2**70}, 0, sys.maxsize),
        ({'min_size_bytes': 1e3, 'max_size_bytes': 2e3}, 1000, 2000),
        ({'max_size_bytes': True}, 0, 1),
    ],
    ids=repr,
)
def test_sizes_may_be_whole_floats_and_beyond_all_objects(given: dict[str, Any], smallest: int, largest: int) -> None:
    policy = Policy(**given)
    assert (policy.min_size_bytes, policy.max_size_bytes) == (smallest, largest)
    assert policy.is_valid(size_bytes=largest) and policy.is_valid(size_bytes=smallest)
    assert Policy(**json.loads(json.dumps(policy.as_dict()))) == policy


def test_policies_can_be_changed_until_a_multi_connector_has_them() -> None:
    policy = Policy(max_size_bytes=10)
    policy.max_size_bytes = 20
    policy.subset_tags = ['a']
    assert policy.is_valid(size_bytes=20, subset_tags=['a'])
    connector = MultiConnector({'only': (LocalConnector(), policy)})
    for name, value in policy.as_dict().items():
        with pytest.raises(AttributeError, match='replace'):
            setattr(policy, name, value)
    with pytest.raises(AttributeError, match='fallback'):
        policy.fallback = True
    assert connector.connectors['only'].policy == policy
    other = dataclasses.replace(policy, max_size_bytes=30)
    other.max_size_bytes = 40
    assert other.is_valid(size_bytes=40) and not policy.is_valid(size_bytes=40)
    for twin in (copy.copy(policy), copy.deepcopy(policy), pickle.loads(pickle.dumps(policy))):
        twin.priority = 7
        assert policy.priority == 0


def test_one_policy_may_serve_two_multi_connectors() -> None:
    policy = Policy(max_size_bytes=3)
    for connector in (
        MultiConnector({'a': (LocalConnector(), policy), 'b': (LocalConnector(), policy)}),
        MultiConnector({'a': (LocalConnector(), policy)}),
    ):
        assert connector.put(b'abc').connector_name == 'a'


def test_policies_of_proxystore_are_taken() -> None:
    connector = MultiConnector({'a': (LocalConnector(), upstream.Policy(max_size_bytes=3, priority=2))})
    assert connector.put(b'abc').connector_name == 'a'
    assert connector.connectors['a'].policy == Policy(max_size_bytes=3, priority=2)


WRONG: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({'min_size_bytes': 5, 'max_size_bytes': 4}, ValueError, 'min_size_bytes'),
    ({'min_size_bytes': -1}, ValueError, 'min_size_bytes'),
    ({'max_size_bytes': -1}, ValueError, 'max_size_bytes'),
    ({'max_size_bytes': 1.5}, ValueError, 'max_size_bytes'),
    ({'max_size_bytes': math.nan}, ValueError, 'max_size_bytes'),
    ({'min_size_bytes': -math.inf}, ValueError, 'min_size_bytes'),
    ({'max_size_bytes': '1 MB'}, TypeError, 'max_size_bytes'),
    ({'max_size_bytes': None}, TypeError, 'max_size_bytes'),
    ({'priority': 1.5}, TypeError, 'priority'),
    ({'priority': 'high'}, TypeError, 'priority'),
    ({'priority': 2**80}, ValueError, 'priority'),
    ({'host_pattern': '('}, ValueError, r'\('),
    ({'host_pattern': ['fine', '*']}, ValueError, r'\*'),
    ({'host_pattern': 5}, TypeError, 'host_pattern'),
    ({'host_pattern': [5]}, TypeError, 'host_pattern'),
    ({'subset_tags': [1]}, TypeError, 'subset_tags'),
    ({'superset_tags': 5}, TypeError, 'superset_tags'),
    ({'subset_tags': None}, TypeError, 'subset_tags'),
    ({'fallback': 'yes'}, TypeError, 'fallback'),
    ({'max_failures': -1}, ValueError, 'max_failures'),
    ({'max_failures': 2**32}, ValueError, 'max_failures'),
    ({'max_failures': 1.0}, TypeError, 'max_failures'),
    ({'max_failures': None}, TypeError, 'max_failures'),
    ({'cooldown': -1}, ValueError, 'cooldown'),
    ({'cooldown': math.inf}, ValueError, 'cooldown'),
    ({'cooldown': math.nan}, ValueError, 'cooldown'),
    ({'cooldown': 2**2000}, ValueError, 'cooldown'),
    ({'cooldown': '10s'}, TypeError, 'cooldown'),
]


@pytest.mark.parametrize(('fields', 'error', 'named'), WRONG, ids=[repr(fields) for fields, _, _ in WRONG])
def test_wrong_fields_are_refused_by_name(fields: dict[str, Any], error: type[Exception], named: str) -> None:
    with pytest.raises(error, match=named):
        Policy(**fields)


def test_questions_are_checked_too() -> None:
    for wrong in ({'size_bytes': 'large'}, {'subset_tags': 5}, {'superset_tags': [None]}):
        with pytest.raises(TypeError, match=next(iter(wrong))):
            Policy().is_valid(**wrong)  # type: ignore[arg-type]


TAGS = ['a', 'b', 'c', 'ab', '']
HOSTS = ['nid0042', 'nid', 'login1', 'gpu-3.cluster', '']
PATTERNS = [r'nid\d+', 'login.', '.*', r'(?:gpu-\d\.cluster|nid)', r'nid(?=0).*', r'(.)\w*\1?', '']


def test_a_few_thousand_random_questions_are_answered_as_by_proxystore() -> None:
    print(f'seed {SEED}')
    rng = random.Random(SEED)

    def some() -> list[str]:
        return [tag for tag in TAGS if rng.random() < 0.35]

    yes = 0
    for _ in range(4_000):
        low, high = sorted((rng.randrange(20), rng.randrange(20)))
        pattern: Any = rng.choice([None, rng.choice(PATTERNS), rng.sample(PATTERNS, rng.randrange(3))])
        fields = {
            'host_pattern': pattern,
            'min_size_bytes': low,
            'max_size_bytes': high,
            'subset_tags': some(),
            'superset_tags': some(),
        }
        fields = {name: value for name, value in fields.items() if rng.random() < 0.6}
        request = {'size_bytes': rng.randrange(22), 'subset_tags': some(), 'superset_tags': some()}
        request = {name: value for name, value in request.items() if rng.random() < 0.6}
        host = rng.choice(HOSTS)
        theirs = upstream.Policy(**copy.deepcopy(fields))
        ours = Policy(**fields)
        with mock.patch('proxystore.utils.hostname', return_value=host):
            expected = theirs.is_valid(**request), theirs.is_valid_on_host()
        with mock.patch('crossdock.utils.hostname', return_value=host):
            assert (ours.is_valid(**request), ours.is_valid_on_host()) == expected, (fields, request, host)
        assert ours.as_dict() == theirs.as_dict()
        yes += expected[0]
    assert 500 < yes < 3_500

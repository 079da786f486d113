"""Random policies and requests route as in the real ProxyStore."""

from __future__ import annotations

import json
import random
import subprocess
from unittest import mock

from proxystore.connectors.multi import MultiConnector, MultiConnectorError

from conftest import EXAMPLES

SEED = 20261122
POLICY_SETS = 4_000
REQUESTS = 10
TAGS = ['a', 'b', 'c', 'ab']
HOSTS = ['nid0042', 'nid', 'login1', 'gpu-3.cluster']
PATTERNS = [r'nid\d+', 'login.', '.*', r'(?:gpu-\d\.cluster|nid)', r'nid(?=0).*', r'(.)\w*\1?']


def some(rng: random.Random, values: list[str]) -> list[str]:
    return [value for value in values if rng.random() < 0.35]


def policy(rng: random.Random) -> dict:
    low, high = sorted((rng.randrange(20), rng.randrange(20)))
    fields = {
        'priority': rng.randrange(-2, 3),
        'host_pattern': rng.choice([None, rng.choice(PATTERNS), some(rng, PATTERNS)]),
        'min_size_bytes': low,
        'max_size_bytes': high,
        'subset_tags': some(rng, TAGS),
        'superset_tags': some(rng, TAGS),
    }
    return {name: value for name, value in fields.items() if rng.random() < 0.6}


def case(rng: random.Random) -> dict:
    config = {f'c{n}': ['proxystore.connectors.local.LocalConnector', {}, policy(rng)] for n in range(rng.randrange(6))}
    requests = [
        {
            'host': rng.choice(HOSTS),
            'size': rng.randrange(22),
            'subset_tags': some(rng, TAGS),
            'superset_tags': some(rng, TAGS),
        }
        for _ in range(REQUESTS)
    ]
    return {'config': config, 'requests': requests}


def upstream_route(config: dict, request: dict) -> str | None:
    with mock.patch('proxystore.utils.hostname', return_value=request['host']):
        multi = MultiConnector.from_config(config)
        try:
            return multi.put(b'x' * request['size'], request['subset_tags'], request['superset_tags']).connector_name
        except MultiConnectorError:
            return None


def test_random_requests_route_as_upstream() -> None:
    rng = random.Random(SEED)
    cases = [case(rng) for _ in range(POLICY_SETS)]
    lines = ''.join(json.dumps(each) + '\n' for each in cases)
    run = subprocess.run([EXAMPLES / 'route'], input=lines, capture_output=True, text=True, check=True)
    answers = [json.loads(line) for line in run.stdout.splitlines()]
    assert len(answers) == len(cases)
    routed = 0
    for each, answer in zip(cases, answers):
        expected = [upstream_route(each['config'], request) for request in each['requests']]
        assert answer == expected, json.dumps(each)
        routed += sum(route is not None for route in expected)
    print(f'seed {SEED}: {POLICY_SETS * REQUESTS} requests, {routed} with a route: all alike')
    assert routed > POLICY_SETS

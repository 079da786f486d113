"""The JSON Schema accepts what the program accepts, and refuses what it refuses."""

from __future__ import annotations

import json
import tomllib

import pytest
from jsonschema import Draft202012Validator

GOOD = [
    '[connectors.a]\ntype = "local"',
    '[connectors.a]\ntype = "file"\ndir = "/x"\ndurability = "host"\npolicy = { max_size_bytes = "64 MiB" }',
    '[connectors.a]\ntype = "file"\nstore_dir = "/x"\nclear = true\nbuffering = -1',
    '[connectors.a]\ntype = "local"\npolicy = { host_pattern = ["a", "b"], priority = -3, fallback = true }',
    '[connectors.a]\ntype = "local"\npolicy = { max_failures = 0, cooldown = "1500 ms" }',
    '[connectors.a]\ntype = "local"\npolicy = { cooldown = 0.5 }',
    '[connectors.a]\ntype = "shm"',
    '[connectors.a]\ntype = "shm"\ndir = "/dev/shm/x"\nintegrity = "checksum"\nmax_total_bytes = "1 GiB"\nrecycle_bytes = 0',
    '[connectors.m]\ntype = "multi"\n[connectors.m.connectors.a]\ntype = "local"',
    '{"a": ["proxystore.connectors.local.LocalConnector", {}, {"max_size_bytes": 9223372036854775807}]}',
    '{"connectors": ["proxystore.connectors.local.LocalConnector", {}, {"host_pattern": null}]}',
    '{"connectors": {"a": {"type": "local", "policy": {"min_size_bytes": 1}}}}',
]
BAD = [
    '[connectors.a]\ntype = "nosuch"',
    '[connectors.a]\ndir = "/x"',
    '[connectors.a]\ntype = "file"',
    '[connectors.a]\ntype = "file"\ndir = "/x"\nstore_dir = "/y"',
    '[connectors.a]\ntype = "file"\ndir = "/x"\ndurability = "backend"',
    '[connectors.a]\ntype = "file"\ndirr = "/x"',
    '[connectors.a]\ntype = "shm"\ndurability = "host"',
    '[connectors.a]\ntype = "local"\npolicy = { max_size = 1 }',
    '[connectors.a]\ntype = "local"\npolicy = { min_size_bytes = -1 }',
    '[connectors.a]\ntype = "local"\npolicy = { max_size_bytes = "1 XB" }',
    '[connectors.a]\ntype = "local"\npolicy = { subset_tags = "a" }',
    '{"a": ["proxystore.connectors.local.LocalConnector", {}]}',
    '{"a": ["proxystore.connectors.local.LocalConnector", {}, {"oops": 1}]}',
]


def read(text: str) -> dict:
    return json.loads(text) if text.startswith('{') else tomllib.loads(text)


@pytest.fixture()
def schema(cli) -> Draft202012Validator:
    schema = json.loads(cli('')('config', 'schema'))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


@pytest.mark.parametrize('text', GOOD)
def test_what_is_good_is_good_for_both(cli, schema: Draft202012Validator, text: str) -> None:
    cli(text)('config', 'show')
    assert [error.message for error in schema.iter_errors(read(text))] == []


@pytest.mark.parametrize('text', BAD)
def test_what_is_bad_is_bad_for_both(cli, schema: Draft202012Validator, text: str) -> None:
    cli(text)('config', 'show', code=2)
    assert not schema.is_valid(read(text))

"""Objects, keys and configs go from the real ProxyStore to ours and back, through the command line."""

from __future__ import annotations

import json
import os
import pathlib
import random
import socket
import uuid
from unittest import mock

import pytest
from proxystore.connectors.file import FileConnector, FileKey
from proxystore.connectors.local import LocalConnector
from proxystore.connectors.multi import MultiConnector, MultiConnectorError, MultiKey, Policy

OBJECTS = [b'', b'x', b'object\n', bytes(range(256)) * 17, random.Random(1).randbytes(3_000_000)]


def file_config(directory: pathlib.Path) -> str:
    return f'[connectors.files]\ntype = "file"\ndir = "{directory}"\n'


def theirs(key: str) -> FileKey:
    """Our key, as their FileConnector knows it."""
    name, _, leaf = key.partition('/')
    assert name == 'files'
    return FileKey(leaf.split(':')[0])


def test_their_objects_are_read_by_ours(cli, tmp_path: pathlib.Path) -> None:
    upstream = FileConnector(str(tmp_path / 'objects'))
    ours = cli(file_config(tmp_path / 'objects'))
    for data in OBJECTS:
        key = upstream.put(data)
        assert ours('get', f'files/{key.filename}') == data
        assert ours('exists', f'files/{key.filename}') == b'true\n'
        ours('evict', f'files/{key.filename}')
        assert not upstream.exists(key)
        assert upstream.get(key) is None
        ours('get', f'files/{key.filename}', code=1)
    assert os.listdir(tmp_path / 'objects') == []


def test_our_objects_are_read_by_theirs(cli, tmp_path: pathlib.Path) -> None:
    ours = cli(file_config(tmp_path / 'objects'))
    upstream = FileConnector(str(tmp_path / 'objects'))
    for data in OBJECTS:
        key = ours('put', '-', data=data).decode().strip()
        assert upstream.exists(theirs(key))
        assert upstream.get(theirs(key)) == data
        upstream.evict(theirs(key))
        assert ours('exists', key, code=1) == b''
    assert os.listdir(tmp_path / 'objects') == []


def test_both_write_the_same_names(cli, tmp_path: pathlib.Path) -> None:
    upstream = FileConnector(str(tmp_path / 'theirs'))
    upstream.put(b'object')
    cli(file_config(tmp_path / 'ours'))('put', '-', data=b'object')

    def layout(directory: str) -> list[tuple[int, int, str, bytes]]:
        found = []
        for path in sorted((tmp_path / directory).iterdir()):
            name = uuid.UUID(path.name.removesuffix('.ready'))
            found.append((name.version, len(path.name), path.suffix, path.read_bytes()))
        return found

    assert layout('ours') == layout('theirs')


def test_a_deferred_key_of_theirs_is_nothing_until_it_is_set(cli, tmp_path: pathlib.Path) -> None:
    upstream = FileConnector(str(tmp_path / 'objects'))
    ours = cli(file_config(tmp_path / 'objects'))
    key = upstream.new_key()
    ours('get', f'files/{key.filename}', code=1)
    upstream.set(key, b'later')
    assert ours('get', f'files/{key.filename}') == b'later'


def two_files(tmp_path: pathlib.Path) -> MultiConnector:
    return MultiConnector(
        {
            'small': (FileConnector(str(tmp_path / 'small'), clear=False), Policy(max_size_bytes=100, priority=1)),
            'rest': (FileConnector(str(tmp_path / 'rest'), clear=False), Policy()),
        },
    )


def test_a_config_of_theirs_is_ours_and_keys_resolve_both_ways(cli, tmp_path: pathlib.Path) -> None:
    upstream = two_files(tmp_path)
    ours = cli(json.dumps(upstream.config()))
    for data in OBJECTS:
        key = upstream.put(data)
        assert ours('get', f'{key.connector_name}/{key.connector_key.filename}') == data

        answer = ours.json('put', '-', data=data)
        assert answer['connector'] == key.connector_name, 'both route alike'
        name, leaf = answer['key'].split('/')
        assert upstream.get(MultiKey(name, FileKey(leaf.split(':')[0]))) == data


@pytest.mark.parametrize('flavor', ['proxystore', 'crossdock'])
def test_a_config_converted_for_them_builds_the_same_there(cli, tmp_path: pathlib.Path, flavor: str) -> None:
    ours = cli(
        f'[connectors.small]\ntype = "file"\ndir = "{tmp_path}/small"\n'
        'policy = { max_size_bytes = "100 B", priority = 3, host_pattern = ["a.*", ".*"] }\n'
        f'[connectors.rest]\ntype = "file"\ndir = "{tmp_path}/rest"\n'
        '[connectors.asleep]\ntype = "local"\npolicy = { host_pattern = "nowhere", subset_tags = ["a"] }\n',
    )
    config = json.loads(ours('config', 'convert', '--to', flavor))
    assert [path for path, _, _ in config.values()] == [
        f'{flavor}.connectors.file.FileConnector',
        f'{flavor}.connectors.file.FileConnector',
        f'{flavor}.connectors.local.LocalConnector',
    ]
    if flavor == 'crossdock':
        return
    upstream = MultiConnector.from_config(config)
    assert list(upstream.connectors) == ['small', 'rest']
    assert list(upstream.dormant_connectors) == ['asleep']
    assert upstream.connectors['small'].policy == Policy(
        max_size_bytes=100,
        priority=3,
        host_pattern=['a.*', '.*'],
    )
    assert Policy(**config['asleep'][2]).as_dict() == config['asleep'][2]
    key = upstream.put(b'object')
    assert ours('get', f'{key.connector_name}/{key.connector_key.filename}') == b'object'
    upstream.close()
    assert ours('get', f'{key.connector_name}/{key.connector_key.filename}') == b'object', 'their close clears nothing'


def test_a_trip_through_both_keeps_the_config(cli, tmp_path: pathlib.Path) -> None:
    upstream = two_files(tmp_path)
    ours = cli(json.dumps(upstream.config()))
    back = json.loads(ours('config', 'convert', '--to', 'proxystore'))
    assert back == json.loads(json.dumps(upstream.config()))
    assert list(back) == list(upstream.config())


def test_a_dormant_connector_is_dormant_for_both(cli, tmp_path: pathlib.Path) -> None:
    config = {
        'here': ('proxystore.connectors.file.FileConnector', {'store_dir': str(tmp_path / 'a'), 'clear': False}, {}),
        'there': (
            'proxystore.connectors.file.FileConnector',
            {'store_dir': str(tmp_path / 'b'), 'clear': False},
            {'host_pattern': 'there'},
        ),
    }
    ours = cli(json.dumps(config), host='here')
    upstream = MultiConnector.from_config(config)
    key = MultiKey('there', FileKey(str(uuid.uuid4())))
    with pytest.raises(MultiConnectorError, match='dormant'):
        upstream.get(key)
    assert b'dormant' in ours('get', f'there/{key.connector_key.filename}', code=3)
    with pytest.raises(MultiConnectorError, match='does not exist'):
        upstream.get(key._replace(connector_name='nowhere'))
    assert b'does not exist' in ours('get', f'nowhere/{key.connector_key.filename}', code=2)
    assert not (tmp_path / 'b').exists(), 'dormant connectors are not opened'


def test_the_hostname_is_the_one_that_python_sees(cli) -> None:
    explained = cli('[connectors.a]\ntype = "local"\npolicy = { host_pattern = "no" }').json
    with pytest.raises(AssertionError, match='1,'):
        explained('explain')
    ours = cli('[connectors.a]\ntype = "local"\npolicy = { host_pattern = "no" }')
    assert socket.gethostname().encode() in ours('put', '-', data=b'x', code=1)


def test_a_local_connector_of_theirs_loads_too(cli) -> None:
    upstream = MultiConnector({'memory': (LocalConnector(), Policy())})
    ours = cli(json.dumps(upstream.config()))
    assert ours.json('explain', '--size', '1')['route'] == 'memory'
    assert b'memory' in ours('put', '-', data=b'x', code=2), 'what would be gone with the process is refused'


def test_hostnames_patched_there_and_overridden_here_route_alike(cli, tmp_path: pathlib.Path) -> None:
    config = json.dumps(
        {
            'nodes': ['proxystore.connectors.local.LocalConnector', {}, {'host_pattern': r'nid\d+', 'priority': 1}],
            'rest': ['proxystore.connectors.local.LocalConnector', {}, {}],
        },
    )
    for host in ['nid0042', 'nid', 'login1']:
        with mock.patch('proxystore.utils.hostname', return_value=host):
            expected = MultiConnector.from_config(json.loads(config)).put(b'x').connector_name
        assert cli(config).json('explain', '--size', '1', '--host', host)['route'] == expected

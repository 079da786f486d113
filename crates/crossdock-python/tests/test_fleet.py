"""A fleet of which some processes run ProxyStore's MultiConnector and others ours; pickles that name its classes."""

from __future__ import annotations

import json
import pathlib
import pickle
import re
import socket
import sys
from collections.abc import Callable
from typing import Any

import pytest
from proxystore.connectors import file as upstream_file
from proxystore.connectors import local as upstream_local
from proxystore.connectors import multi as upstream_multi
from proxystore.proxy import ProxyResolveError, extract
from proxystore.store import Store, get_store, unregister_store

import crossdock.proxystore
from crossdock.connectors import file, local, multi
from helpers import class_path, elsewhere

OBJECTS = [b'', b'x', b'small object', bytes(range(256)) * 4, bytes(1_000_000)]
UPSTREAM = {
    'FileConnector': upstream_file.FileConnector,
    'LocalConnector': upstream_local.LocalConnector,
    'Policy': upstream_multi.Policy,
    'MultiConnector': upstream_multi.MultiConnector,
}
OURS = {
    'FileConnector': file.FileConnector,
    'LocalConnector': local.LocalConnector,
    'Policy': multi.Policy,
    'MultiConnector': multi.MultiConnector,
}


def made_by(classes: dict[str, Any], directory: pathlib.Path) -> dict[str, Any]:
    """A config that the package's own MultiConnector gives, with connectors for this host and one for another."""
    policy, files = classes['Policy'], classes['FileConnector']
    connector = classes['MultiConnector'](
        {
            'small': (files(str(directory / 'small'), clear=False), policy(max_size_bytes=100, priority=1)),
            'elsewhere': (files(str(directory / 'elsewhere'), clear=False), policy(host_pattern='nid.*', priority=9)),
            'here': (
                files(str(directory / 'here'), clear=False, buffering=0),
                policy(host_pattern=[re.escape(socket.gethostname())], subset_tags=['a', 'b'], superset_tags=['a']),
            ),
            'memory': (classes['LocalConnector'](), policy(superset_tags=['memory'], priority=5)),
            'large': (files(str(directory / 'large'), clear=False), policy()),
        },
    )
    return connector.config()


def respelled(config: dict[str, Any]) -> dict[str, Any]:
    """Ours, with upstream's class paths: all that a migration back consists of."""
    return {
        name: (class_path.replace('crossdock.', 'proxystore.'), options, policy)
        for name, (class_path, options, policy) in config.items()
    }


CONFIGS: dict[str, Callable[[pathlib.Path], dict[str, Any]]] = {
    "upstream's": lambda directory: made_by(UPSTREAM, directory),
    'ours': lambda directory: made_by(OURS, directory),
    "ours with upstream's class paths": lambda directory: respelled(made_by(OURS, directory)),
    "upstream's through JSON": lambda directory: json.loads(json.dumps(made_by(UPSTREAM, directory))),
    'ours through JSON': lambda directory: json.loads(json.dumps(made_by(OURS, directory))),
}


def member(side: str, config: dict[str, Any]) -> Any:
    if side == 'upstream':
        return upstream_multi.MultiConnector.from_config(config)
    if side == 'ours, installed':
        crossdock.proxystore.install()
    return multi.MultiConnector.from_config(config)


def put(side: str, config: dict[str, Any]) -> tuple[str, bytes, list[str]]:
    """Puts everything, in two ways; the keys as a pickle, and the connectors that took the objects."""
    connector = member(side, config)
    keys = [connector.put(data) for data in OBJECTS]
    keys += connector.put_batch(OBJECTS)
    keys += connector.put_batch(OBJECTS, subset_tags=['a'], superset_tags=['a', 'c'])
    keys.append(connector.put(OBJECTS[-1], subset_tags=('b', 'a'), superset_tags=['c', 'a']))
    return class_path(connector), pickle.dumps(keys), [key.connector_name for key in keys]


def read(side: str, config: dict[str, Any], pickled: bytes) -> str:
    """Reads what the other put, and takes the first half of it away."""
    connector = member(side, config)
    keys = pickle.loads(pickled)
    expected = [*OBJECTS * 3, OBJECTS[-1]]
    assert [connector.get(key) for key in keys] == expected
    assert connector.get_batch(keys) == expected
    assert all(connector.exists(key) for key in keys)
    for key in keys[: len(OBJECTS)]:
        connector.evict(key)
        assert not connector.exists(key)
        assert connector.get(key) is None
        connector.evict(key)
    errors = (multi.MultiConnectorError, upstream_multi.MultiConnectorError)
    with pytest.raises(errors, match='dormant'):
        connector.get(keys[0]._replace(connector_name='elsewhere'))
    with pytest.raises(errors, match='does not exist'):
        connector.exists(keys[0]._replace(connector_name='nowhere'))
    assert list(connector.dormant_connectors) == ['elsewhere']
    return class_path(connector)


def check_evicted(side: str, config: dict[str, Any], pickled: bytes) -> None:
    connector = member(side, config)
    keys = pickle.loads(pickled)
    gone = len(OBJECTS)
    assert [connector.exists(key) for key in keys] == [False] * gone + [True] * (len(keys) - gone)
    assert connector.get_batch(keys[:gone]) == [None] * gone
    for key in keys:
        connector.evict(key)


@pytest.mark.parametrize('origin', CONFIGS)
@pytest.mark.parametrize('ours', ['ours', 'ours, installed'])
def test_keys_of_either_resolve_exist_and_evict_in_the_other(tmp_path: pathlib.Path, origin: str, ours: str) -> None:
    config = CONFIGS[origin](tmp_path)
    routes = []
    for writer, reader in [('upstream', ours), (ours, 'upstream')]:
        kind, keys, names = elsewhere(put, writer, config)
        assert kind.startswith('proxystore.' if writer == 'upstream' else 'crossdock.')
        routes.append(names)
        kind = elsewhere(read, reader, config, keys)
        assert kind.startswith('proxystore.' if reader == 'upstream' else 'crossdock.')
        elsewhere(check_evicted, writer, config, keys)
    assert routes[0] == routes[1]
    assert set(routes[0]) == {'small', 'large', 'here'}
    left = [path for path in tmp_path.rglob('*') if path.is_file()]
    assert left == [], 'the writer sees that the reader evicted, and evicts the rest'


def kinds_of_children(side: str, config: dict[str, Any]) -> dict[str, str]:
    connector = member(side, config)
    return {name: class_path(child) for name, (child, _) in connector.connectors.items()}


def test_a_config_of_upstream_builds_upstreams_connectors_until_ours_are_installed(tmp_path: pathlib.Path) -> None:
    config = made_by(UPSTREAM, tmp_path)
    for side, package in [('upstream', 'proxystore'), ('ours', 'proxystore'), ('ours, installed', 'crossdock')]:
        kinds = elsewhere(kinds_of_children, side, config)
        assert set(kinds.values()) == {
            f'{package}.connectors.file.FileConnector',
            f'{package}.connectors.local.LocalConnector',
        }, side


def test_a_default_config_of_ours_says_nothing_that_upstream_does_not_know(tmp_path: pathlib.Path) -> None:
    theirs, ours = made_by(UPSTREAM, tmp_path), made_by(OURS, tmp_path)
    assert list(ours) == list(theirs)
    for name in theirs:
        assert ours[name][2] == theirs[name][2], name
        assert set(ours[name][1]) <= set(theirs[name][1]), name


def pickles(directory: pathlib.Path) -> dict[str, bytes]:
    """What ProxyStore's users have lying about."""
    files = upstream_file.FileConnector(str(directory), clear=False)
    connector = upstream_multi.MultiConnector({'files': (files, upstream_multi.Policy(priority=7))})
    key = connector.put(b'object')
    values = {
        'MultiKey': key,
        'FileKey': key.connector_key,
        'LocalKey': upstream_local.LocalKey('id'),
        'Policy': upstream_multi.Policy(priority=3, host_pattern=['a', 'b'], subset_tags=['c']),
        'FileConnector': (files, key.connector_key),
        'LocalConnector': upstream_local.LocalConnector(),
        'MultiConnector': (connector, key),
        'MultiConnectorError': upstream_multi.MultiConnectorError('text'),
        'proxy': Store('files', files).proxy(['a', 'proxied', 'value'], populate_target=False),
        'proxy of many': Store('many', connector).proxy(['a', 'proxied', 'value'], populate_target=False),
    }
    pickled = {name: pickle.dumps(value) for name, value in values.items()}
    assert all(b'proxystore.connectors.' in each for each in pickled.values())
    return pickled


def use_key(key: Any) -> Any:
    assert pickle.loads(pickle.dumps(key)) == key
    return key


def use_policy(policy: Any) -> Any:
    assert policy.as_dict() == {
        'priority': 3,
        'host_pattern': ['a', 'b'],
        'min_size_bytes': 0,
        'max_size_bytes': sys.maxsize,
        'subset_tags': ['c'],
        'superset_tags': [],
    }
    assert type(policy)(**policy.as_dict()) == policy
    assert not policy.is_valid(size_bytes=3, subset_tags=['d'])
    return policy


def use_connector(pair: Any) -> Any:
    connector, key = pair
    assert connector.get(key) == b'object'
    assert connector.get(connector.put(b'another')) == b'another'
    return connector


def use_local(connector: Any) -> Any:
    assert connector.get(connector.put(b'object')) == b'object'
    return connector


def use_error(error: Any) -> Any:
    assert str(error) == 'text'
    return error


def use_proxy(proxy: Any) -> Any:
    """The connector that the proxy's store has."""
    assert extract(proxy) == ['a', 'proxied', 'value']
    store = get_store(proxy)
    assert store is not None
    unregister_store(store)
    return store.connector


USES: dict[str, Callable[[Any], Any]] = {
    'MultiKey': use_key,
    'FileKey': use_key,
    'LocalKey': use_key,
    'Policy': use_policy,
    'FileConnector': use_connector,
    'LocalConnector': use_local,
    'MultiConnector': use_connector,
    'MultiConnectorError': use_error,
    'proxy': use_proxy,
}


def loaded(name: str, pickled: bytes) -> str:
    """The class that a pickle gives, which has been used."""
    return class_path(USES[name](pickle.loads(pickled)))


def load_before_and_after(name: str, pickled: bytes) -> list[str]:
    found = [loaded(name, pickled)]
    assert not crossdock.proxystore.installed()
    crossdock.proxystore.install()
    crossdock.proxystore.install()
    assert crossdock.proxystore.installed()
    found.append(loaded(name, pickled))
    crossdock.proxystore.uninstall()
    assert not crossdock.proxystore.installed()
    found.append(loaded(name, pickled))
    crossdock.proxystore.uninstall()
    return found


@pytest.mark.parametrize('name', USES)
def test_existing_pickles_load_upstreams_classes_unless_ours_are_installed(tmp_path: pathlib.Path, name: str) -> None:
    found = elsewhere(load_before_and_after, name, pickles(tmp_path)[name])
    assert [path.partition('.')[0] for path in found] == ['proxystore', 'crossdock', 'proxystore']
    assert {path.rpartition('.')[2] for path in found} == {'FileConnector' if name == 'proxy' else name}


def load_within(pickled: bytes) -> list[str]:
    found = []
    with crossdock.proxystore.install():
        assert crossdock.proxystore.installed()
        found.append(loaded('MultiKey', pickled))
        with crossdock.proxystore.install():
            pass
        assert crossdock.proxystore.installed(), 'the outer one holds'
    found.append(loaded('MultiKey', pickled))
    with pytest.raises(ZeroDivisionError), crossdock.proxystore.install():
        raise ZeroDivisionError
    assert not crossdock.proxystore.installed()
    return found


def test_ours_are_installed_for_the_length_of_a_block(tmp_path: pathlib.Path) -> None:
    assert elsewhere(load_within, pickles(tmp_path)['MultiKey']) == [
        'crossdock.connectors.multi.MultiKey',
        'proxystore.connectors.multi.MultiKey',
    ]


def load_what_upstream_cannot(pickled: bytes) -> str:
    with pytest.raises(ProxyResolveError):
        extract(pickle.loads(pickled))
    with crossdock.proxystore.install():
        return class_path(use_proxy(pickle.loads(pickled)))


def test_a_proxy_that_upstream_made_and_cannot_resolve_resolves_with_ours(tmp_path: pathlib.Path) -> None:
    pickled = pickles(tmp_path)['proxy of many']
    assert elsewhere(load_what_upstream_cannot, pickled) == 'crossdock.connectors.multi.MultiConnector'


def pickles_while_installed(directory: str) -> dict[str, bytes]:
    """What ours gives while it stands in, for processes where it does not."""
    with crossdock.proxystore.install():
        from proxystore.connectors.file import FileConnector
        from proxystore.connectors.multi import MultiConnector, Policy

        connector = MultiConnector({'files': (FileConnector(directory, clear=False), Policy())})
        key = connector.put(b'object')
        assert class_path(connector).startswith('crossdock.')
        proxy = Store('installed', connector).proxy('value', populate_target=False)
        return {'key': pickle.dumps(key), 'connector': pickle.dumps(connector), 'proxy': pickle.dumps(proxy)}


def use_pickles(pickled: dict[str, bytes]) -> str:
    connector = pickle.loads(pickled['connector'])
    assert connector.get(pickle.loads(pickled['key'])) == b'object'
    assert extract(pickle.loads(pickled['proxy'])) == 'value'
    return class_path(connector)


def test_what_was_made_while_installed_is_used_without(tmp_path: pathlib.Path) -> None:
    pickled = elsewhere(pickles_while_installed, str(tmp_path))
    assert elsewhere(use_pickles, pickled) == 'crossdock.connectors.multi.MultiConnector'


def test_objects_that_exist_already_stay_what_they_are(tmp_path: pathlib.Path) -> None:
    connector = upstream_file.FileConnector(str(tmp_path))
    key = connector.put(b'object')
    with crossdock.proxystore.install():
        assert type(connector) is UPSTREAM['FileConnector']
        assert connector.get(key) == b'object'
        assert upstream_file.FileConnector is file.FileConnector
    assert upstream_file.FileConnector is UPSTREAM['FileConnector']

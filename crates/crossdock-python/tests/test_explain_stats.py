"""What a multi-connector says of itself: where objects would go and why, what went through, and how it looks."""

from __future__ import annotations

import array
import pathlib
from unittest import mock

import pytest

from crossdock.connectors.file import FileConnector
from crossdock.connectors.local import LocalConnector
from crossdock.connectors.multi import Explanation, MultiConnector, Policy, Verdict

OPERATIONS = ['put', 'put_batch', 'get', 'get_batch', 'exists', 'evict', 'new_key', 'set']
FIGURES = ['operations', 'objects', 'bytes', 'errors', 'seconds']
LOCAL = 'crossdock.connectors.local.LocalConnector'


def build() -> MultiConnector:
    return MultiConnector(
        {
            'rest': (LocalConnector(), Policy(min_size_bytes=2)),
            'small': (LocalConnector(), Policy(max_size_bytes=10, priority=1, subset_tags=['a'])),
            'strict': (LocalConnector(), Policy(priority=2, superset_tags=['x', 'y'])),
        },
    )


def test_an_explanation_has_a_verdict_of_every_policy_in_order() -> None:
    found = build().explain(b'12345', subset_tags=['a'])
    assert isinstance(found, Explanation) and found.route == 'small'
    assert [verdict.connector for verdict in found.verdicts] == ['strict', 'small', 'rest']
    assert all(isinstance(verdict, Verdict) for verdict in found.verdicts)
    assert [verdict.accepts for verdict in found.verdicts] == [False, True, False]
    strict, small, rest = found.verdicts
    assert small.reasons == []
    assert len(strict.reasons) == 2 and 'x' in strict.reasons[1] and 'y' in strict.reasons[1]
    assert len(rest.reasons) == 1 and 'a' in rest.reasons[0]


def test_an_explanation_reads_like_a_table() -> None:
    text = str(build().explain(size_bytes=1))
    assert text.splitlines()[0] == 'route: small'
    assert [line.split(':')[0].strip() for line in text.splitlines()[1:]] == ['strict', 'small', 'rest']
    assert 'small: accepts' in text and 'minimum is 2 bytes' in text
    assert str(build().explain(b'')).startswith('route: small')
    assert str(MultiConnector({}).explain(b'')) == 'route: none'


@pytest.mark.parametrize('size', [0, 1, 2, 10, 11, 2**40])
@pytest.mark.parametrize('subset', [[], ['a'], ['b']])
@pytest.mark.parametrize('superset', [[], ['x', 'y', 'z']])
def test_the_route_is_the_one_that_a_put_takes(size: int, subset: list[str], superset: list[str]) -> None:
    connector = build()
    route = connector.explain(size_bytes=size, subset_tags=subset, superset_tags=iter(superset)).route
    if size > 100:
        assert route == connector.explain(size_bytes=1_000, subset_tags=subset, superset_tags=superset).route
        return
    assert connector.explain(bytes(size), subset_tags=subset, superset_tags=superset).route == route
    if route is None:
        with pytest.raises(Exception, match='policy'):
            connector.put(bytes(size), subset, superset)
    else:
        assert connector.put(bytes(size), subset, superset).connector_name == route


def test_explaining_writes_nothing_and_checks_no_size_that_is_not_given() -> None:
    connector = MultiConnector({'a': (LocalConnector(), Policy(min_size_bytes=5))})
    assert connector.explain().route == 'a'
    assert connector.explain(size_bytes=4).route is None
    assert connector.explain(memoryview(array.array('d', [0.0]))).route == 'a'
    assert connector.stats()['a']['put']['operations'] == 0
    for wrong in ('text', 5):
        with pytest.raises(TypeError):
            connector.explain(wrong)  # type: ignore[arg-type]


def test_hosts_are_explained() -> None:
    connector = MultiConnector({'nodes': (LocalConnector(), Policy(host_pattern=r'nid\d+'))})
    for host, route in (('nid1', 'nodes'), ('login', None), ('nid2', 'nodes')):
        with mock.patch('crossdock.utils.hostname', return_value=host):
            found = connector.explain(b'x')
            assert found.route == route
            assert bool(found.verdicts[0].reasons) == (route is None)
            assert route or ('login' in str(found) and 'nid' in str(found))


def test_dormant_connectors_are_explained() -> None:
    connector = MultiConnector.from_config(
        {'there': (LOCAL, {}, {'host_pattern': 'no-such-host', 'priority': 1}), 'here': (LOCAL, {}, {})},
    )
    found = connector.explain(b'x')
    assert found.route == 'here' and [verdict.connector for verdict in found.verdicts] == ['there', 'here']
    assert not found.verdicts[0].accepts and 'no-such-host' in found.verdicts[0].reasons[0]


def test_stats_begin_at_nothing() -> None:
    stats = build().stats()
    assert list(stats) == ['rest', 'small', 'strict']
    for operations in stats.values():
        assert list(operations) == [*OPERATIONS, 'health']
        assert operations.pop('health') == {'state': 'closed', 'failures': 0, 'last_error': None, 'retry_in': None}
        for figures in operations.values():
            assert list(figures) == FIGURES and not any(figures.values())


@pytest.mark.parametrize('kind', ['local', 'file'])
def test_stats_count_calls_objects_and_bytes(kind: str, tmp_path: pathlib.Path) -> None:
    child = LocalConnector() if kind == 'local' else FileConnector(tmp_path / 'objects')
    with MultiConnector({'only': (child, Policy()), 'idle': (LocalConnector(), Policy(priority=-1))}) as connector:
        key = connector.put(array.array('d', [1.0, 2.0]))
        keys = connector.put_batch([b'1', b'22', b'333'])
        later = connector.new_key()
        connector.set(later, b'55555')
        connector.get(key)
        connector.get(key, zero_copy=True)
        connector.evict(keys[0])
        connector.get(keys[0])
        connector.get_batch(keys)
        assert [connector.exists(each) for each in (key, keys[0])] == [True, False]
        stats = connector.stats()
    for operations in stats.values():
        del operations['health']
    counted = {name: tuple(figures[each] for each in FIGURES[:4]) for name, figures in stats['only'].items()}
    assert counted == {
        'put': (1, 1, 16, 0),
        'put_batch': (1, 3, 6, 0),
        'get': (3, 2, 32, 0),
        'get_batch': (1, 2, 5, 0),
        'exists': (2, 1, 0, 0),
        'evict': (1, 1, 0, 0),
        'new_key': (1, 0, 0, 0),
        'set': (1, 1, 5, 0),
    }
    assert all(figures['seconds'] > 0 for figures in stats['only'].values())
    assert not any(any(figures.values()) for figures in stats['idle'].values())
    stats['only']['put']['operations'] = 99
    assert connector.stats()['only']['put']['operations'] == 1, 'the dict is fresh, and there after closing'


def test_stats_count_views_by_their_bytes() -> None:
    class Views(LocalConnector):
        def get(self, key, **options):  # type: ignore[no-untyped-def]
            return memoryview(array.array('d', [1.0, 2.0]))

    connector = MultiConnector({'views': (Views(), Policy())})
    connector.get(connector.put(b'x'))
    assert connector.stats()['views']['get']['bytes'] == 16


def test_stats_count_errors() -> None:
    connector = MultiConnector(
        {
            'full': (LocalConnector(max_total_bytes=1), Policy(priority=1, fallback=True)),
            'rest': (LocalConnector(), Policy()),
        },
    )
    assert connector.put(b'22').connector_name == 'rest'
    with pytest.raises(ValueError):
        connector.get(('full', ('nobody', 'knows')))
    stats = connector.stats()
    assert [stats['full']['put'][each] for each in FIGURES[:4]] == [1, 0, 0, 1]
    assert stats['rest']['put']['objects'] == 1 and stats['full']['get']['errors'] == 1


def test_reprs_show_what_matters(tmp_path: pathlib.Path) -> None:
    local, files = LocalConnector(), FileConnector(tmp_path / 'objects')
    local.put(b'secret')
    assert repr(local) == 'LocalConnector(1 objects)'
    assert repr(files) == f"FileConnector(store_dir='{tmp_path / 'objects'}')"
    connector = MultiConnector({'memory': (local, Policy()), 'files': (files, Policy())})
    assert repr(connector) == f"MultiConnector({{'memory': {local!r}, 'files': {files!r}}})"
    assert repr(connector.connectors) == f"{{'memory': {local!r}, 'files': {files!r}}}"
    assert repr(MultiConnector({})) == 'MultiConnector({})'
    assert repr(MultiConnector({'outer': (connector, Policy())})) == f"MultiConnector({{'outer': {connector!r}}})"

    class Named(MultiConnector):
        pass

    assert repr(Named({})) == 'Named({})'


def test_the_repr_opens_nothing() -> None:
    connector = MultiConnector.from_config(
        {
            'broken': ('no.such.Class', {}, {}),
            'asleep': (LOCAL, {}, {'host_pattern': 'no-such-host'}),
            'here': (LOCAL, {}, {}),
        },
    )
    assert repr(connector) == (
        "MultiConnector({'broken': no.such.Class (not opened), 'asleep': dormant, 'here': LocalConnector(0 objects)})"
    )

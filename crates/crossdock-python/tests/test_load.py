"""Policy files and texts become multi-connectors; they are data, and import nothing."""

from __future__ import annotations

import json
import pathlib
import sys

import pytest

import crossdock
from crossdock.connectors.file import FileConnector
from crossdock.connectors.local import LocalConnector
from crossdock.connectors.multi import MultiConnector, Policy
from crossdock.exceptions import DormantError, InvalidConfigError

TOML = """\
[connectors.zebra]
type = "local"
policy = { max_size_bytes = "1 kB", priority = 2, subset_tags = ["a"] }

[connectors.files]
type = "file"
dir = '{dir}'
policy = { min_size_bytes = 10, fallback = true }

[connectors.asleep]
type = "file"
dir = '{dir}/asleep'
policy = { host_pattern = "no-such-host" }

[connectors.ant]
type = "local"
"""


def toml(directory: pathlib.Path) -> str:
    return TOML.replace('{dir}', str(directory / 'objects'))


def ours(directory: pathlib.Path) -> str:
    objects = str(directory / 'objects')
    return json.dumps(
        {
            'connectors': {
                'zebra': {'type': 'local', 'policy': {'max_size_bytes': '1 kB', 'priority': 2, 'subset_tags': ['a']}},
                'files': {'type': 'file', 'dir': objects, 'policy': {'min_size_bytes': 10, 'fallback': True}},
                'asleep': {'type': 'file', 'dir': f'{objects}/asleep', 'policy': {'host_pattern': 'no-such-host'}},
                'ant': {'type': 'local'},
            },
        },
    )


def theirs(directory: pathlib.Path, package: str = 'proxystore') -> str:
    objects = str(directory / 'objects')
    file, local = f'{package}.connectors.file.FileConnector', f'{package}.connectors.local.LocalConnector'
    return json.dumps(
        {
            'zebra': [local, {}, {'max_size_bytes': 1000, 'priority': 2, 'subset_tags': ['a']}],
            'files': [file, {'store_dir': objects}, {'min_size_bytes': 10, 'fallback': True}],
            'asleep': [file, {'store_dir': f'{objects}/asleep'}, {'host_pattern': 'no-such-host'}],
            'ant': [local, {}, {}],
        },
        indent=1,
    )


SHAPES = {
    'toml': toml,
    'json': ours,
    'json of proxystore': theirs,
    'json of proxystore, our classes': lambda directory: theirs(directory, 'crossdock'),
}


@pytest.mark.parametrize('way', ['text', 'str', 'path', 'path without a known ending'])
@pytest.mark.parametrize('shape', SHAPES)
def test_every_shape_from_everywhere_builds_the_same(shape: str, way: str, tmp_path: pathlib.Path) -> None:
    text = SHAPES[shape](tmp_path)
    path = tmp_path / ('policies' if 'ending' in way else 'policies.toml' if shape == 'toml' else 'policies.json')
    path.write_text(text)
    connector = crossdock.load({'text': text, 'str': str(path)}.get(way, path))
    assert type(connector) is MultiConnector
    assert list(connector.config()) == ['zebra', 'files', 'asleep', 'ant']
    assert list(connector.connectors) == ['zebra', 'files', 'ant']
    assert connector.connectors_by_priority == ['zebra', 'files', 'ant']
    assert list(connector.dormant_connectors or {}) == ['asleep']
    assert [type(each.connector) for each in connector.connectors.values()] == [
        LocalConnector,
        FileConnector,
        LocalConnector,
    ]
    assert connector.connectors['zebra'].policy == Policy(max_size_bytes=1000, priority=2, subset_tags=['a'])
    assert connector.connectors['files'].policy == Policy(min_size_bytes=10, fallback=True)
    assert not (tmp_path / 'objects').exists(), 'nothing is made before it is needed'
    for data, tags, route in ((b'x', ['a'], 'zebra'), (b'x' * 10, [], 'zebra'), (b'x' * 2000, [], 'files')):
        key = connector.put(data, tags)
        assert key.connector_name == route and connector.get(key) == data
    with pytest.raises(DormantError, match='no-such-host'):
        connector.get(('asleep', ('x',)))
    twin = MultiConnector.from_config(connector.config())
    assert twin.config() == connector.config()


def test_one_line_of_json_is_a_text() -> None:
    connector = crossdock.load('{"connectors": {"a": {"type": "local"}}}')
    assert connector.put(b'x').connector_name == 'a'
    assert list(crossdock.load('\n').config()) == []


WRONG = [
    ('[connectors.a]\ntype = "local"\n[connectors.b\n', 3, 'TOML'),
    ('[connectors.a]\ntype = "local"\npolicy = { priorty = 1 }\n', 3, 'connectors.a.policy.*priorty'),
    ('[connectors.a]\ntype = "local"\n\npolicy = { max_size_bytes = "1 furlong" }\n', 4, 'max_size_bytes'),
    ('[connectors.a]\ntype = 5\n', 2, 'connectors.a.type'),
    ('[connectors.a]\ndir = "x"\n', 1, 'connectors.a.*type'),
    ('# first\n[connector.a]\ntype = "local"\n', 2, 'connector'),
    ('{"connectors":\n {"a": {"type": "local",\n "policy": 5}}}', 3, 'connectors.a.policy'),
    ('{"a":\n ["x"]}', 2, 'connectors.a.*3 items'),
    ('{"a": [}', 1, 'JSON'),
]


@pytest.mark.parametrize(('text', 'line', 'named'), WRONG, ids=[named for _, _, named in WRONG])
def test_mistakes_are_told_with_line_and_place(text: str, line: int, named: str, tmp_path: pathlib.Path) -> None:
    with pytest.raises(InvalidConfigError, match=named) as raised:
        crossdock.load(text)
    assert f'line {line}' in str(raised.value)
    path = tmp_path / 'wrong'
    path.write_text(text)
    with pytest.raises(InvalidConfigError, match=named) as raised:
        crossdock.load(path)
    assert f'line {line}' in str(raised.value) and str(path) in str(raised.value)


@pytest.mark.parametrize(
    ('options', 'named'),
    [
        ('', 'a.*dir'),
        ('dir = 5', 'a.*dir'),
        ('dir = "/x"\ndri = "y"', 'a.*dri'),
        ('dir = "/x"\ndurability = "no"', 'durability'),
    ],
)
def test_mistakes_in_the_options_of_ours_are_named(options: str, named: str) -> None:
    with pytest.raises(InvalidConfigError, match=named):
        crossdock.load(f'[connectors.a]\ntype = "file"\n{options}\n')


def test_a_type_that_nobody_knows_is_named() -> None:
    with pytest.raises(InvalidConfigError, match='flie'):
        crossdock.load('[connectors.a]\ntype = "flie"\n')


def test_a_missing_file_is_a_file_not_found_error(tmp_path: pathlib.Path) -> None:
    for missing in (tmp_path / 'missing.toml', str(tmp_path / 'missing.toml'), 'type = "local"'):
        with pytest.raises(FileNotFoundError, match='policy file'):
            crossdock.load(missing)
    for wrong in (5, None):
        with pytest.raises(TypeError):
            crossdock.load(wrong)  # type: ignore[arg-type]


MODULE = """
import pathlib
pathlib.Path(__file__).with_suffix('.imported').write_text('')
from crossdock.connectors.local import LocalConnector

class Mine(LocalConnector):
    pass
"""


@pytest.mark.parametrize('shape', ['toml', 'json', 'nested', 'nested, our form', 'nested twice', 'dormant'])
def test_a_text_imports_nothing_unless_it_may(
    shape: str,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = 'crossdock_test_side_effect'
    (tmp_path / f'{name}.py').write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, name, raising=False)
    path = f'{name}.Mine'
    multi = 'crossdock.connectors.multi.MultiConnector'
    inner = {'middle': [multi, {'mine': [path, {}, {}]}, {}]}
    text = {
        'toml': f'[connectors.mine]\ntype = "{path}"\n',
        'json': json.dumps({'mine': [path, {}, {}]}),
        'nested': json.dumps({'outer': [multi, {'mine': [path, {}, {}]}, {}]}),
        'nested, our form': (
            f'[connectors.outer]\ntype = "multi"\n[connectors.outer.connectors.mine]\ntype = "{path}"\n'
        ),
        'nested twice': json.dumps({'outer': ['proxystore.connectors.multi.MultiConnector', inner, {}]}),
        'dormant': json.dumps({'mine': [path, {}, {'host_pattern': 'no-such-host'}]}),
    }[shape]
    with pytest.raises(InvalidConfigError, match='import_classes=True') as raised:
        crossdock.load(text)
    assert 'mine' in str(raised.value) and path in str(raised.value)
    imported = tmp_path / f'{name}.imported'
    assert not imported.exists() and name not in sys.modules
    connector = crossdock.load(text, import_classes=True)
    if shape == 'dormant':
        assert not imported.exists()
        return
    key = connector.put(b'object')
    assert connector.get(key) == b'object' and imported.exists()
    monkeypatch.delitem(sys.modules, name)

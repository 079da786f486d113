"""ProxyStore's own tests of its connectors, from its sdist, pass with ours."""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys
import tarfile
import tempfile
import xml.etree.ElementTree as ElementTree

import pytest

import servers
from helpers import GENEROUS, TESTS, needs

VERSION = '1.1.0'
CACHE = pathlib.Path(__file__).resolve().parents[3] / 'target' / 'upstream'
FILES = ['connector_test.py', 'multi_test.py', 'file_test.py', 'local_test.py', 'redis_test.py']
# Five tests of any connector for each of six, 17 of the multi-connector, 4 of files, 1 of process memory, 3 of Redis.
EXPECTED = 5 * 6 + 17 + 4 + 1 + 3
CONFTEST = """
import sys
from unittest import mock

import pytest

from crossdock.connectors.file import FileConnector
from crossdock.connectors.local import LocalConnector
from crossdock.connectors.multi import MultiConnector, Policy
from crossdock.connectors.object_store import ObjectStoreConnector
from crossdock.connectors.redis import RedisConnector

sys.path.append({helpers!r})

import servers


@pytest.fixture(scope='session', params=['file', 'local', 'multi', 'redis', 's3', 'multi of all'])
def connectors(request, tmp_path_factory):
    files = lambda: FileConnector(str(tmp_path_factory.mktemp('objects')), buffering=0)
    make = {
        'file': files,
        'local': LocalConnector,
        'multi': lambda: MultiConnector({'local': (LocalConnector(), Policy(priority=0))}),
        'redis': lambda: RedisConnector(**servers.options()),
        's3': lambda: ObjectStoreConnector(**servers.bucket()),
        'multi of all': lambda: MultiConnector({
            's3': (ObjectStoreConnector(**servers.bucket()), Policy(min_size_bytes=10)),
            'redis': (RedisConnector(**servers.options()), Policy(min_size_bytes=5)),
            'files': (files(), Policy(min_size_bytes=2)),
            'local': (LocalConnector(), Policy()),
        }),
    }[request.param]
    with make() as connector:
        with mock.patch.object(connector, 'close', side_effect=RuntimeError('the connector is for all tests')):
            yield connector


# The tests name a server at port 0 and ask connectors that they have closed, as these are mocks to them: here it is the
# real server, and a new connector is asked instead of a closed one.
class OnRealServer(RedisConnector):
    def __init__(self, hostname, port, clear=False):
        assert port == 0
        super().__init__(servers.shared().host, servers.shared().port, clear)

    def exists(self, key):
        with RedisConnector(self.hostname, self.port) as other:
            return other.exists(key)


@pytest.fixture()
def redis_connector(request, monkeypatch):
    monkeypatch.setattr(request.module, 'RedisConnector', OnRealServer)
"""


def sdist() -> pathlib.Path:
    """Upstream's tarball, downloaded once for each checkout."""
    name = f'proxystore-{VERSION}.tar.gz'
    if not (CACHE / name).exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as directory:
            pip = [sys.executable, '-m', 'pip', 'download', '--quiet', '--no-deps', '--no-binary', ':all:']
            command = [*pip, '--dest', directory, f'proxystore=={VERSION}']
            run = subprocess.run(command, capture_output=True, text=True, timeout=GENEROUS, check=False)
            print(run.stderr)
            needs('the package index', run.returncode == 0)
            (pathlib.Path(directory) / name).rename(CACHE / name)
    return CACHE / name


def ported(text: str) -> str:
    """The prefix of the imports and the name that is patched; nothing else."""
    text = re.sub(r'^(from|import) proxystore\.', r'\1 crossdock.', text, flags=re.MULTILINE)
    return text.replace("mock.patch('proxystore.utils.hostname')", "mock.patch('crossdock.utils.hostname')")


@pytest.fixture(scope='module')
def suite(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    directory = tmp_path_factory.mktemp('upstream')
    with tarfile.open(sdist()) as tar:
        for name in FILES:
            member = tar.extractfile(f'proxystore-{VERSION}/tests/connectors/{name}')
            assert member is not None
            text = ported(member.read().decode())
            assert 'crossdock.' in text
            assert 'proxystore' not in text, f'{name} tests ours alone'
            (directory / name).write_text(text)
    (directory / 'conftest.py').write_text(CONFTEST.replace('{helpers!r}', repr(str(TESTS))))
    return directory


def test_upstreams_own_tests_pass(suite: pathlib.Path) -> None:
    # Where these are not installed, this test is skipped here rather than failed by what it counts.
    servers.shared(), servers.shared_store()
    report = suite / 'report.xml'
    command = [sys.executable, '-m', 'pytest', '-q', '-p', 'no:cacheprovider', f'--junitxml={report}', *FILES]
    run = subprocess.run(command, cwd=suite, capture_output=True, text=True, timeout=GENEROUS, check=False)
    assert run.returncode == 0, run.stdout[-8000:] + run.stderr[-2000:]
    [results] = ElementTree.parse(report).getroot().iter('testsuite')
    counts = {name: int(results.get(name, '-1')) for name in ['tests', 'failures', 'errors', 'skipped']}
    print(f'tests of proxystore {VERSION}: {counts}')
    assert counts == {'tests': EXPECTED, 'failures': 0, 'errors': 0, 'skipped': 0}


def test_a_failing_test_of_theirs_would_be_seen(suite: pathlib.Path) -> None:
    """The suite really runs against what it imports: broken on purpose, it fails."""
    broken = 'from crossdock.connectors.local import LocalConnector\nLocalConnector.exists = lambda self, key: False\n'
    (suite / 'broken_test.py').write_text((suite / 'connector_test.py').read_text() + '\n' + broken)
    command = [sys.executable, '-m', 'pytest', '-q', '-p', 'no:cacheprovider', 'broken_test.py']
    run = subprocess.run(command, cwd=suite, capture_output=True, text=True, timeout=GENEROUS, check=False)
    assert run.returncode == 1, run.stdout
    assert 'test_connector_basic_ops[local]' in run.stdout

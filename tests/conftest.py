"""What the tests of the command line and of the real ProxyStore share."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / 'crates' / 'crossdock-servers' / 'python'))
BUILT = ROOT / 'target' / 'debug'
EXAMPLES = BUILT / 'examples'


class Crossdock:
    """The command-line tool with one config, in an environment of its own."""

    def __init__(self, config: pathlib.Path, home: pathlib.Path, host: str | None = None) -> None:
        self.config = config
        self.environment = {'PATH': os.environ['PATH'], 'HOME': str(home)}
        if host is not None:
            self.environment['CROSSDOCK_HOSTNAME'] = host

    def __call__(self, *arguments: str, data: bytes = b'', code: int = 0) -> bytes:
        run = subprocess.run(
            [BUILT / 'crossdock', '--config', self.config, *arguments],
            input=data,
            capture_output=True,
            env=self.environment,
            check=False,
            timeout=60,
        )
        assert run.returncode == code, (run.returncode, run.stdout, run.stderr)
        return run.stdout if code == 0 else run.stderr

    def json(self, *arguments: str, data: bytes = b'') -> dict:
        return json.loads(self('--format', 'json', *arguments, data=data))


@pytest.fixture()
def cli(tmp_path: pathlib.Path):
    """Makes a command-line tool from the text of a config."""

    def make(text: str, host: str | None = None) -> Crossdock:
        config = tmp_path / ('config.json' if text.lstrip().startswith('{') else 'config.toml')
        config.write_text(text)
        return Crossdock(config, tmp_path, host)

    return make

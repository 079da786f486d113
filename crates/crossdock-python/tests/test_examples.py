"""Every example runs as a user would run it, and says what it promises."""

from __future__ import annotations

import importlib.util
import os
import pathlib
import re
import subprocess
import sys

import pytest

EXAMPLES = pathlib.Path(__file__).resolve().parent.parent / 'examples'
# For machines that stand still; none of them needs a tenth of it.
GENEROUS = 300


def run(name: str, home: pathlib.Path, *needs: str) -> list[str]:
    """The lines that an example prints, with its own home, working and temporary directory."""
    missing = [module for module in needs if importlib.util.find_spec(module) is None]
    if missing:
        complaint = f'not installed: {", ".join(missing)}'
        if os.environ.get('CI'):
            pytest.fail(complaint)
        pytest.skip(complaint)
    done = subprocess.run(
        [sys.executable, EXAMPLES / f'{name}.py'],
        cwd=home,
        env={**os.environ, 'HOME': str(home), 'TMPDIR': str(home)},
        capture_output=True,
        text=True,
        timeout=GENEROUS,
        check=False,
    )
    print(done.stdout, done.stderr)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_every_example_is_tested() -> None:
    tested = {name.removeprefix('test_') for name in globals() if name.startswith('test_')}
    assert {path.stem for path in EXAMPLES.glob('*.py')} <= tested


def test_process_pool(tmp_path: pathlib.Path) -> None:
    lines = run('process_pool', tmp_path, 'proxystore')
    assert [line.split(', ')[0] for line in lines[::2]] == ['120 bytes in fast', '1200000 bytes in roomy']
    assert lines[1::2] == [
        '  another process counted: True; get 20, put 10',
        '  another process counted: True; get 200000, put 100000',
    ]
    proxies = [int(size) for size in re.findall(r'proxy of (\d+) bytes', '\n'.join(lines))]
    assert len(proxies) == 2 and max(proxies) < 2_000, 'objects do not travel with their proxies'


def test_parsl_proxies(tmp_path: pathlib.Path) -> None:
    assert run('parsl_proxies', tmp_path, 'proxystore', 'parsl') == [
        'input in scratch, result in kept',
        'another process simulated: True',
        'mean before 1.0, after 1.5',
    ]


def test_dask_proxies(tmp_path: pathlib.Path) -> None:
    lines = run('dask_proxies', tmp_path, 'proxystore', 'distributed')
    assert [line.split(', ')[0] for line in lines[::2]] == ['50 bytes in small', '5000000 bytes in large']
    assert lines[1::2] == ['  another process read them: True; they begin with edcba'] * 2
    proxies = [int(size) for size in re.findall(r'proxy of (\d+) bytes', '\n'.join(lines))]
    assert len(proxies) == 2 and max(proxies) < 2_000, 'objects do not travel with their proxies'

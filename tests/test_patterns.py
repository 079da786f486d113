"""Host patterns answer as this Python's re.fullmatch, on random patterns and hostnames."""

from __future__ import annotations

import subprocess
import sys

import pytest

from conftest import EXAMPLES, ROOT

COUNT = 60_000
SEED = 20261122


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason='the meaning is that of Python 3.11')
def test_random_patterns_match_as_python_says() -> None:
    fuzz = ROOT / 'crates' / 'crossdock' / 'tests' / 'fuzz_patterns.py'
    run = subprocess.run(
        [sys.executable, fuzz, EXAMPLES / 'fullmatch', str(COUNT), str(SEED)],
        capture_output=True,
        text=True,
        check=False,
    )
    print(run.stdout[-2000:])
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-4000:]

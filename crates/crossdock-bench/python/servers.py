"""Servers of this machine: those of the tests, started by the program `crossdock-servers` (`make servers` builds it)."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import subprocess
from collections.abc import Iterator
from typing import Any

PROGRAM = pathlib.Path(__file__).resolve().parents[3] / 'target' / 'debug' / 'crossdock-servers'


class Absent(Exception):
    """A program that is not installed; the text says which."""


@contextlib.contextmanager
def server(*arguments: str) -> Iterator[dict[str, Any]]:
    """What the program says of the server that it has started, which ends with the block."""
    program = os.environ.get('CROSSDOCK_SERVERS', str(PROGRAM))
    if not pathlib.Path(program).exists():
        raise Absent(f'{program} is not there: make servers builds it')
    pipes = {'stdin': subprocess.PIPE, 'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE}
    process = subprocess.Popen([program, *arguments], text=True, start_new_session=True, **pipes)
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise Absent(process.communicate()[1].strip())
    try:
        yield json.loads(line)
    finally:
        process.communicate()

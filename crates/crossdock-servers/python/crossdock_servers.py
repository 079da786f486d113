"""Real servers for tests in Python, started by the program `crossdock-servers` (its `--help` has all that it obeys).

>>> with Servers('redis', '--password', 's3cret') as redis:  # doctest: +SKIP
...     client = connect(redis['url'])
...     redis('kill')
...     redis('restart')
"""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
from types import TracebackType
from typing import Any

import pytest

_BUILT = pathlib.Path(__file__).resolve().parents[3] / 'target' / 'debug' / 'crossdock-servers'
_MISSING = 3


class Refused(Exception):
    """A command that was not done; the text says why."""


class Servers:
    """Servers that live until they are closed, or as long as this process.

    Where a program is not installed, the test is skipped by its name; with `CI` set, it fails.

    Args:
        arguments: What to start, such as `'redis', '--tls'`.

    Attributes:
        said: Where everything is: URLs, ports, paths, process ids; `servers['url']` is `servers.said['url']`.
    """

    def __init__(self, *arguments: str) -> None:
        program = os.environ.get('CROSSDOCK_SERVERS', str(_BUILT))
        assert pathlib.Path(program).exists(), f'{program} is not there: make servers builds it'
        self._process = subprocess.Popen(
            [program, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # Ctrl-C at a terminal is for the tests.
            start_new_session=True,
        )
        line = self._stdout.readline()
        if not line:
            _, why = self._process.communicate()
            if self._process.returncode == _MISSING and 'CI' not in os.environ:
                pytest.skip(why.strip())
            pytest.fail(why.strip())
        self.said: dict[str, Any] = json.loads(line)

    @property
    def _stdout(self) -> Any:
        return self._process.stdout

    @property
    def _stdin(self) -> Any:
        return self._process.stdin

    def __getitem__(self, name: str) -> Any:
        return self.said[name]

    def __call__(self, *words: object) -> dict[str, Any]:
        """Has a command done, such as `servers('kill')` or `servers('proxy', 'drop', 3, 'SET')`.

        Returns:
            What it answered.

        Raises:
            Refused: If it was not done.
        """
        self._stdin.write(' '.join(map(str, words)) + '\n')
        self._stdin.flush()
        answer: dict[str, Any] = json.loads(self._stdout.readline())
        if not answer.pop('ok'):
            raise Refused(answer['error'])
        return answer

    def close(self) -> None:
        """Ends the servers and removes what they stored."""
        self._process.communicate()

    def __enter__(self) -> Servers:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

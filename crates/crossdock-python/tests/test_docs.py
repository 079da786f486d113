"""What the documentation shows is run: every block of Python, in order and in one namespace, as a reader would."""

from __future__ import annotations

import os
import pathlib
import re
from unittest import mock

import pytest

DOCS = pathlib.Path(__file__).resolve().parents[3] / 'docs'
PAGES = {'coming-from-proxystore.md': 12}


def blocks(page: pathlib.Path) -> list[tuple[int, str]]:
    """Line numbers and texts of the blocks that are marked as Python."""
    text = page.read_text()
    found = re.finditer(r'^```python\n(.*?)^```$', text, re.MULTILINE | re.DOTALL)
    return [(text.count('\n', 0, match.start(1)), match[1]) for match in found]


@pytest.mark.parametrize('name', PAGES)
def test_every_block_of_python_runs(name: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {'__name__': 'page'}
    found = blocks(DOCS / name)
    assert len(found) >= PAGES[name], 'the blocks are still marked as Python'
    with mock.patch.dict(os.environ):
        for line, code in found:
            # The empty lines make errors point to the line of the page.
            exec(compile('\n' * line + code, str(DOCS / name), 'exec'), namespace)

"""Run by shared.py as a process of its own: gets what another process has put, and says how long that takes.

Reads lines of JSON, `{"kind": "file", "package": "crossdock", "config": {…}, "key": […], "calls": 10}`, and answers each with
the seconds of so many gets; for no calls, with the CRC-32 of what it gets.
"""

from __future__ import annotations

import functools
import importlib
import json
import sys
import zlib
from collections.abc import Callable
from typing import Any

from contestants import SharedMemory, forget
from turns import asking


@functools.cache
def getter(kind: str, package: str, config: str) -> tuple[Callable[[Any], Any], Callable[..., Any]]:
    """How to get, and what makes a key of its parts."""
    if kind == 'shared_memory':
        return SharedMemory().get, lambda *key: key
    module = importlib.import_module(f'{package}.connectors.{kind}')
    name = {'file': 'File', 'shm': 'SharedMemory'}[kind]
    connector = getattr(module, f'{name}Connector')(**json.loads(config))
    return connector.get, getattr(module, f'{name}Key')


def main() -> None:
    for line in sys.stdin:
        asked = json.loads(line)
        get, key_class = getter(asked['kind'], asked['package'], json.dumps(asked['config']))
        key = key_class(*asked['key'])
        if asked['calls'] == 0:
            found = SharedMemory().read(key) if asked['kind'] == 'shared_memory' else get(key)
            print(zlib.crc32(found), flush=True)
        else:
            get(key)
            print(asking(get, key).time(asked['calls']), flush=True)
        if asked['kind'] == 'shared_memory':
            forget(key)


if __name__ == '__main__':
    main()

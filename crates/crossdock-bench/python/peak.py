"""Run by processes.py as a process of its own: by how much memory rises, at its peak, over one put or one get.

peak.py PACKAGE KIND put PLACE BYTES     makes the object, so the object itself is one times its size
peak.py PACKAGE KIND get PLACE KEY       the key as JSON

KIND is file or shm, and PLACE a directory; or redis, and a port.
"""

from __future__ import annotations

import importlib
import json
import pathlib
import sys


def memory(field: str) -> int:
    for line in pathlib.Path('/proc/self/status').read_text().splitlines():
        if line.startswith(f'{field}:'):
            return int(line.split()[1]) * 1024
    raise LookupError(f'/proc/self/status says no {field}')


def main() -> None:
    package, kind, work, place, argument = sys.argv[1:]
    module = importlib.import_module(f'{package}.connectors.{kind}')
    name, arguments, options = {
        'file': ('File', lambda: [place], {'clear': False}),
        'shm': ('SharedMemory', lambda: [place], {'zero_copy': True}),
        'redis': ('Redis', lambda: ['127.0.0.1', int(place)], {}),
    }[kind]
    connector, key_class = getattr(module, f'{name}Connector')(*arguments(), **options), getattr(module, f'{name}Key')
    # What is loaded at the first call is not the object's.
    small = connector.put(b'small')
    connector.get(small)
    connector.evict(small)
    before = memory('VmRSS')
    if work == 'put':
        # Not bytes(n), whose pages would not be there until they are touched.
        obj = b'x' * int(argument)
        key = connector.put(obj)
    else:
        key = key_class(*json.loads(argument))
        obj = connector.get(key)
        # A map has no memory before it is looked at.
        sum(obj[::4096])
    over = memory('VmHWM') - before
    if work == 'get':
        connector.evict(key)
    print(json.dumps({'ratio': over / len(obj), 'key': list(key)}))


if __name__ == '__main__':
    main()

"""Run by compare.py as a process of its own: by how much memory rises, at its peak, over one put or one get.

peak.py PACKAGE put DIRECTORY BYTES      makes the object, so the object itself is one times its size
peak.py PACKAGE get DIRECTORY KEY        the key as JSON
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
    package, work, directory, argument = sys.argv[1:]
    module = importlib.import_module(f'{package}.connectors.file')
    connector = module.FileConnector(directory, clear=False)
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
        key = module.FileKey(*json.loads(argument))
        obj = connector.get(key)
    over = memory('VmHWM') - before
    print(json.dumps({'ratio': over / len(obj), 'key': list(key)}))


if __name__ == '__main__':
    main()

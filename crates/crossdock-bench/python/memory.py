"""Objects in the memory of the process, alone and behind policies; what routing costs by the number of policies."""

from __future__ import annotations

from typing import Any

import contestants
from bench import Bench, WrongBytes, bytes_of, require_same
from contestants import ALIKE, Obstore, Opendal, is_installed
from turns import asking, putting

CHANNEL = 'Memory of the process'
MULTI = 'Multi over 4 Local'
ROUTING = 'Routing'


def memory(bench: Bench) -> None:
    """Put, get and exists of every size."""
    rivals: dict[str, Any] = {name: contestants.connector(name, 'local', 'LocalConnector') for name in ALIKE}
    if is_installed('obstore'):
        from obstore.store import MemoryStore

        rivals['obstore'] = Obstore(MemoryStore())
    if is_installed('opendal'):
        rivals['opendal'] = Opendal('memory')
    multis = {name: tiered(name) for name in ALIKE}
    for operation, target in (('put', 8), ('get', 2), ('exists', 2)):
        for count in bench.plan.sizes:
            obj = bytes_of(count)
            if operation != 'exists':
                everyone(bench, CHANNEL, operation, obj, rivals, {'ProxyStore': None})
            everyone(bench, MULTI, operation, obj, multis, {'ProxyStore': target})


def everyone(
    bench: Bench, channel: str, operation: str, obj: bytes, rivals: dict[str, Any], targets: dict[str, float | None]
) -> None:
    if operation == 'put':
        works = {name: putting(rival, obj) for name, rival in rivals.items()}
        for name in ALIKE:
            # They keep references, not copies.
            works[name].most = 5_000
        bench.measure(channel, operation, len(obj), works, targets)
        return
    keys = {name: rival.put(obj) for name, rival in rivals.items()}
    for name, rival in rivals.items():
        require_same(name, rival.get(keys[name]), obj)
        if operation == 'exists' and rival.exists(keys[name]) is not True:
            raise WrongBytes(f'{name} does not find what was put')
    works = {name: asking(getattr(rival, operation), keys[name]) for name, rival in rivals.items()}
    bench.measure(channel, operation, len(obj), works, targets)
    for name, rival in rivals.items():
        rival.evict(keys[name])


def tiered(name: str) -> Any:
    """Four policies that part objects by their size."""
    multi = contestants.multi_module(name)
    local = {tier: contestants.connector(name, 'local', 'LocalConnector') for tier in ('a', 'b', 'c', 'd')}
    policies = [multi.Policy(max_size_bytes=most) for most in (1_000, 500_000, 10_000_000)] + [multi.Policy()]
    return multi.MultiConnector({tier: (one, policy) for (tier, one), policy in zip(local.items(), policies)})


def routing(bench: Bench) -> None:
    """A put of 1,000 bytes that only the last of many policies takes."""
    obj = bytes_of(1_000)
    for count in (1, 4, 16, 64, 256):
        multis = {}
        for name in ALIKE:
            multi = contestants.multi_module(name)
            policies = [multi.Policy(min_size_bytes=1_000_000 + n, priority=1) for n in range(1, count)]
            local = [(contestants.connector(name, 'local', 'LocalConnector'), policy) for policy in policies]
            last = contestants.connector(name, 'local', 'LocalConnector'), multi.Policy()
            multis[name] = multi.MultiConnector({str(n): pair for n, pair in enumerate([*local, last])})
        seconds = bench.times({name: putting(multi, obj) for name, multi in multis.items()})
        for name, taken in seconds.items():
            bench.point(ROUTING, name, 'put', count, taken, x='policies')
        what = f'put of 1 kB, the last of {count} {"policies" if count > 1 else "policy"} takes it'
        bench.faster(ROUTING, what, 'ProxyStore', seconds, None)

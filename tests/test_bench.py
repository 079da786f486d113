"""The harness of the benchmarks: turns, verdicts, and the report. No contestant is timed here."""

from __future__ import annotations

import dataclasses
import itertools
import json
import pathlib
import subprocess
import sys

import pytest

from conftest import ROOT

BENCH = ROOT / 'crates' / 'crossdock-bench' / 'python'
sys.path.insert(0, str(BENCH))

import render  # noqa: E402
import tables  # noqa: E402
import targets  # noqa: E402
from bench import SHORT, Bench, WrongBytes, bytes_of, require_same, size  # noqa: E402
from turns import FEWEST, Work, batches, take_turns  # noqa: E402


def test_contestants_take_turns() -> None:
    turns: list[str] = []
    cleaned: list[str] = []

    def work(name: str, seconds: float) -> Work:
        return Work(lambda calls: turns.append(name) or calls * seconds, lambda: cleaned.append(name))

    seconds = take_turns({'a': work('a', 2.0), 'b': work('b', 3.0)}, turn=1, budget=0, most=9)
    assert seconds == {'a': [2.0] * FEWEST, 'b': [3.0] * FEWEST}
    rounds = [turns[-2 * FEWEST :][n : n + 2] for n in range(0, 2 * FEWEST, 2)]
    assert all(sorted(one) == ['a', 'b'] for one in rounds)
    assert all(one[-1] != other[0] for one, other in itertools.pairwise(rounds)), 'nobody has two turns in a row'
    assert cleaned == turns, 'each cleans up after its own turn'


def test_slow_contestants_have_few_calls_and_fast_ones_no_more_than_they_may() -> None:
    asked: dict[str, list[int]] = {'slow': [], 'fast': []}

    def work(name: str, seconds: float, most: int) -> Work:
        return Work(lambda calls: asked[name].append(calls) or calls * seconds, most=most)

    take_turns({'slow': work('slow', 5.0, 100), 'fast': work('fast', 1e-3, 64)}, turn=0.5, budget=0)
    assert set(asked['slow']) == {1}
    assert asked['fast'][-FEWEST:] == [64] * FEWEST


def test_ratios_and_verdicts() -> None:
    bench = Bench(SHORT)
    seconds = {'other': [2.0, 4.0, 6.0], 'crossdock': [1.0, 2.0, 2.0]}
    for target, met in ((2, True), (2.5, False), (None, True)):
        bench.faster('group', 'put', 'other', seconds, target)
        assert bench.rows[-1].ratio == (2.0, 2.0, 2.5)
        assert tables.is_missed(dataclasses.asdict(bench.rows[-1])) is not met
    for target, met in ((0.5, True), (0.4, False)):
        bench.slower('group', 'put', 'other', seconds, target)
        assert tables.is_missed(dataclasses.asdict(bench.rows[-1])) is not met
    row = dataclasses.asdict(bench.rows[-1])
    on_a_par = row | {'at_most': False, 'target': 1}
    assert not tables.is_missed(on_a_par | {'ratio': (0.9, 0.96, 0.99)})
    assert tables.is_missed(on_a_par | {'ratio': (0.3, 0.9, 1.9)}), 'a wide spread is no excuse'
    assert tables.is_missed(on_a_par | {'target': 1.5, 'ratio': (1.4, 1.45, 1.6)}), 'only equal has a tolerance'


def test_what_gives_back_other_bytes_is_not_timed() -> None:
    require_same('one', memoryview(b'object'), b'object')
    for wrong in (None, b'', b'Object', b'objects'):
        with pytest.raises(WrongBytes, match='one does not give back the 6 bytes'):
            require_same('one', wrong, b'object')

    class Forgetful:
        def put_batch(self, objects: list[bytes]) -> list[int]:
            return list(range(len(objects)))

        def get_batch(self, keys: list[int]) -> list[None]:
            return [None for _ in keys]

    with pytest.raises(ValueError, match='Forgetful'):
        batches(Forgetful(), 'get_batch', [b'object'])


def test_a_target_that_nobody_measured_is_not_met() -> None:
    found = {line[0]: line[-1] for line in targets.summary([report()])}
    assert set(found.values()) == {'**not measured**'}
    row = report()['rows'][0] | {'group': 'Size', 'what': 'a pickled proxy', 'at_most': True, 'target': 1.1}
    for ratio, verdict in ((1.0, 'met'), (1.2, '**missed** by 1 of 1')):
        one = report() | {'rows': [row | {'ratio': (ratio, ratio, ratio)}]}
        assert targets.summary([one])[-2][-2:] == [tables.figure(ratio), verdict]


def report() -> dict[str, object]:
    bench = Bench(SHORT)
    for count, taken in ((10, 1e-6), (1_000_000, 1e-3)):
        seconds = {'ProxyStore': [taken * 2] * 3, 'crossdock': [taken] * 3}
        for name, figures in seconds.items():
            bench.point('Files', name, 'get', count, figures)
        bench.point('Files', 'crossdock', 'get as a view', count, [2e-6] * 3)
        bench.faster('Files', f'get, {size(count)}', 'ProxyStore', seconds, 3 if count == 10 else 1.5)
    bench.skip('Ray', 'the package is not installed')
    rows = [dataclasses.asdict(row) for row in bench.rows]
    machine = {'cores': 2, 'kernel': '6.1', 'cpu': 'a processor'}
    known = {'face': 'python', 'form': 'short', 'machine': machine, 'versions': {'crossdock': '0.1.0'}, 'seconds': 1}
    return json.loads(json.dumps(known | {'points': bench.points, 'rows': rows, 'absent': bench.absent}))


def test_the_report_says_what_was_missed_and_what_is_absent(tmp_path: pathlib.Path) -> None:
    found = report()
    text = tables.for_terminal(found)
    assert '1 of 2 targets met, 1 missed.' in text
    assert 'MISSED  Files: get, 10 B, beside ProxyStore: 2.00, target ≥ 3' in text
    assert 'not measured: Ray: the package is not installed' in text
    (tmp_path / 'python.json').write_text(json.dumps(found))
    subprocess.run([sys.executable, BENCH / 'render.py', tmp_path], check=True)
    page = (tmp_path / 'report.md').read_text()
    assert '| get, 10 B | ProxyStore | 2.0 µs | 1.0 µs | 2.00 | ≥ 3 | **MISSED** |' in page
    assert '| 1 MB | 2.0 ms | 1.0 ms | 2.0 µs |' in page, 'the medians, with the view as one more contestant'
    assert '- Python: Ray: the package is not installed' in page


def test_plots_are_drawn(tmp_path: pathlib.Path) -> None:
    pytest.importorskip('matplotlib', reason='matplotlib is not installed')
    drawn = render.draw_all(report(), tmp_path)
    assert drawn == {'Files': 'python-files.svg'}
    picture = (tmp_path / 'python-files.svg').read_text()
    for text in ('crossdock, as a view', 'ProxyStore', '10 B', '1 MB', '1 µs'):
        assert f'>{text}<' in picture


def test_without_reports_the_program_says_what_makes_them(tmp_path: pathlib.Path) -> None:
    done = subprocess.run([sys.executable, BENCH / 'render.py', tmp_path], capture_output=True, text=True)
    assert done.returncode == 1
    assert 'make bench' in done.stderr


def test_objects_have_their_size_and_no_pattern() -> None:
    for count in (1, 10, 12_345_678):
        assert len(bytes_of(count)) == count
        assert bytes_of(count) == bytes_of(count)
    assert bytes_of(10) != bytes_of(11)[:10]

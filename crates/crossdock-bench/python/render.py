"""Makes a folder that a person can read of what both faces of the benchmarks wrote: report.md, and a plot for each channel.

render.py DIRECTORY     with rust.json and python.json in it, or one of them
"""

from __future__ import annotations

import json
import pathlib
import sys
from typing import Any

import tables
import targets
from bench import size
from tables import Report

FACES = {'python': 'Python', 'rust': 'Rust'}
COLORS = {
    'crossdock': '#0b6e99',
    'crossdock Multi': '#5ba4c4',
    'ProxyStore': '#7f7f7f',
    'ProxyStore (files)': '#7f7f7f',
    'Ray': '#d95f02',
    'obstore': '#b8860b',
    'object_store': '#b8860b',
    'opendal': '#2e8b57',
    'redis-rs': '#c0392b',
    'Python shared_memory': '#7b4fa3',
}
# Where bytes move: not where a map is handed out.
MOVING = ('put', 'get')
# What is no rival, but a limit.
LIMIT = '#000000'


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    directory = pathlib.Path(sys.argv[1])
    reports = [json.loads(path.read_text()) for face in FACES if (path := directory / f'{face}.json').exists()]
    if not reports:
        sys.exit(f'no {" or ".join(f"{face}.json" for face in FACES)} in {directory}; make bench writes them')
    drawn = {report['face']: draw_all(report, directory) for report in reports}
    (directory / 'report.md').write_text(page(reports, drawn))
    print(f'report: {directory / "report.md"}, with {sum(map(len, drawn.values()))} plots beside it')


def page(reports: list[Report], drawn: dict[str, dict[str, str]]) -> str:
    lines = [
        '# How fast crossdock is',
        '',
        *tables.LEGEND,
        '',
        '## All targets',
        '',
        'What was found is the least and the most of the ratios of all sizes and ways. What was not measured is not met.',
        '',
        *targets.table(reports),
    ]
    for report in reports:
        rows = report['rows']
        named = FACES[report['face']]
        lines += ['', f'## Targets, {named}: {tables.verdict(rows)}', '', tables.heading(report)]
        with_target = sorted(
            (row for row in rows if row['target'] is not None), key=lambda row: not tables.is_missed(row)
        )
        for title, chosen in (
            ('Missed', [row for row in with_target if tables.is_missed(row)]),
            ('Met', [row for row in with_target if not tables.is_missed(row)]),
            # What is in a curve is in its table, too.
            ('Without a target', [row for row in rows if row['target'] is None and not row.get('is_in_curve')]),
        ):
            if chosen:
                lines += ['', f'### {title}', '', *tables.markdown_rows(chosen)]
    for report in reports:
        lines += ['', f'## Curves, {FACES[report["face"]]}']
        for channel, operations in tables.curves(report['points']).items():
            x = next(point['x'] for point in report['points'] if point['channel'] == channel)
            lines += ['', f'### {channel}']
            if channel in drawn[report['face']]:
                lines += ['', f'![{channel}]({drawn[report["face"]][channel]})']
            for operation, found in operations.items():
                lines += ['', f'Medians of {operation}:', '', *tables.medians(found, x)]
    ahead = [[FACES[report['face']], *line] for report in reports for line in tables.others_ahead(report['points'])]
    if ahead:
        head = ['', 'channel', 'work', 'who', 'theirs', 'crossdock', 'ratio']
        lines += ['', f'## Where others are faster: {len(ahead)} places', '', *tables.markdown(head, ahead)]
    absent = [f'- {FACES[report["face"]]}: {reason}' for report in reports for reason in report['absent']]
    if absent:
        lines += ['', '## Not measured', '', *absent]
    return '\n'.join(lines) + '\n'


def draw_all(report: Report, directory: pathlib.Path) -> dict[str, str]:
    """File names of the plots, by channel; none without matplotlib."""
    try:
        import matplotlib
    except ImportError:
        report['absent'].append('plots: matplotlib is not installed')
        return {}
    matplotlib.use('svg')
    # So that the same figures give the same file, with text that can be searched.
    matplotlib.rcParams.update({'svg.hashsalt': 'crossdock', 'svg.fonttype': 'none'})
    written = {}
    for channel, operations in tables.curves(report['points']).items():
        x = next(point['x'] for point in report['points'] if point['channel'] == channel)
        name = f'{report["face"]}-{"-".join("".join(c if c.isalnum() else " " for c in channel.lower()).split())}.svg'
        draw(channel, operations, x, directory / name)
        written[channel] = name
    return written


def draw(channel: str, operations: dict[str, dict[str, dict[int, float]]], x: str, path: pathlib.Path) -> None:
    """A row of panels for each operation: time, and throughput where bytes move."""
    from matplotlib import pyplot

    columns = 2 if x == 'bytes' else 1
    shape = {'figsize': (5.8 * columns, 3.6 * len(operations)), 'layout': 'constrained', 'squeeze': False}
    picture, panels = pyplot.subplots(len(operations), columns, **shape)
    for (operation, lines), row in zip(operations.items(), panels):
        row[0].set_title(f'{operation}: time a call (lower is better)', fontsize='medium')
        for name, line in lines.items():
            row[0].plot(*zip(*sorted(line.items())), **look(name))
        units(row[0], x, time_label)
        row[0].legend(fontsize='small')
        if columns == 2:
            throughput(row[1], operation, {name: line for name, line in lines.items() if name == contestant(name)})
    picture.suptitle(f'{channel}: medians; both axes are logarithmic')
    picture.savefig(path, metadata={'Date': None})
    pyplot.close(picture)


def throughput(axes: Any, operation: str, lines: dict[str, dict[int, float]]) -> None:
    if operation not in MOVING:
        return axes.set_visible(False)
    axes.set_title(f'{operation}: throughput (higher is better)', fontsize='medium')
    for name, line in lines.items():
        axes.plot(*zip(*[(at, at / seconds) for at, seconds in sorted(line.items())]), **look(name))
    units(axes, 'bytes', rate_label)


def contestant(name: str) -> str:
    """Of what is handed out in another way."""
    return next((name.removesuffix(f', {way}') for way in tables.WAYS if name.endswith(f', {way}')), name)


def look(name: str) -> dict[str, Any]:
    base = contestant(name)
    style = '--' if base != name else '-' if base in COLORS else ':'
    width = 2.2 if base == 'crossdock' else 1.4
    return {'color': COLORS.get(base, LIMIT), 'linestyle': style, 'linewidth': width, 'marker': '.', 'label': name}


def units(axes: Any, x: str, label: Any) -> None:
    """Ticks that say what they are: 1 kB, 10 µs."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    axes.set(xscale='log', yscale='log', xlabel='size of the object' if x == 'bytes' else f'number of {x}')
    name = FuncFormatter(lambda at, _: size(at) if x == 'bytes' else f'{at:g}')
    axes.xaxis.set_major_formatter(name)
    axes.yaxis.set_major_formatter(FuncFormatter(label))
    # Numbers at every power of ten, and none in between.
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(alpha=0.3)


def time_label(seconds: float, _: object) -> str:
    factor, unit = next(((f, u) for f, u in ((1, 's'), (1e3, 'ms'), (1e6, 'µs')) if seconds * f >= 0.999), (1e9, 'ns'))
    return f'{seconds * factor:g} {unit}'


def rate_label(rate: float, _: object) -> str:
    return f'{size(float(f"{rate:.3g}"))}/s' if rate < 1e12 else f'{rate / 1e12:g} TB/s'


if __name__ == '__main__':
    main()

"""Reports as tables: for a terminal and as Markdown. A report is what one face of the benchmarks wrote as JSON."""

from __future__ import annotations

from typing import Any

from bench import size

Report = dict[str, Any]
LEGEND = (
    'All contestants took turns in one run; figures are medians over the rounds, brackets quartiles. A ratio is the median of those',
    'within the rounds: how many times faster crossdock is, or, where the target is ≤, how many times as much it takes. "On a par" is',
    'not slower by more than a twentieth.',
)
HEAD = ['', 'the other', 'theirs', 'crossdock', 'ratio', 'target', '']


def duration(seconds: float) -> str:
    """In the unit that suits it."""
    factor, unit = next(((f, u) for f, u in ((1, 's'), (1e3, 'ms'), (1e6, 'µs')) if seconds * f >= 1), (1e9, 'ns'))
    return f'{seconds * factor:.{1 if seconds * factor < 100 else 0}f} {unit}'


def figure(ratio: float) -> str:
    return f'{ratio:,.0f}' if ratio >= 100 else f'{ratio:.1f}' if ratio >= 10 else f'{ratio:.2f}'


def amount(value: float, unit: str) -> str:
    if unit == 's':
        return duration(value)
    digits = 0 if unit in ('bytes', 'MB/s') or value >= 100 else 2
    return f'{value:,.{digits}f} {unit}'


# "On a par" is what is not slower by more than this.
PAR = 0.95


def is_missed(row: dict[str, Any]) -> bool:
    ratio, target = row['ratio'][1], row['target']
    if target is None:
        return False
    if row['at_most']:
        return ratio > target
    return ratio < (PAR if target == 1 else target)


def cells(row: dict[str, Any]) -> list[str]:
    low, middle, high = row['ratio']
    shown = (lambda value: amount(value, row['unit'])) if row.get('is_absolute', False) else figure
    ratio = shown(middle) if low == high else f'{shown(middle)} ({shown(low)}-{shown(high)})'
    theirs, ours = (amount(row[side][1], row['unit']) for side in ('theirs', 'ours'))
    bound, verdict = '', ''
    if row['target'] is not None:
        bound = bound_of(row)
        verdict = 'MISSED' if is_missed(row) else 'met'
    return [row['what'], row['other'], theirs, ours, ratio, bound, verdict]


def bound_of(row: dict[str, Any]) -> str:
    if row.get('is_absolute', False):
        return f'≤ {amount(row["target"], row["unit"])}'
    if row['at_most']:
        return f'≤ {row["target"]:,.4g}'
    return 'on a par' if row['target'] == 1 else f'≥ {row["target"]:,.4g}'


def by_group(rows: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(row['group'], []).append(row)
    return groups


def verdict(rows: list[dict[str, Any]]) -> str:
    with_target = [row for row in rows if row['target'] is not None]
    missed = sum(map(is_missed, with_target))
    return f'{len(with_target) - missed} of {len(with_target)} targets met, {missed} missed.'


def heading(report: Report) -> str:
    machine, versions = report['machine'], report['versions']
    return (
        f'{", ".join(f"{name} {version}" for name, version in versions.items())}; {machine["cores"]} cores '
        f'({machine["cpu"]}), Linux {machine["kernel"]}; the {report["form"]} form, {report["seconds"]:.0f} s.{busy(machine)}'
    )


def busy(machine: dict[str, Any]) -> str:
    """Others at work slow down who has a server process more than who has none."""
    load = machine.get('load')
    if load is None or load < machine['cores'] / 4:
        return ''
    return f' Others were at work when it began ({load:.1f} cores): do not quote these figures.'


def for_terminal(report: Report) -> str:
    """The misses, then all rows, then what was not measured."""
    rows = report['rows']
    lines = [
        heading(report),
        *LEGEND,
        '',
        verdict(rows),
    ]
    for row in filter(is_missed, rows):
        texts = cells(row)
        lines.append(f'MISSED  {row["group"]}: {texts[0]}, beside {texts[1]}: {texts[4]}, target {texts[5]}')
    table = [HEAD, *(cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in table) for column in range(len(HEAD))]

    def aligned(texts: list[str]) -> str:
        words = [
            text.ljust(width) if column < 2 else text.rjust(width)
            for column, (text, width) in enumerate(zip(texts, widths))
        ]
        return '  '.join(words).rstrip()

    lines += ['', aligned(HEAD)]
    for group, members in by_group(rows).items():
        lines += ['', group, *(aligned(cells(row)) for row in members)]
    ahead = others_ahead(report['points'])
    if ahead:
        lines += ['', f'Others are faster in {len(ahead)} places:', *(f'  {" | ".join(line)}' for line in ahead)]
    lines += ['', *(f'not measured: {reason}' for reason in report['absent'])]
    return '\n'.join(lines)


def markdown_rows(rows: list[dict[str, Any]]) -> list[str]:
    lines = markdown(['', 'beside', 'theirs', 'crossdock', 'ratio (quartiles)', 'target', ''], [])
    for group, members in by_group(rows).items():
        lines.append(f'| **{group}** | | | | | | |')
        lines += [
            markdown_line([f'**{text}**' if text == 'MISSED' else text for text in cells(row)]) for row in members
        ]
    return lines


def markdown_line(texts: list[str]) -> str:
    return f'| {" | ".join(texts)} |'


def markdown(head: list[str], body: list[list[str]]) -> list[str]:
    rule = ['---', *('---:' for _ in head[1:])]
    return [markdown_line(head), markdown_line(rule), *map(markdown_line, body)]


# Other ways to get the same.
WAYS = ('as a view', 'as bytes')


def label(point: dict[str, Any]) -> tuple[str, str]:
    """The panel that a point belongs to, and its line there: a view is another way to get."""
    operation, name = point['operation'], point['contestant']
    for way in WAYS:
        if operation.endswith(f' {way}'):
            return operation.removesuffix(f' {way}'), f'{name}, {way}'
    return operation, name


def curves(points: list[dict[str, Any]]) -> dict[str, dict[str, dict[str, dict[int, float]]]]:
    """Medians in seconds by channel, operation, contestant, and what is on the x axis."""
    found: dict[str, dict[str, dict[str, dict[int, float]]]] = {}
    for point in points:
        operation, name = label(point)
        line = found.setdefault(point['channel'], {}).setdefault(operation, {}).setdefault(name, {})
        line[point['at']] = point['seconds'][1]
    return found


def medians(lines: dict[str, dict[int, float]], x: str) -> list[str]:
    """One line a size, one column a contestant."""
    places = sorted({at for line in lines.values() for at in line})
    names = [size(at) if x == 'bytes' else f'{at} {x if at != 1 else "policy"}' for at in places]
    body = [
        [name, *(duration(line[at]) if at in line else '' for line in lines.values())]
        for name, at in zip(names, places)
    ]
    return markdown(['', *lines], body)


# What is no contestant, but what the machine can do.
LIMITS = ('a warm copy', 'a bare socket', 'bare')


def others_ahead(points: list[dict[str, Any]]) -> list[list[str]]:
    """Where another contestant takes less time than crossdock, by more than a twentieth: channel, work, who, theirs, ours, ratio."""
    found = []
    for channel, operations in curves(points).items():
        for operation, lines in operations.items():
            for name, line in lines.items():
                if name.startswith('crossdock') or name in LIMITS:
                    continue
                for at in line.keys() & lines.get('crossdock', {}).keys():
                    theirs = line[at]
                    ours = min(own[at] for who, own in lines.items() if who.startswith('crossdock') and at in own)
                    if theirs < ours * PAR:
                        work = f'{operation}, {size(at)}'
                        found.append([channel, work, name, duration(theirs), duration(ours), figure(theirs / ours)])
    return found

"""What was measured, as a table with verdicts and as plots."""

from __future__ import annotations

import dataclasses
import pathlib
import statistics


def size(count: float) -> str:
    """10 B, 100 kB, 1 GB."""
    for unit in ('B', 'kB', 'MB'):
        if count < 1_000:
            return f'{count:g} {unit}'
        count /= 1_000
    return f'{count:g} GB'


def duration(seconds: float, *more: float) -> str:
    """The first, and in brackets the others, all in the unit that suits the first."""
    factor, unit = next(((f, u) for f, u in ((1, 's'), (1e3, 'ms'), (1e6, 'µs')) if seconds * f >= 1), (1e9, 'ns'))
    digits = 1 if seconds * factor < 100 else 0
    brackets = f' ({"-".join(f"{one * factor:.{digits}f}" for one in more)})' if more else ''
    return f'{seconds * factor:.{digits}f} {unit}{brackets}'


def quartiles(figures: list[float]) -> tuple[float, float, float]:
    low, middle, high = statistics.quantiles(figures, n=4, method='inclusive')
    return low, middle, high


@dataclasses.dataclass
class Row:
    """One line of the table. `ratio` is held against `target`, which is a least value unless `at_most`."""

    group: str
    what: str
    theirs: str
    ours: str
    ratio: float
    target: float | None = None
    at_most: bool = False
    spread: tuple[float, float] | None = None

    @property
    def missed(self) -> bool:
        if self.target is None:
            return False
        return self.ratio > self.target if self.at_most else self.ratio < self.target

    def cells(self) -> list[str]:
        ratio = figure(self.ratio)
        if self.spread is not None:
            ratio += f' ({figure(self.spread[0])}-{figure(self.spread[1])})'
        if self.target is None:
            return [self.what, self.theirs, self.ours, ratio, '', '']
        bound = f'{"≤" if self.at_most else "≥"} {self.target:,.4g}'
        return [self.what, self.theirs, self.ours, ratio, bound, 'MISSED' if self.missed else 'met']


def figure(ratio: float) -> str:
    return f'{ratio:,.0f}' if ratio >= 100 else f'{ratio:.2f}' if ratio < 10 else f'{ratio:.1f}'


def timed(group: str, what: str, theirs: list[float], ours: list[float], target: float | None) -> Row:
    """A row of two contestants that were timed in turn: how many times faster ours is, by the medians.

    The spread of the ratio is that of the rounds.
    """
    (low, middle, high), (our_low, our_middle, our_high) = quartiles(theirs), quartiles(ours)
    spread = quartiles([one / other for one, other in zip(theirs, ours)])
    return Row(
        group,
        what,
        duration(middle, low, high),
        duration(our_middle, our_low, our_high),
        middle / our_middle,
        target,
        spread=(spread[0], spread[2]),
    )


def table(rows: list[Row]) -> str:
    head = ['', 'the other', 'crossdock', 'ratio', 'target', '']
    cells = [head, *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(head))]

    def line(texts: list[str]) -> str:
        first, *others = texts
        return '  '.join([first.ljust(widths[0]), *(t.rjust(w) for t, w in zip(others, widths[1:]))]).rstrip()

    lines, group = [line(head)], None
    for row, texts in zip(rows, cells[1:]):
        if row.group != group:
            group = row.group
            lines += ['', group]
        lines.append(line(texts))
    return '\n'.join(lines)


# The points of one line: sizes in bytes and seconds a call.
Points = list[tuple[int, float]]


def plots(curves: dict[str, dict[str, Points]], directory: pathlib.Path) -> list[pathlib.Path]:
    """One picture for each channel: time and throughput over the size. Needs matplotlib."""
    import matplotlib

    matplotlib.use('svg')
    from matplotlib import pyplot

    # So that the same figures give the same file.
    matplotlib.rcParams['svg.hashsalt'] = 'crossdock'
    colors = {'ProxyStore': '#888888', 'obstore': '#b8860b', 'crossdock': '#0b6e99'}
    styles = {'put': '-', 'get': '--', 'exists': ':', 'get as a view': '-.'}
    written = []
    for channel, lines in curves.items():
        picture, (times, rates) = pyplot.subplots(1, 2, figsize=(11, 4.2), layout='constrained')
        for label, points in lines.items():
            contestant, operation = label.split(' ', 1)
            sizes, seconds = zip(*sorted(points))
            look = {'color': colors[contestant], 'linestyle': styles[operation], 'marker': '.', 'label': label}
            times.plot(sizes, [one * 1e6 for one in seconds], **look)
            if operation in ('put', 'get'):  # the others move no bytes
                rates.plot(sizes, [count / one / 1e6 for count, one in zip(sizes, seconds)], **look)
        times.set(ylabel='µs a call')
        rates.set(ylabel='MB/s')
        for axes in (times, rates):
            axes.set(xlabel='size of the object in bytes', xscale='log', yscale='log')
            axes.grid(alpha=0.3)
        times.legend(fontsize='small')
        picture.suptitle(f'{channel}: medians, both axes logarithmic')
        path = directory / f'{"".join(c if c.isalnum() else "-" for c in channel.lower())}.svg'
        picture.savefig(path, metadata={'Date': None})
        pyplot.close(picture)
        written.append(path)
    return written

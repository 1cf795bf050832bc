"""What a person sees of measurements: how far they are, and tables of what came out."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from dsr1.hosts.protocol.jobs.messages import JobProgress
from dsr1.launcher.benchmark.comparing import LEAST, Comparison, Measurements
from dsr1.launcher.benchmark.point import METRICS, BenchPoint
from dsr1.launcher.benchmark.table import HEADS, head_line, point_cells
from dsr1.launcher.cli.views.columns import render_columns
from dsr1.launcher.cli.views.console import make_console

EVERY_S = 10.0
OnPoint = Callable[[str, JobProgress], None]


@contextmanager
def progress_view() -> Iterator[OnPoint]:
    """To stderr, as the verb may print JSON: a bar on a terminal, else a line now and then."""
    console = make_console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield _lines({})
        return
    text = TextColumn("{task.description}", markup=False)
    columns = (text, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bars:
        task = bars.add_task("", total=None)
        yield lambda name, now: bars.update(
            task, description=name, completed=now.done, total=now.total or None
        )


def _lines(begun: dict[str, tuple[float, float]]) -> OnPoint:
    """By point, when its first request was over, and when it was last told."""

    def show(name: str, now: JobProgress) -> None:
        at = time.monotonic()
        first, told = begun.setdefault(name, (at, at))
        if not now.done:
            begun[name] = (at, told)
        if at - told >= EVERY_S:
            begun[name] = (begun[name][0], at)
            print(render_progress(name, now, at - first), file=sys.stderr, flush=True)

    return show


def render_progress(name: str, now: JobProgress, seconds: float) -> str:
    """`seconds`: since the first request was sent."""
    if not now.done:
        return f"{name}: the driver starts"
    left = seconds / now.done * (now.total - now.done)
    return f"{name}: {now.done} of {now.total} requests, about {left:.0f} s left"


def points_text(name: str, points: Sequence[BenchPoint]) -> str:
    """A row a point; times in ms."""
    notes = dict.fromkeys(note for point in points for note in point.notes)
    rows = [HEADS, *(point_cells(point) for point in points)]
    table = render_columns(rows)
    return "\n".join((f"{name}: {head_line(points[0])}", table, *(f"note: {n}" for n in notes)))


def comparison_text(names: tuple[str, str], rows: Sequence[Comparison]) -> str:
    """The ratio is the second's by the first's."""
    parts = []
    for load in dict.fromkeys(row.load for row in rows):
        own = [_compared(row) for row in rows if row.load == load]
        parts.append(f"{load}\n{render_columns([('', *names, 'ratio', ''), *own])}")
    return "\n".join(parts)


def _compared(row: Comparison) -> tuple[str, ...]:
    ratio = "-" if row.ratio is None else f"{row.ratio:.3f}"
    name = METRICS[row.metric][0]
    return name, _measured(row.one), _measured(row.other), ratio, verdict(row)


def _measured(one: Measurements) -> str:
    if one.count == 1:
        return f"{one.median:.4g}"
    return f"{one.median:.4g} ({one.least:.4g} to {one.most:.4g})"


def verdict(row: Comparison) -> str:
    """What the spread allows to say."""
    if row.apart is None or row.ratio is None:
        return f"measured fewer than {LEAST} times: no spread"
    if not row.apart:
        return "no difference beyond the spread"
    return "better" if (row.ratio > 1) == (row.better == "more") else "worse"

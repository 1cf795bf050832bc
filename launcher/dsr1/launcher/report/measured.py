"""What `dsr1 bench` has measured of a run, for its report."""

from dsr1.hosts.dataclass import dataclass
from dsr1.launcher.benchmark.store import BenchResult, read_results
from dsr1.launcher.benchmark.table import head_line, point_cells
from dsr1.launcher.run.store import Run

MOST_RESULTS = 20


@dataclass(frozen=True, slots=True)
class MeasuredTable:
    """One result: what was sent, from where, a row a load, and what makes a number mean something
    else. `loads`: by load, the tokens a second."""

    name: str
    head: str
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]
    loads: dict[str, str]


def measured_tables(run: Run) -> tuple[MeasuredTable, ...]:
    """The newest first."""
    results = [one for one in read_results(run) if one.points]
    return tuple(_table(one) for one in results[: -MOST_RESULTS - 1 : -1])


def _table(result: BenchResult) -> MeasuredTable:
    points = result.points
    return MeasuredTable(
        result.name,
        f"{head_line(points[0])}, {points[0].at}",
        tuple(map(point_cells, points)),
        tuple(dict.fromkeys(note for point in points for note in point.notes)),
        {
            f"{point.driver}, {point.workload.words}": f"{point.output_tokens_s:.1f}"
            for point in points
            if not result.label
        },
    )

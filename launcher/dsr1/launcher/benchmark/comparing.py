"""Two deployments under the same loads, beside each other. Pure."""

import statistics
from collections.abc import Iterable, Iterator, Sequence

from dsr1.hosts.dataclass import dataclass
from dsr1.launcher.benchmark.point import METRICS, BenchPoint, metric_of

LEAST = 3
LoadKey = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Measurements:
    """One metric of one deployment, measured `count` times under one load."""

    count: int
    median: float
    least: float
    most: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """`ratio`: of the medians, the second by the first. `apart`: the two ranges don't overlap;
    None: one of them was measured fewer than LEAST times, which shows no spread."""

    load: str
    metric: str
    better: str
    one: Measurements
    other: Measurements
    ratio: float | None
    apart: bool | None


@dataclass(frozen=True, slots=True)
class ComparisonAnswer:
    """Of two deployments, by name."""

    one: str
    other: str
    rows: tuple[Comparison, ...]


def compare_points(
    one: Sequence[BenchPoint], other: Sequence[BenchPoint]
) -> tuple[Comparison, ...]:
    """Of loads that both have seen, from the same driver; whatever their seed."""
    first, second = _by_load(one), _by_load(other)
    return tuple(
        row for key, points in first.items() if key in second for row in _rows(points, second[key])
    )


def _by_load(points: Iterable[BenchPoint]) -> dict[LoadKey, list[BenchPoint]]:
    found: dict[LoadKey, list[BenchPoint]] = {}
    for point in points:
        found.setdefault(load_key(point), []).append(point)
    return found


def load_key(point: BenchPoint) -> LoadKey:
    load = point.workload
    return (point.driver, load.isl, load.osl, load.concurrency, load.rate, load.file.split("/")[-1])


def _rows(one: Sequence[BenchPoint], other: Sequence[BenchPoint]) -> Iterator[Comparison]:
    load = f"{one[0].workload.words} ({one[0].driver})"
    for name, (_, better) in METRICS.items():
        first, second = _measured(one, name), _measured(other, name)
        if first is None or second is None:
            continue
        ratio = second.median / first.median if first.median else None
        yield Comparison(load, name, better, first, second, ratio, _apart(first, second))


def _measured(points: Sequence[BenchPoint], name: str) -> Measurements | None:
    values = [value for point in points if (value := metric_of(point, name)) is not None]
    if not values:
        return None
    return Measurements(len(values), statistics.median(values), min(values), max(values))


def _apart(one: Measurements, other: Measurements) -> bool | None:
    if min(one.count, other.count) < LEAST:
        return None
    return one.most < other.least or other.most < one.least

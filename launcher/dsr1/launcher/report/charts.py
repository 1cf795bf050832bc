"""Values over time as the points of a drawing. Pure."""

from collections.abc import Callable, Sequence

from dsr1.hosts.dataclass import dataclass
from dsr1.launcher.metrics.loads import DeploymentView
from dsr1.launcher.metrics.rates import Value, most
from dsr1.launcher.metrics.samples import Snapshot
from dsr1.launcher.metrics.view import make_view
from dsr1.launcher.metrics.words import show_time

WIDTH, HEIGHT = 360, 90
"""Of a drawing, in its own units."""


@dataclass(frozen=True, slots=True)
class Line:
    """`parts`: points, apart where nothing is known."""

    name: str
    parts: tuple[str, ...]
    last: Value


@dataclass(frozen=True, slots=True)
class Chart:
    """`highest`: of the scale, which begins at 0."""

    title: str
    unit: str
    highest: float
    lines: tuple[Line, ...]
    begin: str
    end: str


Named = Sequence[tuple[str, Sequence[Value]]]
OfView = Callable[[DeploymentView], Value]


def _highest(field: str) -> OfView:
    """Of all hosts that tell it."""

    def of(view: DeploymentView) -> Value:
        return most(getattr(row, field) for row in view.hosts)

    return of


CHARTS: tuple[tuple[str, str, tuple[tuple[str, OfView], ...]], ...] = (
    (
        "Tokens a second",
        "",
        (("out", lambda v: v.service.tokens_out), ("in", lambda v: v.service.tokens_in)),
    ),
    (
        "Requests",
        "",
        (("running", lambda v: v.load.running), ("waiting for room", lambda v: v.load.waiting)),
    ),
    ("KV cache, the fullest rank", "", (("share", lambda v: v.load.kv_usage),)),
    (
        "Time to the first token",
        "s",
        (("p50", lambda v: v.service.ttft_p50), ("p95", lambda v: v.service.ttft_p95)),
    ),
    (
        "Time between tokens",
        "s",
        (("p50", lambda v: v.service.itl_p50), ("p95", lambda v: v.service.itl_p95)),
    ),
    ("GPU memory, the fullest", "", (("share", _highest("memory_usage")),)),
    ("Power of a host's GPUs, the highest", "W", (("power", _highest("power_w")),)),
    ("GPU temperature, the hottest", "°C", (("temperature", _highest("temperature_c")),)),
)


def make_charts(snapshots: Sequence[Snapshot]) -> tuple[Chart, ...]:
    """What a run did over its life; none of less than two snapshots."""
    if len(snapshots) < 2:
        return ()
    views = [make_view(snapshots[max(0, n - 8) : n + 1]) for n in range(len(snapshots))]
    times = [one.time for one in snapshots]
    made = (
        _chart(title, unit, times, [(name, [of(view) for view in views]) for name, of in lines])
        for title, unit, lines in CHARTS
    )
    return tuple(chart for chart in made if chart.lines)


def _chart(title: str, unit: str, times: Sequence[float], named: Named) -> Chart:
    known = [(name, values) for name, values in named if any(v is not None for v in values)]
    highest = max((v for _, values in known for v in values if v is not None), default=0.0) or 1.0
    lines = tuple(
        Line(name, tuple(_parts(times, values, highest)), values[-1]) for name, values in known
    )
    return Chart(title, unit, highest, lines, show_time(times[0]), show_time(times[-1]))


def _parts(times: Sequence[float], values: Sequence[Value], highest: float) -> list[str]:
    """Runs of values that are known, as SVG's polyline has them."""
    span = max(times[-1] - times[0], 1e-9)
    parts: list[list[str]] = [[]]
    for moment, value in zip(times, values, strict=True):
        if value is None:
            parts.append([])
            continue
        x = min(1.0, max(0.0, (moment - times[0]) / span)) * WIDTH
        parts[-1].append(f"{x:.1f},{HEIGHT * (1 - value / highest):.1f}")
    return [" ".join(part) for part in parts if part]

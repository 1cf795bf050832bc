"""Numbers that no server means, and names that are markup, on every way from a page to a person."""

import json
from dataclasses import asdict, fields, replace
from pathlib import Path
from random import Random

import pytest
from tests.fleet import fleet_plan, fleet_snapshot

from dsr1.launcher.cli.views.top import TopFrame, top_lines
from dsr1.launcher.health.page import parse_page
from dsr1.launcher.metrics.samples import FrontendSample, Histogram, Snapshot
from dsr1.launcher.metrics.store import MetricsReader, add_snapshot
from dsr1.launcher.metrics.view import make_view
from dsr1.launcher.report.charts import make_charts

NUMBERS = (None, 0.0, -1.0, 1e19, -1.8e19, 5e-324, 0.1)
NAMES = ("engine", "rank", "host", "process", "role", "ttft", "itl")
HOSTILE = "</td><script>\x1b]0;x\x07\x1b[31m\u202e\n{{ 7 * 7 }}"
PLAN = fleet_plan()


def spoilt(snapshot: Snapshot, random: Random) -> Snapshot:
    def numbers(sample: object) -> dict[str, float | None]:
        names = (one.name for one in fields(sample) if one.name not in NAMES)  # type: ignore[arg-type]
        return {name: random.choice(NUMBERS) for name in names}

    def histogram(count: int) -> Histogram:
        return Histogram(
            (0.1, -5.0, 1e19), tuple(random.choice(NUMBERS) or 0 for _ in range(count))
        )

    def frontend(one: FrontendSample) -> FrontendSample:
        own = replace(one, **numbers(one))  # type: ignore[arg-type]
        return replace(own, ttft=histogram(4), itl=histogram(random.randrange(1, 6)))

    return replace(
        snapshot,
        ranks=tuple(replace(one, **numbers(one)) for one in snapshot.ranks),  # type: ignore[arg-type]
        frontends=tuple(frontend(one) for one in snapshot.frontends),
        gpus=tuple(
            replace(one, gpu=HOSTILE, gauges=replace(one.gauges, **numbers(one.gauges)))
            for one in snapshot.gpus
        ),
    )


@pytest.mark.parametrize("seed", range(6))
def test_whatever_is_told_can_be_kept_and_shown(seed: int, tmp_path: Path) -> None:
    random = Random(seed)
    for look in range(4):
        add_snapshot(tmp_path, spoilt(fleet_snapshot(PLAN, look), random))
    kept = [one for _, one in MetricsReader(tmp_path).since()]
    assert len(kept) == 4
    view = make_view(kept)
    lines = [line.plain for line in top_lines(TopFrame("r", "ready", 1.0), view, 29)]
    assert not any(mark in line for line in lines for mark in "\x1b\x07\u202e\n")
    json.dumps(asdict(view), allow_nan=False)
    assert make_charts(kept)


@pytest.mark.parametrize(
    "value", ["NaN", "+Inf", "-Inf", "1e400", "1e300", "-1e300", "9" * 400, "0x10", "1_0", "\u0661"]
)
def test_a_value_that_nothing_counts_costs_its_line(value: str) -> None:
    """One above what is kept would have cost the whole snapshot, read back."""
    lines = parse_page(f'a{{b="c"}} 1\nbad {value}\nd 2.5 1700000000\n')
    assert {one.name: one.value for one in lines if one.name != "bad"} == {"a": 1.0, "d": 2.5}
    assert all(abs(one.value) < 1e6 for one in lines)

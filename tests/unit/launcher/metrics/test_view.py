"""Rates, latencies and balance of what was read, and the worst first."""

from dataclasses import replace

import pytest
from tests.fleet import AILING, fleet_plan, fleet_snapshot

from dsr1.launcher.metrics.loads import DeploymentView
from dsr1.launcher.metrics.rates import Growth, grown, quantile, window
from dsr1.launcher.metrics.samples import FrontendSample, Histogram, RankSample, Snapshot
from dsr1.launcher.metrics.view import make_view, slowing

PLAN = fleet_plan()
LOOKS = [fleet_snapshot(PLAN, look) for look in range(6)]


@pytest.fixture
def view() -> DeploymentView:
    return make_view(LOOKS, (AILING,))


def test_the_whole(view: DeploymentView) -> None:
    one = view.service
    assert (one.tokens_out, one.tokens_in, one.out_per_gpu) == (12_800, 128_000, 100)
    assert one.ttft_p50 == 0.1
    assert one.ttft_p95 == pytest.approx(0.91)
    assert one.out_per_user == pytest.approx(1 / 0.055)
    assert (one.requests, one.failed) == (5, 0)
    assert one.prefill_load == 13.5
    assert one.decode_load == pytest.approx(13.5 + 32 / 96)
    assert view.load.nixl_bytes == 12.8e9
    assert view.load.waiting == 32


def test_the_worst_come_first(view: DeploymentView) -> None:
    assert [row.host for row in view.hosts[:4]] == ["node05", "node02", "node03", "node07"]
    lost, unwell, hot = view.hosts[:3]
    assert (lost.heard, unwell.unwell, hot.throttled) == (False, 1, ("temperature (hardware)",))
    assert [(row.engine, row.unwell) for row in view.engines] == [("decode", 1), ("prefill", 0)]


def test_one_host_or_engine_alone() -> None:
    host = make_view(LOOKS, (), host="node01")
    assert [row.host for row in host.hosts] == ["node01"]
    assert (host.load.running, host.load.tokens_out) == (108, 800)
    engine = make_view(LOOKS, (), engine="prefill")
    assert [row.engine for row in engine.engines] == ["prefill"]
    assert engine.load.tokens_out == 3200


def test_a_single_snapshot_has_no_rates() -> None:
    view = make_view(LOOKS[:1])
    assert (view.service.tokens_out, view.load.running) == (None, 1728)
    assert view.trend.tokens_out == (None,)


def test_the_trend_has_a_value_for_each_snapshot(view: DeploymentView) -> None:
    assert view.trend.tokens_out == (None, *[12_800.0] * 5)
    assert view.trend.waiting == (32.0,) * 6


def test_a_counter_that_began_anew_counts_from_there() -> None:
    assert (grown(5.0, 3.0), grown(2.0, 3.0), grown(None, 3.0), grown(2.0, None)) == (2, 2, None, 2)


def test_who_is_new_has_no_rate_yet() -> None:
    before, after = Snapshot(0, 0), Snapshot(10, 10, (RankSample("a", 0, "n", "a-0", running=1.0),))
    assert Growth(before, after).of_ranks(after.ranks, "running") is None


def test_another_clock_is_no_time() -> None:
    """The machine of the supervisor was started anew."""
    assert window([Snapshot(1, 900.0), Snapshot(2, 5.0)], 60) is None
    assert window([Snapshot(1, 5.0), Snapshot(2, 5.0)], 60) is None


@pytest.mark.parametrize(
    ("counts", "part", "value"),
    [
        ((0.0, 5.0, 10.0, 10.0), 0.5, 0.1),
        ((10.0, 10.0, 10.0, 10.0), 0.5, 0.005),
        ((0.0, 0.0, 0.0, 4.0), 0.5, 1.0),
        ((0.0, 0.0, 0.0, 0.0), 0.5, None),
    ],
)
def test_quantiles_as_prometheus_has_them(
    counts: tuple[float, ...], part: float, value: float | None
) -> None:
    assert quantile(Histogram((0.01, 0.1, 1.0), counts), part) == value


def test_frontends_of_other_buckets_are_left_out() -> None:
    def server(name: str, bounds: tuple[float, ...], count: float) -> FrontendSample:
        return FrontendSample(name, "n", ttft=Histogram(bounds, (count,) * (len(bounds) + 1)))

    before = Snapshot(0, 0, frontends=(server("a", (1.0,), 1), server("b", (2.0, 3.0), 1)))
    after = Snapshot(9, 9, frontends=(server("a", (1.0,), 3), server("b", (2.0, 3.0), 9)))
    found = Growth(before, after).histogram(after.frontends, lambda one: one.ttft)
    assert found == Histogram((1.0,), (2.0, 2.0))


def test_nothing_at_all_is_a_view() -> None:
    view = make_view([Snapshot(0, 0), Snapshot(10, 10)])
    assert (view.hosts, view.engines, view.service.tokens_out) == ((), (), None)
    assert make_view([replace(LOOKS[0], ranks=())]).load.imbalance is None


def test_what_slows_a_gpu_down() -> None:
    assert slowing(None) == slowing(1.0) == ()
    assert slowing(float(0x24)) == ("power cap", "temperature")


def with_link_errors(look: int, nvlink: float | None, port: float) -> Snapshot:
    snapshot = fleet_snapshot(PLAN, look)
    gpus = [
        replace(one, gauges=replace(one.gauges, nvlink_errors=nvlink)) for one in snapshot.gpus[:2]
    ]
    ports = [
        replace(one, counters=replace(one.counters, errors=port)) for one in snapshot.ports[:1]
    ]
    return replace(snapshot, gpus=tuple(gpus), ports=tuple(ports))


@pytest.mark.parametrize(
    ("counted", "shown"),
    [
        ([(23141, 7)], None),  # since boot: says nothing of the run
        ([(23141, 7), (23141, 7)], 0),
        ([(23141, 7), (23142, 7), (23142, 10)], 2 + 3),  # two GPUs and a port
        ([(23141, 7), (3, 7)], 6),  # the driver was loaded anew
        ([(None, 7), (23141, 7)], 0),  # who is new counts from its next reading
        ([(23141, 7), (None, 7)], 0),
    ],
)
def test_link_errors_are_those_since_the_first_reading(
    counted: list[tuple[float | None, float]], shown: float | None
) -> None:
    looks = [with_link_errors(look, *pair) for look, pair in enumerate(counted)]
    assert next(row for row in make_view(looks).hosts if row.gpus).link_errors == shown

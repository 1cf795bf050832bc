"""Who measures with whom, what is made of what was measured, and how it is shown."""

import itertools
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from dsr1.hosts.agent.network.fabric_rank import rounds, wait_for
from dsr1.hosts.errors import HostError
from dsr1.hosts.inventory.access import Access
from dsr1.hosts.inventory.host import Host
from dsr1.hosts.protocol.jobs.orders import FabricResult, RankReport
from dsr1.hosts.transport.jobs import JobResults
from dsr1.launcher.plan.plan import make_plan
from dsr1.launcher.preflight.fabric_report import (
    FabricReport,
    LinkMeasurement,
    better,
    doubtful_pairs,
    judge_fabric,
    read_links,
    render_matrix,
)
from dsr1.launcher.preflight.fabric_test import make_orders, measure_fabric
from dsr1.launcher.preflight.survey_result import Survey, named_host
from dsr1.launcher.recipe.load import load_recipe

HOSTS = ["a", "b", "c", "d"]


@pytest.mark.parametrize("count", [2, 3, 4, 7, 64])
def test_every_pair_has_its_turn_once_and_no_host_two_at_a_time(count: int) -> None:
    made = [*rounds(list(range(count)))]
    assert len(made) == count - 1 + count % 2
    assert sorted(tuple(sorted(pair)) for pairs in made for pair in pairs) == [
        *itertools.combinations(range(count), 2)
    ]
    assert all(len({host for pair in pairs for host in pair}) == 2 * len(pairs) for pairs in made)


def test_what_comes_late_is_an_error_and_what_comes_is_waited_for() -> None:
    looks = iter([False, False, True])
    wait_for(lambda: next(looks), 10)
    with pytest.raises(RuntimeError, match="nothing came through in 0 s"):
        wait_for(lambda: False, 0)


def test_one_host_has_nobody_to_measure_with() -> None:
    assert [pairs for pairs in rounds([3]) if pairs] == []


def told(host: int, **changed: Mapping[str, Any]) -> FabricResult:
    """10 Gb/s to everybody, or what the test says of a way."""
    usual = {n: RankReport(0, n, us=50.0, gbps=10.0) for n in range(4) if n != host}
    reports = (replace(usual[n], **changed.get(f"to{n}", {})) for n in usual)
    return FabricResult(tuple(reports))


def fabric(results: JobResults[FabricResult]) -> FabricReport:
    return FabricReport(tuple(HOSTS), tuple(read_links(HOSTS, results)))


def found(results: JobResults[FabricResult]) -> list[tuple[str, str, str]]:
    return [
        (one.host, one.verdict, one.seen)
        for one in judge_fabric(fabric(results))
        if one.verdict != "PASS"
    ]


def test_equal_ways_pass() -> None:
    results: JobResults[FabricResult] = {host: told(n) for n, host in enumerate(HOSTS)}
    assert [one.verdict for one in judge_fabric(fabric(results))] == ["PASS"] * 4
    assert found(results) == []


def test_a_slow_way_is_named_in_its_direction() -> None:
    results: JobResults[FabricResult] = {
        host: told(n, **({"to2": {"gbps": 1.0}} if n == 1 else {})) for n, host in enumerate(HOSTS)
    }
    assert found(results) == [("b", "FAIL", "to c: 1 Gb/s in 50 us")]
    results["b"] = told(1, to2={"gbps": 4.0})
    assert found(results) == [("b", "WARN", "to c: 4 Gb/s in 50 us")]
    results["b"] = told(1, to2={"us": 20000.0})
    assert found(results) == [("b", "FAIL", "to c: 10 Gb/s in 20000 us")]


def test_a_host_that_is_slow_to_most_is_named_once() -> None:
    slow = {f"to{n}": {"gbps": 1.0} for n in range(4)}
    results: JobResults[FabricResult] = {
        host: told(n, **slow) if n == 3 else told(n) for n, host in enumerate(HOSTS)
    }
    assert found(results) == [
        (
            "d",
            "FAIL",
            (
                "slow to most hosts: sends 1 Gb/s in 50 us, receives 10 Gb/s in 50 us; slowest to"
                " a: 1 Gb/s in 50 us"
            ),
        )
    ]


def test_a_way_that_is_worse_than_a_slow_host_is_named_too() -> None:
    slow = {f"to{n}": {"gbps": 1.0} for n in range(4)}
    results: JobResults[FabricResult] = {
        host: told(n, **slow) if n == 3 else told(n) for n, host in enumerate(HOSTS)
    }
    results["b"] = told(1, to3={"gbps": 0.01})
    assert [row[:2] for row in found(results)] == [("b", "FAIL"), ("d", "FAIL")]


def test_what_is_doubtful_is_measured_again_and_the_better_counts() -> None:
    results: JobResults[FabricResult] = {host: told(n) for n, host in enumerate(HOSTS)}
    assert doubtful_pairs(fabric(results)) == []
    results["c"] = told(2, to1={"gbps": 1.0})
    others = told(0).reports[:2]
    results["a"] = FabricResult((RankReport(0, 3, error="shut"), *others))
    first = fabric(results)
    assert doubtful_pairs(first) == [(0, 3), (1, 2)]
    reports = {"c": (RankReport(0, 1, 60.0, 9.0),), "a": (RankReport(0, 3, 1, 8),)}
    again = fabric({host: FabricResult(reports.get(host, ())) for host in HOSTS})
    ways = {(way.sender, way.receiver): (way.gbps, way.us) for way in better(first, again).ways}
    assert (ways["c", "b"], ways["a", "d"], ways["a", "b"]) == ((9.0, 50.0), (8, 1), (10.0, 50.0))
    assert better(first, FabricReport(first.hosts, ())) == first


def test_a_host_that_was_lost_and_a_pair_that_could_not_meet() -> None:
    results: JobResults[FabricResult] = {host: told(n) for n, host in enumerate(HOSTS)}
    results["d"] = HostError("d: lost during its job")
    shut = RankReport(0, 1, error="connect timed out; <b>'")
    results["a"] = FabricResult((shut, *told(0).reports[1:]))
    results["b"] = FabricResult(told(1).reports[1:])
    ways = {(way.sender, way.receiver): way.problem for way in fabric(results).ways}
    assert (ways["a", "b"], ways["b", "a"]) == (shut.error, shut.error)
    assert ways["d", "a"] == "d: lost during its job"
    assert [row[:2] for row in found(results)] == [("a", "FAIL"), ("b", "FAIL"), ("d", "FAIL")]


def test_nothing_measured_at_all_is_no_pass() -> None:
    results: JobResults[FabricResult] = {
        host: FabricResult((RankReport(0, problem="no torch"),)) for host in HOSTS
    }
    assert {
        (verdict, "6 ways failed: a: no torch" in seen) for _, verdict, seen in found(results)
    } == {("FAIL", True)}


def test_the_devices_of_a_host_go_together() -> None:
    both = tuple(RankReport(n, 1, 5.0 + n, 3.0) for n in (0, 1))
    way, *_ = read_links(["a", "b"], {"a": FabricResult(both), "b": FabricResult(())})
    assert way == LinkMeasurement("a", "b", 6.0, 6.0)


def test_one_host_is_skipped() -> None:
    assert [one.verdict for one in judge_fabric(FabricReport(("a",), ()))] == ["SKIP"]


def test_a_host_that_no_peer_can_reach_is_not_passed_over() -> None:
    """Of an address that is on none of its interfaces; nothing at all was said of it."""
    accesses = (Access("a", "a"), Access("b", "b", control_address="10.0.0.9"))
    hosts = (Host("a", "10.0.0.1", "eth0", 8), named_host(accesses[1]))
    survey = Survey(hosts, (), accesses, {"a": {}, "b": {}})
    lost, alone = judge_fabric(measure_fabric(load_recipe("dsr1-dep"), survey))
    assert (lost.host, lost.verdict) == ("b", "UNKNOWN")
    assert "10.0.0.9" in lost.seen
    assert (alone.host, alone.verdict) == ("a", "SKIP")


def test_the_table_shows_all_of_few_and_the_slowest_of_many() -> None:
    results: JobResults[FabricResult] = {host: told(n) for n, host in enumerate(HOSTS)}
    rows = render_matrix(fabric(results)).splitlines()
    assert [row.split() for row in rows[:2]] == [
        ["Gb/s", "a", "b", "c", "d"],
        ["a", "-", "10", "10", "10"],
    ]
    names = [f"n{n}" for n in range(40)]
    speeds = {name: 1.0 if name == "n39" else 9.0 for name in names}
    many = FabricReport(
        tuple(names),
        tuple(LinkMeasurement(a, b, speeds[a], 5) for a in names for b in names if a != b),
    )
    shown = render_matrix(many).splitlines()
    assert len(shown) == 18
    assert shown[-1] == "and 24 faster hosts"
    assert "n39" in shown[0]


def test_orders_carry_what_the_workers_talk_with() -> None:
    hosts = [Host("a", "10.0.0.1", "ens3"), Host("b", "10.0.0.2", "ens7")]
    recipe = load_recipe("dsr1-dep", ["engines.main.env={NCCL_DEBUG: INFO}"])
    orders = make_orders(recipe, make_plan(recipe, hosts, "r", "/f"), hosts)
    assert (orders["a"].device, orders["a"].local_ranks, orders["b"].host) == ("cuda", 8, 1)
    assert (orders["b"].env["GLOO_SOCKET_IFNAME"], orders["b"].env["NCCL_DEBUG"]) == (
        "ens7",
        "INFO",
    )
    assert orders["b"].address == "10.0.0.1"
    mocked = load_recipe("dsr1-dep", ["stack=mocker", "engines.main.args={}"])
    assert make_orders(mocked, make_plan(mocked, hosts, "r", "/f"), hosts)["a"].local_ranks == 1

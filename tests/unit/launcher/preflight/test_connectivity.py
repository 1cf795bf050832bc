"""Who tries whom, and what is made of the answers."""

from dataclasses import asdict

import pytest

from dsr1.hosts.errors import HostError
from dsr1.hosts.inventory.host import Host
from dsr1.hosts.protocol.facts.fact import Fact, Facts
from dsr1.hosts.protocol.reach import ReachAnswer, ReachResult
from dsr1.launcher.plan.plan import make_plan
from dsr1.launcher.preflight.connectivity import CHECK, judge_connectivity, make_reach_questions
from dsr1.launcher.recipe.load import load_recipe

HOSTS = [Host(name, f"10.0.0.{number}", "eth0") for number, name in enumerate("abc", 1)]
FINE = ReachAnswer((ReachResult("a"),))


def told(**answers: ReachAnswer | HostError | None) -> dict[str, Facts | HostError]:
    def of(answer: ReachAnswer | HostError | None) -> Facts | HostError:
        if isinstance(answer, ReachAnswer):
            return {CHECK: Fact(asdict(answer), "tried")}
        return {CHECK: Fact(None, "tried", "gone; b'y")} if answer is None else answer

    return {host: of(answer) for host, answer in answers.items()}


def found(**answers: ReachAnswer | HostError | None) -> list[tuple[str, str, str]]:
    return [
        (finding.host, finding.verdict, finding.seen)
        for finding in judge_connectivity(HOSTS, told(**answers))
    ]


def test_the_leader_tries_all_and_all_try_the_leader_on_ports_of_the_plan() -> None:
    plan = make_plan(load_recipe("dsr1-dep"), HOSTS, "r", "/f")
    questions = make_reach_questions(plan, HOSTS)
    assert [peer.name for peer in questions["a"].peers] == ["b", "c"]
    assert [peer.name for peer in questions["c"].peers] == ["a"]
    bound = {
        host.host: {port for process in host.processes for port in process.ports}
        for host in plan.hosts
    }
    assert all(question.own.port in bound[host] for host, question in questions.items())


def test_a_host_whose_address_is_not_known_is_left_out_and_without_a_leader_nobody_is_tried() -> (
    None
):
    plan = make_plan(load_recipe("dsr1-dep"), HOSTS, "r", "/f")
    assert list(make_reach_questions(plan, [*HOSTS[:2], Host("c", "c")])) == ["a", "b"]
    assert make_reach_questions(plan, [Host("a", "a"), *HOSTS[1:]]) == {}


def test_each_direction_that_is_shut_is_told_of_its_host() -> None:
    leader = ReachAnswer((ReachResult("b", "no answer in 3 s"), ReachResult("c")))
    shut = ReachAnswer((ReachResult("a", "Connection refused"),))
    assert found(a=leader, b=FINE, c=shut) == [
        ("b", "FAIL", "is not reached by a: no answer in 3 s"),
        ("c", "FAIL", "does not reach a (10.0.0.1): Connection refused"),
    ]


def test_both_ways_is_a_pass() -> None:
    assert found(a=ReachAnswer((ReachResult("b"), ReachResult("c"))), b=FINE, c=FINE)[0] == (
        "b",
        "PASS",
        "both ways",
    )


@pytest.mark.parametrize("answer", [None, ReachAnswer(problem="port 1: in use")])
def test_what_could_not_be_tried_is_unknown(answer: ReachAnswer | None) -> None:
    rows = found(
        a=ReachAnswer((ReachResult("b"), ReachResult("c"))), b=answer, c=HostError("c: gone")
    )
    assert [row[:2] for row in rows] == [("b", "UNKNOWN")]
    assert rows[0][2] in ("gone; b'y", "port 1: in use")

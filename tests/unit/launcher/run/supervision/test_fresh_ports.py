"""A launch whose ports were taken meanwhile: which failures are that, and what is begun then."""

from dataclasses import replace

import pytest
from tests.unit.launcher.run.supervision.test_supervisor import Scripted, Talk, run

from dsr1.hosts.errors import CheckFailed
from dsr1.hosts.protocol.events import Event, Exited, Finding, Prepared
from dsr1.hosts.transport.base import AgentLink
from dsr1.launcher.plan.plan import Plan
from dsr1.launcher.run.state import RunState
from dsr1.launcher.run.store import Run
from dsr1.launcher.run.supervision.fresh_ports import (
    PortsTaken,
    lost_to_ports,
    refusal,
    with_fresh_ports,
)
from dsr1.launcher.run.supervision.supervisor import Supervisor
from dsr1.launcher.triage.judge import Cause
from dsr1.launcher.triage.signs import Sign

__all__ = ["run"]  # the fixture
TAKEN = "port 20004 is held by pid 7 (nginx)"


def finding(seen: str, port: int = 20004, check: str = "run.ports") -> Finding:
    return Finding("localhost", check, "FAIL", seen, f"port {port} for this run alone", "")


@pytest.mark.parametrize(
    ("failed", "kind"),
    [
        ([finding(TAKEN)], PortsTaken),
        ([finding("port 20004 is reserved by run other")], PortsTaken),
        ([finding("port 1024 is held by pid 7", 1024)], CheckFailed),  # the frontend's
        ([finding(TAKEN), finding("2 MiB free", check="run.room")], CheckFailed),
        ([finding("port 20004 may not be bound: denied")], CheckFailed),
        ([finding("10.0.0.9 port 20004 cannot be bound: no such address")], CheckFailed),
    ],
)
def test_only_ports_of_dsr1s_own_choice(run: Run, failed: list[Finding], kind: type) -> None:
    assert type(refusal(failed, run.recipe())) is kind


@pytest.mark.parametrize(
    ("process", "rule", "text", "ready_after", "lost"),
    [
        ("main-0", "net.port_taken", "EADDRINUSE port: 20050", None, True),
        ("main-1", "net.port_in_use", "tcp://10.0.0.5:20051", None, True),
        ("main-0", "net.port_in_use", "('127.0.0.1', 1024)", None, False),
        ("frontend", "net.port_in_use", "Address already in use", None, False),
        ("main-0", "cuda.oom", "out of memory", None, False),
        ("main-0", "net.port_taken", "EADDRINUSE port: 20050", 3.0, False),
    ],
)
def test_a_rank_that_wanted_a_taken_port(
    run: Run, process: str, rule: str, text: str, ready_after: float | None, lost: bool
) -> None:
    sign = Sign(1, None, "localhost", process, "a port was taken", rule=rule, text=text)
    state = RunState("starting", 0.0, ready_after=ready_after, cause=Cause(sign, certain=True))
    assert lost_to_ports(state, run.plan()) is lost
    assert not lost_to_ports(replace(state, cause=None), run.plan())


def ports_of(plan: Plan) -> set[int]:
    return {port for process in plan.processes for port in process.ports}


def test_no_port_is_the_same_but_the_frontends(run: Run) -> None:
    before, claimed = run.plan(), run.claimed_at()
    after = with_fresh_ports(before, run, run.settings())
    assert ports_of(before) & ports_of(after) == {1024}
    assert len(ports_of(before)) == len(ports_of(after))
    base = run.recipe().ports.base
    assert base == min(ports_of(after) - {1024}) - 3  # etcd's two, and the leader's rendezvous
    assert run.claimed_at() == claimed
    again = with_fresh_ports(after, run, run.settings())
    assert ports_of(again) & ports_of(after) == {1024}


@pytest.mark.parametrize("base", [1100, 32700])
def test_near_an_end_of_the_range_the_other_way_is_taken(run: Run, base: int) -> None:
    recipe = run.recipe().model_copy(
        update={"ports": run.recipe().ports.model_copy(update={"base": base})}
    )
    run.write_kept("recipe.json", recipe.model_dump_json())
    first = with_fresh_ports(run.plan(), run, run.settings())
    assert all(1024 <= port < 32768 for port in ports_of(first))


class Attempts(Scripted):
    """Each attempt is told something else."""

    def __init__(self, run: Run, *told: tuple[Event, ...]) -> None:
        super().__init__(iter(()))
        self._run, self._attempts = run, [iter(events) for events in told]

    def attach(self, host: str, since: int) -> AgentLink:
        return Talk(host, self._attempts[self._run.state().restarts])


def test_it_is_begun_once_more_with_others_and_says_why(run: Run) -> None:
    run.save_settings(replace(run.settings(), backoff_s=0.0))
    before = run.plan()
    taken = (Prepared((finding(TAKEN),)),)
    Supervisor(
        run, Attempts(run, taken, (Prepared(()), Exited("main-0", 1, False, ())))
    ).supervise()
    state = run.state()
    assert (state.phase, state.exit_code, state.restarts) == ("failed", 4, 1)
    assert state.notes[0].startswith("started once more, with other ports: ")
    assert TAKEN in state.notes[0]
    assert "main-0 ended" in state.reason
    assert ports_of(before) & ports_of(run.plan()) == {1024}


def test_twice_taken_is_a_host_that_is_not_fit(run: Run) -> None:
    """Another launch had the one port, was gone, and came back for the frontend's: nothing of this
    one was ever started."""
    run.save_settings(replace(run.settings(), backoff_s=0.0))
    taken = (Prepared((finding(TAKEN),)),)
    Supervisor(run, Attempts(run, taken, taken)).supervise()
    state = run.state()
    assert (state.phase, state.exit_code, state.restarts) == ("failed", 3, 1)
    assert TAKEN in state.reason

"""Plans, commands and events survive the way over the wire; what doesn't fit is refused by name."""

import pytest

from dsr1.hosts.protocol.codec import (
    NumberedEvent,
    parse_command,
    parse_event,
    parse_gone,
    parse_plan,
    render_command,
    render_event,
    render_gone,
    render_plan,
)
from dsr1.hosts.protocol.commands import AgentCommand, Prepare, Quiet, Quit, Spawn, Stop, Subscribe
from dsr1.hosts.protocol.events import (
    AgentUp,
    Event,
    Exited,
    Finding,
    Gone,
    Listening,
    MemberDied,
    MemberNamed,
    Prepared,
    Progress,
    Spawned,
)
from dsr1.hosts.protocol.process import HostPlan, PhaseRule, Process, Variable

HOSTILE = ("a b", "';id", "x,y", '{"a": 1}\n', "ü", "\udcff", "")


def test_a_plan() -> None:
    env = tuple(Variable(f"V{place}", value, "test") for place, value in enumerate(HOSTILE))
    process = Process(
        "a", "g", "h", HOSTILE, env, (0, 1), (8000,), (PhaseRule("load", "x"),), 1, 8000, 0.5
    )
    plan = HostPlan("run", "h", "10.0.0.1", (process,), 5)
    assert parse_plan(render_plan(plan)) == plan
    assert render_plan(plan).count(b"\n") == 1


@pytest.mark.parametrize(
    "command",
    [
        Prepare(),
        Spawn(HOSTILE),
        Stop(),
        Stop(()),
        Stop(("a",), 3, 0.5),
        Quiet(),
        Quit(),
        Subscribe(3),
    ],
)
def test_commands(command: AgentCommand) -> None:
    assert parse_command(render_command(command)) == command


@pytest.mark.parametrize(
    "event",
    [
        AgentUp(1, "boot"),
        Prepared((Finding("h", "c", "FAIL", *HOSTILE[:3]),)),
        Spawned("a", 1, 2.5),
        Listening("a"),
        Progress("a", "load", None, 1, 2),
        Exited("a", -9, False, HOSTILE, "why"),
        MemberNamed("a", "Worker_DP1", 7),
        MemberDied("a", "Worker_DP1", 7, None, True),
        Gone(("a",), ("b pid 1 state D",)),
    ],
)
def test_events(event: Event) -> None:
    numbered = NumberedEvent(7, 1.25, "h", event)
    assert parse_event(render_event(numbered)) == numbered


def test_gone() -> None:
    assert parse_gone(render_gone(Gone(("a",)))) == Gone(("a",))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "must be an object"),
        ("{", "Expecting property name"),
        ("{}", "unknown kind None; allowed: Prepare"),
        ('{"command": "Boom"}', "unknown kind 'Boom'; allowed"),
        ('{"command": "Spawn"}', "'processes' is missing"),
        ('{"command": "Spawn", "processes": "a"}', "Spawn.processes: must be a list"),
        ('{"command": "Spawn", "processes": [1]}', r"Spawn.processes\[0\]: must be str, not 1"),
        ('{"command": "Subscribe", "since": true}', "must be int"),
        ('{"command": "Quit", "x": 1}', "unknown key 'x'"),
    ],
)
def test_what_does_not_fit(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_command(text)

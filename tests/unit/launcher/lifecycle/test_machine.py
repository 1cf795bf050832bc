"""Every path of an engine's state machine, walked beside a world that it can't see: hosts where
something of it lives or doesn't, and can be reached or not."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from dsr1.launcher.lifecycle.deployment import EngineUnit, availability, lost_role
from dsr1.launcher.lifecycle.events import (
    Answered,
    Ask,
    Asleep,
    Awake,
    Begin,
    Due,
    End,
    Ended,
    EngineEvent,
    EngineOrder,
    Failed,
    FindHosts,
    HostLost,
    MoveAsked,
    NotAsleep,
    NotEnded,
    NotPlaced,
    Placed,
    PutToSleep,
    RestartAsked,
    SleepAsked,
    Started,
    StartProcesses,
    StopAsked,
    Wait,
    Wake,
    WakeAsked,
)
from dsr1.launcher.lifecycle.machine import resume, step
from dsr1.launcher.lifecycle.state import RESTING, EngineState, RestartPolicy

POLICY = RestartPolicy(1, None, 5.0)
FAULTS = 3
Todo = tuple[str, str, int]
ANSWERS: dict[str, tuple[EngineEvent, ...]] = {
    "ask": (Answered(),),
    "wait": (Due(),),
    "sleep": (Asleep(), NotAsleep("rank 1 can't")),
    "wake": (Awake(), Failed("it can't be woken")),
}


@dataclass(frozen=True, slots=True)
class World:
    """`alive`: hosts where something of the engine lives; `todo`: what was ordered, and will be
    answered; `taken_over`: hosts that the deployment itself has to end."""

    state: EngineState
    alive: frozenset[str] = frozenset()
    down: frozenset[str] = frozenset()
    todo: frozenset[Todo] = frozenset()
    taken_over: frozenset[str] = frozenset()
    faults: int = FAULTS


def told(world: World, event: EngineEvent) -> World:
    """The machine's step, and its orders on their way."""
    state, orders = step(world.state, event, POLICY, 0.0)
    todo = world.todo.union(*(frozenset(_todo(order)) for order in orders))
    return replace(world, state=state, todo=todo)


def _todo(order: EngineOrder) -> Iterator[Todo]:
    match order:
        case End(hosts, number):
            yield from (("end", host, number) for host in hosts)
        case FindHosts(lost):
            yield from (("place", host, 0) for host in lost)
        case StartProcesses():
            yield "start", "", 0
        case Ask():
            yield "ask", "", 0
        case Wait():
            yield "wait", "", 0
        case PutToSleep():
            yield "sleep", "", 0
        case Wake():
            yield "wake", "", 0


def answers(world: World) -> Iterator[World]:
    """What follows without any further fault."""
    for todo in world.todo:
        yield from _answered(replace(world, todo=world.todo - {todo}), *todo)


def _answered(world: World, what: str, host: str, number: int) -> Iterator[World]:
    if what == "start":
        up = frozenset(world.state.hosts) - world.down
        if world.state.phase == "starting":
            assert not up & world.alive, "started where something of it lives"
            yield told(replace(world, alive=world.alive | up), Started())
        else:
            yield world
    elif what in ANSWERS:
        yield from (told(world, answer) for answer in ANSWERS[what])
    elif what == "lost":
        yield told(world, HostLost(host, "dark"))
    elif what == "end" and host not in world.down:
        # the newest order is obeyed last
        alive = world.alive - {host} if number == world.state.number else world.alive
        yield told(replace(world, alive=alive), Ended(host, number))
    elif what == "end":
        yield world
    else:
        yield from _placed(world, host)


def _placed(world: World, host: str) -> Iterator[World]:
    """By the host itself, once it can be asked again, or by the spare, c."""
    if host not in world.down:
        yield told(replace(world, alive=world.alive - {host}), Placed(host, host))
    elif host != "c":
        old = replace(world, taken_over=world.taken_over | {host})
        yield told(old, Placed(host, "c"))
    yield told(world, NotPlaced("no spare"))


def faults(world: World) -> Iterator[World]:
    """What may befall it at any time."""
    if world.faults == 0:
        return
    world = replace(world, faults=world.faults - 1)
    yield told(world, RestartAsked("asked"))
    yield told(world, StopAsked("asked"))
    yield told(world, MoveAsked("a", "asked"))
    yield told(world, SleepAsked("asked"))
    yield told(world, WakeAsked("asked"))
    yield told(world, Begin())
    yield from taken_over(world)
    yield told(world, Ended(world.state.hosts[0], world.state.number - 1))
    for host in sorted(world.alive):
        yield told(replace(world, alive=world.alive - {host}), Failed("died"))
        yield told(world, Failed("hangs"))
    for todo in world.todo:
        if todo[0] == "end":
            rest = replace(world, todo=world.todo - {todo})
            yield told(rest, NotEnded(todo[1], todo[2], "state D"))
    for host in sorted({*world.state.hosts} - world.down):
        gone = replace(world, down=world.down | {host}, todo=world.todo | {("lost", host, 0)})
        yield gone  # cut off: what lives there lives on
        yield replace(gone, alive=gone.alive - {host})
    for host in sorted(world.down):
        yield replace(world, down=world.down - {host})


def taken_over(world: World) -> Iterator[World]:
    """SIGKILL of the supervisor, whatever it had ordered, and another that looks and goes on."""
    seen = world.alive - world.down
    for whole in {False, seen >= {*world.state.hosts}}:
        state, orders = resume(world.state, seen, whole, POLICY)
        todo = frozenset(todo for order in orders for todo in _todo(order))
        after = replace(world, state=state, todo=todo)
        for host in sorted(world.down):
            after = told(after, HostLost(host, "dark"))
        yield after


def explore() -> dict[World, list[World]]:
    first = told(World(EngineState(("a", "b"))), Begin())
    ways: dict[World, list[World]] = {}
    ahead = deque([first])
    while ahead:
        world = ahead.popleft()
        if world not in ways:
            quiet = list(answers(world))
            ways[world] = quiet
            ahead.extend(quiet)
            ahead.extend(faults(world))
    return ways


@pytest.fixture(scope="module")
def ways() -> dict[World, list[World]]:
    return explore()


def is_settled(world: World) -> bool:
    return world.state.phase in (*RESTING, "serving", "asleep")


def test_what_lives_has_an_owner(ways: dict[World, list[World]]) -> None:
    unowned = [w for w in ways if not w.alive <= {*w.state.unproven} | w.taken_over]
    assert unowned == []


def test_every_way_leads_to_an_end(ways: dict[World, list[World]]) -> None:
    """Whatever has befallen it: with no further fault it serves, was stopped, or has failed; what
    failed is proven gone, but on hosts that can't be asked."""
    stuck = [w for w, after in ways.items() if not after and not is_settled(w)]
    assert stuck == []
    good = {w for w in ways if is_settled(w)}
    while more := {w for w, after in ways.items() if w not in good and set(after) <= good}:
        good |= more
    assert set(ways) - good == set()
    rested = [w for w in ways if w.state.phase in RESTING]
    assert [w for w in rested if not {*w.state.unproven} <= {*w.state.lost}] == []
    assert len(ways) > 10_000


def test_an_old_proof_is_none_of_what_was_started_since() -> None:
    state = EngineState(("a",), "ending", unproven=("a",), number=2)
    assert step(state, Ended("a", 1), POLICY, 0.0) == (state, ())
    assert step(state, Ended("a", 2), POLICY, 0.0)[0].phase == "waiting"


def test_health_earns_restarts_back() -> None:
    policy = RestartPolicy(1, 60.0, 5.0)
    state = EngineState(("a",), "ending", unproven=("a",), number=1, taken_at=(100.0,))
    assert step(state, Ended("a", 1), policy, 159.0)[0].phase == "failed"
    waiting, orders = step(state, Ended("a", 1), policy, 160.0)
    assert (waiting.phase, waiting.taken_at, orders) == ("waiting", (160.0,), (Wait(5.0),))


def engine(name: str, role: str, phase: str, most: int = 1) -> EngineUnit:
    policy = RestartPolicy(most, None, 0.0)
    return EngineUnit(
        name, role, policy, EngineState(("a",), phase, why="died" * (phase != "serving"))
    )


@pytest.mark.parametrize(
    ("phases", "phase", "lost"),
    [
        (("serving", "serving", "serving"), "ready", ""),
        (("serving", "serving", "down"), "ready", ""),
        (("serving", "serving", "failed"), "degraded", ""),
        (("serving", "waiting", "asking"), "unavailable", ""),
        (("serving", "failed", "down"), "unavailable", ""),
        (("serving", "failed", "failed"), "unavailable", "decode"),
        (("failed", "serving", "serving"), "unavailable", "prefill"),
    ],
)
def test_what_engines_make_of_a_deployment(
    phases: tuple[str, str, str], phase: str, lost: str
) -> None:
    names = (("p", "prefill"), ("d0", "decode"), ("d1", "decode"))
    engines = {name: engine(name, role, at) for (name, role), at in zip(names, phases, strict=True)}
    assert (availability(engines).phase, lost_role(engines, 0.0)) == (phase, lost)


def test_the_last_of_a_role_is_lost_as_soon_as_it_fails_with_no_restart_left() -> None:
    for most, lost in ((0, "main"), (1, "")):
        ending = engine("main", "main", "ending", most)
        assert lost_role({"main": ending}, 0.0) == lost


def test_all_ranks_sleep_or_none() -> None:
    serving = EngineState(("a",), "serving", unproven=("a",))
    drowsy, orders = step(serving, SleepAsked("night", 7.0), POLICY, 0.0)
    assert (drowsy.phase, drowsy.asked_at, orders) == ("falling asleep", 7.0, (PutToSleep(),))
    assert step(drowsy, Asleep(), POLICY, 0.0)[0].phase == "asleep"
    waking, orders = step(drowsy, NotAsleep("rank 1 can't"), POLICY, 0.0)
    assert (waking.phase, waking.why, orders) == ("waking", "rank 1 can't", (Wake(),))
    asked, orders = step(waking, Awake(), POLICY, 0.0)
    assert (asked.phase, orders) == ("asking", (Ask(),))
    assert step(waking, Failed("it can't be woken"), POLICY, 0.0)[0].phase == "ending"


@pytest.mark.parametrize("phase", ["falling asleep", "waking", "asleep"])
def test_one_that_sleeps_is_taken_over_as_it_is(phase: str) -> None:
    state = EngineState(("a",), phase, unproven=("a",))
    after, orders = resume(state, {"a"}, True, POLICY)
    assert after == state
    again = {"falling asleep": (PutToSleep(),), "waking": (Wake(),)}
    assert orders == again.get(phase, ())
    assert resume(state, set(), False, POLICY)[0].phase == "ending"

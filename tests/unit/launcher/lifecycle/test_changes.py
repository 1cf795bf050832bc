"""Changes, engine by engine: each step, and every path of them with a supervisor that may be killed
between any two things that it does."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from dsr1.launcher.lifecycle.changes import (
    ADD,
    INVERSE,
    MOVE,
    REMOVE,
    RESTART,
    SLEEP,
    START,
    STOP,
    WAKE,
    BringIn,
    ChangeOrder,
    ChangeStep,
    TakeOut,
    TellEngine,
    WantedChange,
    go_on,
)
from dsr1.launcher.lifecycle.deployment import EngineUnit
from dsr1.launcher.lifecycle.events import (
    MoveAsked,
    RestartAsked,
    SleepAsked,
    StopAsked,
    WakeAsked,
)
from dsr1.launcher.lifecycle.state import EngineState, RestartPolicy

POLICY = RestartPolicy(0, None, 0.0)
BOTH = (ChangeStep(RESTART, "a"), ChangeStep(RESTART, "b"))
CHANGE = WantedChange("restart", BOTH, "me on here", "new driver", 5.0)
WHY = "new driver (me on here)"


def engines(phase: str, asked_at: float = 0.0, host: str = "h") -> dict[str, EngineUnit]:
    state = EngineState((host,), phase, "died", asked_at=asked_at)
    one = EngineUnit("a", "main", POLICY, state)
    return {"a": one, "b": replace(one, name="b", state=EngineState((host,), "serving"))}


def test_each_is_told_and_awaited_before_the_next() -> None:
    told, orders = go_on(CHANGE, engines("serving"), 10.0)
    assert orders == (TellEngine("a", RestartAsked(WHY, 10.0)),)
    assert (told.phase, told.told_at) == ("running", 10.0)
    for phase in ("ending", "starting", "asking"):
        assert go_on(told, engines(phase, 10.0), 11.0) == (told, ())
    after, orders = go_on(told, engines("serving", 10.0), 12.5)
    assert (after.done, orders) == (1, ())
    second, orders = go_on(after, engines("serving", 10.0), 13.0)
    assert orders == (TellEngine("b", RestartAsked(WHY, 13.0)),)
    last, _ = go_on(replace(second, done=2), engines("serving", 10.0), 14.0)
    assert (last.phase, last.is_over) == ("done", True)
    assert go_on(last, engines("failed", 10.0), 14.0) == (last, ())


@pytest.mark.parametrize("phase", ["serving", "down", "failed", "waiting", "starting"])
def test_one_that_was_never_told_is_told_again_whatever_it_does(phase: str) -> None:
    """Its supervisor was killed between the two."""
    told, _ = go_on(CHANGE, engines("serving"), 10.0)
    again, orders = go_on(told, engines(phase), 20.0)
    assert orders == (TellEngine("a", RestartAsked(WHY, 10.0)),)
    assert again.told_at == 10.0


@pytest.mark.parametrize("phase", ["waiting", "failed", "down"])
def test_the_first_that_does_not_serve_again_ends_it(phase: str) -> None:
    told, _ = go_on(CHANGE, engines("serving"), 10.0)
    failed, orders = go_on(told, engines(phase, 10.0), 12.0)
    assert (failed.phase, orders) == ("failed", ())
    assert failed.words == f"a is {phase}: died; left as they are: b"


def test_moved_and_stopped() -> None:
    steps = (ChangeStep(MOVE, "a"),)
    move = replace(CHANGE, steps=steps, host="h", told_at=10.0)
    asked = go_on(replace(move, told_at=0.0), engines("serving"), 10.0)[1]
    assert asked == (TellEngine("a", MoveAsked("h", WHY, 10.0)),)
    assert go_on(move, engines("serving", 10.0, "spare"), 12.0)[0].done == 1
    back, _ = go_on(move, engines("serving", 10.0), 12.0)
    assert "no spare is fit; it is back on h" in back.words
    stop = replace(CHANGE, steps=(ChangeStep(STOP, "a"),))
    asked = go_on(stop, engines("serving"), 10.0)[1]
    assert asked == (TellEngine("a", StopAsked(WHY, 10.0)),)
    assert go_on(replace(stop, told_at=10.0), engines("down", 10.0), 12.0)[0].done == 1


def test_asleep_and_awake() -> None:
    sleep = replace(CHANGE, steps=(ChangeStep(SLEEP, "a"),))
    told, orders = go_on(sleep, engines("serving"), 10.0)
    assert orders == (TellEngine("a", SleepAsked(WHY, 10.0)),)
    for phase in ("falling asleep", "waking", "asking"):
        assert go_on(told, engines(phase, 10.0), 11.0) == (told, ())
    assert go_on(told, engines("asleep", 10.0), 11.0)[0].done == 1
    assert go_on(told, engines("serving", 10.0), 11.0)[0].words == "a is serving: died"
    wake = replace(told, steps=(ChangeStep(WAKE, "a"),))
    assert go_on(replace(wake, told_at=0.0), engines("asleep"), 10.0)[1] == (
        TellEngine("a", WakeAsked(WHY, 10.0)),
    )
    assert go_on(wake, engines("asking", 10.0), 11.0) == (wake, ())
    assert go_on(wake, engines("serving", 10.0), 11.0)[0].done == 1


def test_who_is_gone_can_not_be_restarted() -> None:
    failed, _ = go_on(CHANGE, {}, 10.0)
    assert failed.words == "a is no engine any more; left as they are: b"


# A deployment of a and b. Updated: a in its place, c beside it and then b away, as an update with a
# free host is; d is one more.
STEPS = (
    ChangeStep(STOP, "a"),
    ChangeStep(START, "a"),
    ChangeStep(ADD, "c"),
    ChangeStep(REMOVE, "b"),
    ChangeStep(ADD, "d"),
)
# What needs no other plan.
IN_PLACE = tuple(
    ChangeStep(what, name)
    for what, name in ((RESTART, "a"), (SLEEP, "b"), (RESTART, "a"), (WAKE, "b"), (MOVE, "a"))
)
OLD, NEW = "before", "after"
KILLS, FAILURES = 2, 2
OUTCOMES = {  # what a phase comes to, or may come to
    "ending": (("down", ""),),
    "starting": (("serving", "failed"),),
    "falling asleep": (("asleep", "serving"),),
    "waking": (("serving", "failed"),),
}


@dataclass(frozen=True, slots=True)
class World:
    """`plan`: whose processes each engine has; `states`: its phase, and the order that it has
    heard; `orders` are not carried out yet, and lost with their supervisor. `clock`: each moment
    is another."""

    change: WantedChange
    plan: tuple[tuple[str, str], ...] = (("a", OLD), ("b", OLD))
    states: tuple[tuple[str, str, float], ...] = (("a", "serving", 0.0), ("b", "serving", 0.0))
    orders: tuple[ChangeOrder, ...] = ()
    kills: int = KILLS
    failures: int = FAILURES
    clock: float = 1.0

    @property
    def units(self) -> dict[str, EngineUnit]:
        return {
            name: EngineUnit(name, "main", POLICY, EngineState(("h",), phase, asked_at=asked_at))
            for name, phase, asked_at in self.states
        }

    def having(self, name: str, phase: str, asked_at: float) -> "World":
        others = [one for one in self.states if one[0] != name]
        return replace(self, states=tuple(sorted([*others, (name, phase, asked_at)])))

    def planned(self, name: str, version: str) -> "World":
        others = [one for one in self.plan if one[0] != name]
        return replace(self, plan=tuple(sorted([*others, (name, version)])))

    def phase(self, name: str) -> str:
        return next((one[1] for one in self.states if one[0] == name), "")


def ways_on(world: World) -> Iterator[World]:
    if world.orders:
        yield carried_out(world)
    else:
        change, orders = go_on(world.change, world.units, world.clock)
        if (change, orders) != (world.change, ()):
            yield replace(world, change=change, orders=orders, clock=world.clock + 1)
    for name, phase, asked_at in world.states:
        for good, bad in OUTCOMES.get(phase, ()):
            yield world.having(name, good, asked_at)
            if bad and world.failures:
                failed = replace(world, failures=world.failures - 1)
                yield failed.having(name, bad, asked_at)
    if world.kills:
        yield replace(world, orders=(), kills=world.kills - 1)


def carried_out(world: World) -> World:
    order, rest = world.orders[0], replace(world, orders=world.orders[1:])
    match order:
        case TellEngine(name, StopAsked(_, at)):
            running = world.phase(name) in ("serving", "starting")
            return rest.having(name, "ending" if running else "down", at)
        case TellEngine(name, SleepAsked(_, at)):
            serves = world.phase(name) == "serving"
            return rest.having(name, "falling asleep" if serves else world.phase(name), at)
        case TellEngine(name, WakeAsked(_, at)):
            sleeps = world.phase(name) == "asleep"
            return rest.having(name, "waking" if sleeps else world.phase(name), at)
        case TellEngine(name, event):
            fresh = world.change.verb == "update"
            assert not fresh or world.phase(name) in ("down", "failed"), "it is started twice"
            return rest.having(name, "starting", event.at)
        case BringIn(name, before):
            assert world.phase(name) in ("", "down"), "what runs is given other processes"
            return rest.planned(name, OLD if before else NEW).having(name, "down", 0.0)
        case TakeOut(name):
            assert world.phase(name) == "down", "what lives loses its owner"
            states = tuple(one for one in world.states if one[0] != name)
            return replace(
                rest, states=states, plan=tuple(one for one in world.plan if one[0] != name)
            )


UPDATE = WantedChange("update", STEPS, "me", "new", 5.0, undoes=True)


def explore(change: WantedChange = UPDATE) -> dict[World, list[World]]:
    ways: dict[World, list[World]] = {}
    ahead = deque([World(change)])
    while ahead:
        world = ahead.popleft()
        if world not in ways:
            ways[world] = list(ways_on(world))
            ahead.extend(ways[world])
    return ways


def test_every_path_of_an_update_ends_with_all_of_it_or_none() -> None:
    """Whatever fails, and whenever its supervisor is killed: the plan is the wanted one or that of
    before, and in both all that it names has been started, or has failed by itself."""
    ways = explore()
    ends = [world for world, after in ways.items() if world.change.is_over and not world.orders]
    assert {world.change.phase for world in ends} == {"done", "failed"}
    for world in ends:
        done = world.change.phase == "done"
        wanted = {"a": NEW, "c": NEW, "d": NEW} if done else {"a": OLD, "b": OLD}
        assert dict(world.plan) == wanted
        assert {name for name, _, _ in world.states} == set(wanted)
        failed = [name for name, phase, _ in world.states if phase != "serving"]
        assert len(failed) <= FAILURES - world.failures
        assert not (done and failed)
    stuck = [world for world, after in ways.items() if not after and not world.change.is_over]
    assert stuck == []
    assert len(ways) > 1000


def test_what_serves_is_never_less_than_one() -> None:
    """Of a and b one serves at any time, as long as nothing fails more than once."""
    for world in explore():
        if world.failures >= FAILURES - 1 and world.change.phase != "failed":
            assert any(phase == "serving" for _, phase, _ in world.states)


def test_every_path_of_what_needs_no_other_plan_ends() -> None:
    """Whoever is killed, each engine has heard each order: it is done with all of them serving, or
    says which failed; then those after it are as they were."""
    ways = explore(WantedChange("restart", IN_PLACE, "me", "new", 5.0, host="gone"))
    ends = [world for world in ways if world.change.is_over and not world.orders]
    assert {world.change.phase for world in ends} == {"done", "failed"}
    for world in ends:
        assert dict(world.plan) == {"a": OLD, "b": OLD}
        if world.change.phase == "done":
            assert {phase for _, phase, _ in world.states} == {"serving"}
        else:
            assert world.change.words
            assert world.failures < FAILURES
    assert [w for w, after in ways.items() if not after and not w.change.is_over] == []


def test_each_step_can_be_undone() -> None:
    assert all(INVERSE[INVERSE[what]] == what for what in INVERSE)

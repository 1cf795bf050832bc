"""Changes, engine by engine."""

from dataclasses import replace

import pytest

from dsr1.launcher.lifecycle.changes import MOVE, RESTART, STOP, WantedChange, go_on
from dsr1.launcher.lifecycle.deployment import EngineUnit
from dsr1.launcher.lifecycle.events import MoveAsked, RestartAsked, StopAsked
from dsr1.launcher.lifecycle.machine import EngineState, RestartPolicy

CHANGE = WantedChange(RESTART, ("a", "b"), "me on here", "new driver", 5.0)


def engines(phase: str, since: float, host: str = "h") -> dict[str, EngineUnit]:
    state = EngineState((host,), phase, "died", since=since)
    one = EngineUnit("a", "main", RestartPolicy(0, None, 0.0), state)
    return {"a": one, "b": replace(one, name="b", state=replace(state, phase="serving"))}


def test_each_is_told_and_awaited_before_the_next() -> None:
    told, order = go_on(CHANGE, engines("serving", 1.0), 10.0)
    assert order == ("a", RestartAsked("new driver (me on here)"))
    assert (told.phase, told.told_at) == ("running", 10.0)
    for phase in ("ending", "starting", "asking"):
        assert go_on(told, engines(phase, 10.5), 11.0) == (told, None)
    after, order = go_on(told, engines("serving", 12.0), 12.5)
    assert (after.done, order) == (1, None)
    second, order = go_on(after, engines("serving", 12.0), 13.0)
    assert order == ("b", RestartAsked("new driver (me on here)"))
    last, _ = go_on(replace(second, done=2), engines("serving", 12.0), 14.0)
    assert (last.phase, last.is_over) == ("done", True)
    assert go_on(last, engines("failed", 12.0), 14.0) == (last, None)


def test_one_that_was_never_told_is_told_again() -> None:
    """Its supervisor was killed between the two."""
    told, _ = go_on(CHANGE, engines("serving", 1.0), 10.0)
    again, order = go_on(told, engines("serving", 1.0), 20.0)
    assert order is not None
    assert again.told_at == 10.0


@pytest.mark.parametrize("phase", ["waiting", "failed", "down"])
def test_the_first_that_does_not_serve_again_ends_it(phase: str) -> None:
    told, _ = go_on(CHANGE, engines("serving", 1.0), 10.0)
    failed, order = go_on(told, engines(phase, 11.0), 12.0)
    assert (failed.phase, order) == ("failed", None)
    assert failed.words == f"a is {phase}: died; left as they are: b"


def test_moved_and_stopped() -> None:
    move = replace(CHANGE, what=MOVE, host="h", told_at=10.0)
    assert go_on(replace(move, told_at=0.0), engines("serving", 1.0), 10.0)[1] == (
        "a",
        MoveAsked("h", "new driver (me on here)"),
    )
    assert go_on(move, engines("serving", 11.0, "spare"), 12.0)[0].done == 1
    back, _ = go_on(move, engines("serving", 11.0), 12.0)
    assert "no spare is fit; it is back on h" in back.words
    stop = replace(CHANGE, what=STOP)
    assert go_on(stop, engines("serving", 1.0), 10.0)[1] == (
        "a",
        StopAsked("new driver (me on here)"),
    )
    assert go_on(replace(stop, told_at=10.0), engines("down", 11.0), 12.0)[0].done == 1

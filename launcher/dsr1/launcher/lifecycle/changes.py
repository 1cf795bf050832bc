"""What somebody wants changed of a deployment that serves: engine by engine, each asked before the
next. Pure."""

from collections.abc import Mapping
from dataclasses import replace

from dsr1.hosts.dataclass import dataclass
from dsr1.launcher.lifecycle.deployment import EngineUnit
from dsr1.launcher.lifecycle.events import (
    AskedEvent,
    MoveAsked,
    RestartAsked,
    SleepAsked,
    StopAsked,
    WakeAsked,
)

RESTART, MOVE, STOP, START, ADD, REMOVE = "restart", "move", "stop", "start", "add", "remove"
SLEEP, WAKE = "sleep", "wake"
INVERSE = {START: STOP, STOP: START, ADD: REMOVE, REMOVE: ADD}
WANTED = {STOP: "down", REMOVE: "down", SLEEP: "asleep"}  # all others want it to serve


@dataclass(frozen=True, slots=True)
class ChangeStep:
    """`what` becomes of an engine: restart, move (away from the change's host), stop, sleep or
    wake; start and add give it the processes of the plan that is wanted first, remove takes them
    out of it."""

    what: str
    engine: str


@dataclass(frozen=True, slots=True)
class WantedChange:
    """What a user's `verb` wants: `who`, and `why`. `asked_at` identifies it; `done` steps it has
    behind it, and the next's engine has been told at `told_at`, 0: not yet; in seconds since the
    epoch. `phase`: asked, running, undoing, done or failed, and then `words` say of what.
    `undoes`: what it has done is undone when it fails."""

    verb: str
    steps: tuple[ChangeStep, ...]
    who: str
    why: str
    asked_at: float
    host: str = ""
    undoes: bool = False
    done: int = 0
    told_at: float = 0.0
    phase: str = "asked"
    words: str = ""

    @property
    def is_over(self) -> bool:
        return self.phase in ("done", "failed")

    @property
    def engines(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(step.engine for step in self.steps))

    @property
    def step(self) -> ChangeStep | None:
        """Whose turn it is. None: all are done."""
        return self.steps[self.done] if self.done < len(self.steps) else None


@dataclass(frozen=True, slots=True)
class TellEngine:
    """Give the event to the engine's state machine."""

    engine: str
    event: AskedEvent


@dataclass(frozen=True, slots=True)
class BringIn:
    """Give an engine that is down, or isn't there yet, the processes of the plan that is wanted;
    `before`: of the one from before the change. Nothing is started by that."""

    engine: str
    before: bool


@dataclass(frozen=True, slots=True)
class TakeOut:
    """An engine that is down is none of the deployment's any more."""

    engine: str


ChangeOrder = TellEngine | BringIn | TakeOut
ChangeMove = tuple[WantedChange, tuple[ChangeOrder, ...]]


def go_on(change: WantedChange, engines: Mapping[str, EngineUnit], now: float) -> ChangeMove:
    """One look at the engine whose turn it is. The change is written down before its orders are
    carried out, so that a supervisor that is killed in between leaves an engine that has not heard
    the order of this moment: it is told again."""
    step = change.step
    if change.is_over:
        return change, ()
    if step is None:
        return _over(change), ()
    engine = engines.get(step.engine)
    if engine is None and step.what == REMOVE:
        return _next(change), ()
    if engine is None and step.what not in (ADD, START):
        return _failed(change, f"{step.engine} is no engine any more"), ()
    told = change if change.told_at else _begin(change, now)
    if engine is None or engine.state.asked_at != told.told_at:
        return told, _orders(told, step)
    return _judge(told, step, engine)


def _begin(change: WantedChange, now: float) -> WantedChange:
    phase = "running" if change.phase == "asked" else change.phase
    return replace(change, phase=phase, told_at=now)


def _next(change: WantedChange) -> WantedChange:
    return replace(change, done=change.done + 1, told_at=0.0)


def _over(change: WantedChange) -> WantedChange:
    if change.phase != "undoing":
        return replace(change, phase="done")
    return replace(change, phase="failed", words=f"{change.words}; all of it was undone")


def _orders(change: WantedChange, step: ChangeStep) -> tuple[ChangeOrder, ...]:
    told = TellEngine(step.engine, _event(change, step))
    if step.what in (ADD, START):
        return BringIn(step.engine, change.phase == "undoing"), told
    return (told,)


def _event(change: WantedChange, step: ChangeStep) -> AskedEvent:
    why, at = f"{change.why} ({change.who})", change.told_at
    if step.what == MOVE:
        return MoveAsked(change.host, why, at)
    return _EVENTS.get(step.what, RestartAsked)(why, at)


_EVENTS: Mapping[str, type[RestartAsked | StopAsked | SleepAsked | WakeAsked]] = {
    STOP: StopAsked,
    REMOVE: StopAsked,
    SLEEP: SleepAsked,
    WAKE: WakeAsked,
}


def _judge(change: WantedChange, step: ChangeStep, engine: EngineUnit) -> ChangeMove:
    state, wanted = engine.state, WANTED.get(step.what, "serving")
    ends = ("waiting", "failed", "down", *(("serving",) if wanted == "asleep" else ()))
    if state.phase in ends and state.phase != wanted:
        return _failed(change, f"{engine.name} is {state.phase}: {state.why}"), ()
    if state.phase != wanted:
        return change, ()
    if step.what == MOVE and change.host in state.hosts:
        words = f"{engine.name}: no spare is fit; it is back on {change.host}"
        return _failed(change, words), ()
    if step.what == REMOVE:
        return change, (TakeOut(engine.name),)
    return _next(change), ()


def _failed(change: WantedChange, words: str) -> WantedChange:
    """The engines after it are left as they are, and it goes on by itself; or what was done is
    undone, as far as that can be: the others' turn comes, too."""
    words = words.partition("\n")[0]
    if change.phase == "undoing":
        return replace(_next(change), words=f"{change.words}; {words}")
    if change.undoes:
        return replace(
            change, steps=_inverse(change), done=0, told_at=0.0, phase="undoing", words=words
        )
    rest = [step.engine for step in change.steps[change.done + 1 :]]
    left = f"; left as they are: {', '.join(rest)}" if rest else ""
    return replace(change, phase="failed", words=words + left)


def _inverse(change: WantedChange) -> tuple[ChangeStep, ...]:
    """Of all that was begun, the last first."""
    begun = change.steps[: change.done + 1]
    return tuple(ChangeStep(INVERSE[step.what], step.engine) for step in reversed(begun))

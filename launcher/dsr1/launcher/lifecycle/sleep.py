"""An engine that serves may be put to sleep, and be woken: all of its ranks, or none. Pure."""

from dataclasses import replace

from dsr1.launcher.lifecycle.events import (
    Ask,
    Asleep,
    Awake,
    NotAsleep,
    PutToSleep,
    SleepAsked,
    Wake,
    WakeAsked,
)
from dsr1.launcher.lifecycle.state import EngineState, Step

SleepEvent = SleepAsked | WakeAsked | Asleep | NotAsleep | Awake


def step_in_sleep(state: EngineState, event: SleepEvent) -> Step:
    """Whom it can't be put to sleep as a whole is woken as a whole, and asked before it counts
    again."""
    phase = state.phase
    match event:
        case SleepAsked(why, at):
            state = replace(state, asked_at=at)
            return _fall_asleep(state, why) if phase in ("serving", "waking") else (state, ())
        case WakeAsked(why, at):
            state = replace(state, asked_at=at)
            return _wake(state, why) if phase in ("falling asleep", "asleep") else (state, ())
        case NotAsleep(why) if phase == "falling asleep":
            return _wake(state, why)
        case Asleep() if phase == "falling asleep":
            return replace(state, phase="asleep"), ()
        case Awake() if phase == "waking":
            return replace(state, phase="asking"), (Ask(),)
    return state, ()


def _fall_asleep(state: EngineState, why: str) -> Step:
    return replace(state, phase="falling asleep", why=why), (PutToSleep(),)


def _wake(state: EngineState, why: str) -> Step:
    return replace(state, phase="waking", why=why), (Wake(),)


def resume_drowsy(state: EngineState) -> Step:
    """What was ordered may be done or not: it does no harm twice."""
    if state.phase == "falling asleep":
        return state, (PutToSleep(),)
    return state, ((Wake(),) if state.phase == "waking" else ())

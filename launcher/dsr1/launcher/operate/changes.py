"""Changes of deployments that serve: whom they are for, and how they go."""

import getpass
import re
import socket
import time
from collections.abc import Callable

from dsr1.hosts.errors import InputError, LaunchFailed
from dsr1.launcher.lifecycle.changes import (
    MOVE,
    RESTART,
    SLEEP,
    STOP,
    WAKE,
    ChangeStep,
    WantedChange,
)
from dsr1.launcher.lifecycle.deployment import EngineUnit
from dsr1.launcher.operate.status import refuse_ended
from dsr1.launcher.run.store import Run
from dsr1.launcher.run.supervision.changing.changes import ask_for

POLL_S = 0.1
OnProgress = Callable[[WantedChange], None]


def want_restart(run: Run, target: str | None, verb: str) -> WantedChange:
    """Of an engine, of all of a host, or of all engines. InputError: there is none."""
    engines = engines_of(run)
    chosen = tuple(name for name, one in engines.items() if _is_meant(one, target, engines))
    if not chosen:
        hosts = {host for one in engines.values() for host in one.state.hosts}
        known = ", ".join((*engines, *sorted(hosts)))
        raise InputError(f"{run.name}: has no engine or host {target}; it has {known}")
    return _ask(run, _change("restart", RESTART, chosen, verb))


def _is_meant(one: EngineUnit, target: str | None, engines: dict[str, EngineUnit]) -> bool:
    """Without a target: all that can be restarted while others serve, or has no other."""
    if target is None:
        alone = sum(other.role == one.role for other in engines.values()) == 1
        beside = one.role in ("etcd", "gateway") or (one.role == "frontend" and alone)
        return not beside
    if target in engines:
        return target == one.name
    return target in one.state.hosts or is_replica(one.name, target)


def is_replica(name: str, engine: str) -> bool:
    """Whether it is one of that engine of the recipe, which has several."""
    return re.fullmatch(rf"{re.escape(engine)}-r\d+", name) is not None


def want_drain(run: Run, host: str, verb: str) -> WantedChange:
    """Its engines move to spares, or stop where there are none. InputError: the others can't do
    without what is on that host."""
    engines = engines_of(run)
    chosen = {name: one for name, one in engines.items() if host in one.state.hosts}
    if not chosen:
        raise InputError(f"{run.name}: nothing of it is on {host}")
    beside = [one.name for one in run.plan().processes if one.host == host and not one.ranks]
    if beside:
        raise InputError(
            f"{host}: has {', '.join(beside)}, whose addresses all others know; it can't be drained"
        )
    what = MOVE if run.settings().spares else STOP
    if what == STOP:
        _refuse_last(chosen, engines)
    return _ask(run, _change("drain", what, tuple(chosen), verb, host))


def want_sleep(run: Run, engine: str | None, why: str) -> WantedChange:
    """Of an engine, or of all that serve. InputError: none can."""
    return _ask(run, _change("sleep", SLEEP, _drowsy(run, engine, "serving"), why))


def want_wake(run: Run, engine: str | None, why: str) -> WantedChange:
    """Of an engine, or of all that sleep. InputError: none does."""
    return _ask(run, _change("wake", WAKE, _drowsy(run, engine, "asleep"), why))


def _drowsy(run: Run, name: str | None, phase: str) -> tuple[str, ...]:
    """Those that it may be asked of: they are in that phase."""
    traits = run.recipe().traits
    if traits.simulated or traits.own_servers:
        raise InputError(f"{run.name}: only vLLM's workers behind Dynamo can sleep (stack dynamo)")
    ranked = {one.engine for one in run.plan().ranks}
    engines = {key: one for key, one in engines_of(run).items() if key in ranked}
    asked = {
        key: one
        for key, one in engines.items()
        if name in (None, key) or (name not in engines and is_replica(key, name or ""))
    }
    if not asked:
        raise InputError(f"{run.name}: has no engine {name}; it has {', '.join(engines)}")
    chosen = tuple(key for key, one in asked.items() if one.state.phase == phase)
    if not chosen:
        are = ", ".join(f"{key} is {one.state.phase}" for key, one in asked.items())
        raise InputError(f"{run.name}: {are}; it must be {phase} for that")
    return chosen


def _change(
    verb: str, what: str, engines: tuple[str, ...], why: str, host: str = ""
) -> WantedChange:
    steps = tuple(ChangeStep(what, engine) for engine in engines)
    return WantedChange(verb, steps, who_asks(), why, time.time(), host)


def _refuse_last(chosen: dict[str, EngineUnit], engines: dict[str, EngineUnit]) -> None:
    others = {one.role for name, one in engines.items() if name not in chosen and _serves(one)}
    last = [one for one in chosen.values() if one.role not in others]
    if last:
        raise InputError(
            f"{last[0].name}: is the last of role {last[0].role} that serves, and the recipe has no"
            " spares for it"
        )


def _serves(one: EngineUnit) -> bool:
    return one.state.phase == "serving"


def engines_of(run: Run) -> dict[str, EngineUnit]:
    """By name. InputError, LaunchFailed: they can't be changed now."""
    refuse_ended(run)
    if not run.is_watched():
        raise LaunchFailed(
            f"{run.name}: has no supervisor; `dsr1 supervise {run.name}` gives it one"
        )
    state = run.state()
    if not state.engines and state.phase == "starting":
        raise InputError(f"{run.name}: doesn't serve yet: `dsr1 wait {run.name}` waits for it")
    if not state.engines:
        raise InputError(
            f"{run.name}: its recipe restarts it as a whole; engines are changed one by one with"
            " restart: {scope: engine} there, from its launch on"
        )
    return {one.name: one for one in state.engines}


def who_asks() -> str:
    """Me, here."""
    return f"{getpass.getuser()} on {socket.gethostname()}"


def _ask(run: Run, change: WantedChange) -> WantedChange:
    ask_for(run, change)
    return change


def follow_change(run: Run, change: WantedChange, show: OnProgress) -> None:
    """Until it is done. LaunchFailed: it failed, or the run ended, or lost its supervisor, which
    the change survives."""
    known = change
    while not known.is_over:
        time.sleep(POLL_S)
        watched = run.is_watched()
        known = _own(run, change)
        show(known)
        if run.state().ended:
            raise LaunchFailed(f"{run.name}: {run.state().phase}: {run.state().reason}")
        if not watched and not known.is_over:
            raise LaunchFailed(
                f"{run.name}: its supervisor is gone; `dsr1 supervise {run.name}` goes on with it"
            )
    if known.phase == "failed":
        raise LaunchFailed(f"{run.name}: {known.words}")


def _own(run: Run, change: WantedChange) -> WantedChange:
    """LaunchFailed: there is another by now."""
    known = run.wanted_change()
    if known is None or known.asked_at != change.asked_at:
        raise LaunchFailed(f"{run.name}: somebody has asked for another change since")
    return known

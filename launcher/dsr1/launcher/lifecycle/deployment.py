"""What all engines together make of a deployment. Pure."""

from collections.abc import Container, Iterator, Mapping

from dsr1.hosts.dataclass import dataclass
from dsr1.launcher.lifecycle.machine import restarts_left
from dsr1.launcher.lifecycle.state import EngineState, RestartPolicy

PRESENT = ("serving", "down", "asleep")


@dataclass(frozen=True, slots=True)
class EngineUnit:
    """One engine of a deployment by its name in the plan. Only one of the same `role` can take the
    requests of another."""

    name: str
    role: str
    policy: RestartPolicy
    state: EngineState


@dataclass(frozen=True, slots=True)
class Availability:
    """`phase`: ready, degraded (every role is served, and some engine isn't), or unavailable.
    `words` name the engines that don't serve, and why."""

    phase: str
    words: str = ""


def availability(engines: Mapping[str, EngineUnit]) -> Availability:
    """An engine that was stopped or sleeps on purpose is missed only where it was the last of its
    role."""
    roles = {one.role for one in engines.values()}
    served = {one.role for one in engines.values() if one.state.phase == "serving"}
    absent = [one for one in engines.values() if _is_missed(one, served)]
    words = "; ".join((*_unserved(roles - served), *map(_words, absent)))
    if roles - served:
        return Availability("unavailable", words)
    return Availability("degraded" if absent else "ready", words)


def _is_missed(one: EngineUnit, served: Container[str]) -> bool:
    return one.state.phase not in PRESENT or one.role not in served


def _unserved(roles: set[str]) -> Iterator[str]:
    yield from (f"nothing of role {role} serves" for role in sorted(roles))


def _words(one: EngineUnit) -> str:
    why = one.state.why.partition("\n")[0]
    return f"{one.name} is {one.state.phase}" + (f": {why}" if why else "")


def lost_role(engines: Mapping[str, EngineUnit], now: float) -> str:
    """A role that nothing will serve any more, unless somebody asks for it: no engine of it runs,
    and none has a restart left. Empty: there is none."""
    hopeful = {one.role for one in engines.values() if not _is_over(one, now)}
    return next((one.role for one in engines.values() if one.role not in hopeful), "")


def _is_over(one: EngineUnit, now: float) -> bool:
    state = one.state
    ends = state.phase == "ending" and state.then == "again"
    return state.phase == "failed" or (ends and restarts_left(state, one.policy, now) == 0)

"""What a supervisor hears, as events of the engines that it befalls. Pure."""

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from dsr1.hosts.protocol.events import Ending, Exited, Gone, MemberDied
from dsr1.hosts.protocol.process import Process
from dsr1.launcher.health.verdicts import FAILED, HealthReport
from dsr1.launcher.lifecycle.deployment import EngineUnit
from dsr1.launcher.lifecycle.events import (
    Ended,
    EngineEvent,
    Failed,
    HostLost,
    NotEnded,
    NotPlaced,
    Placed,
)
from dsr1.launcher.lifecycle.state import EngineState, RestartPolicy
from dsr1.launcher.plan.plan import Plan
from dsr1.launcher.run.agents import AgentLost
from dsr1.launcher.run.settings import RunSettings
from dsr1.launcher.run.supervision.messages import EngineHeard, HostNotPlaced, HostPlaced

Engines = Mapping[str, EngineUnit]
Heard = Iterator[tuple[str, EngineEvent]]


def processes_by_engine(plan: Plan) -> dict[str, tuple[Process, ...]]:
    """In the order of their start."""
    own: dict[str, tuple[Process, ...]] = {}
    for process in plan.processes:
        own[process.group] = (*own.get(process.group, ()), process)
    return own


def make_engines(plan: Plan, settings: RunSettings, now: float) -> dict[str, EngineUnit]:
    """All of a deployment that serves. What holds no GPUs needs no time to let go of them: etcd has
    to be back before its leases end."""
    roles = {worker.process: worker.role for worker in plan.service.workers}
    engines = {}
    for name, processes in processes_by_engine(plan).items():
        hosts = tuple(dict.fromkeys(process.host for process in processes))
        has_ranks = any(process.ranks for process in processes)
        role = next((roles[one.name] for one in processes if one.name in roles), _beside(name))
        backoff_s = settings.backoff_s if has_ranks else 0.0
        policy = RestartPolicy(settings.restarts, settings.within_s, backoff_s)
        state = EngineState(hosts, "serving", unproven=hosts, since=now)
        engines[name] = EngineUnit(name, role, policy, state)
    return engines


def known_engines(
    plan: Plan, settings: RunSettings, known: Iterable[EngineUnit]
) -> dict[str, EngineUnit]:
    """As the run's state has them; without any, all serve. One that the state doesn't know yet was
    about to be brought in, and one that the plan doesn't have, to be taken out."""
    fresh, states = make_engines(plan, settings, time.time()), {one.name: one for one in known}
    if not states:
        return fresh
    return {name: states.get(name) or _unstarted(one) for name, one in fresh.items()}


def _unstarted(engine: EngineUnit) -> EngineUnit:
    return replace(engine, state=EngineState(engine.state.hosts, since=engine.state.since))


def _beside(name: str) -> str:
    """The role of frontend-0 is that of the other frontends."""
    return name.rpartition("-")[0] or name


def is_vital(plan: Plan, host: str) -> bool:
    """Whether the others can't do without what is on a host but engines: addresses that they
    know."""
    return any(one.host == host and not one.ranks for one in plan.processes)


def events_of(item: object, plan: Plan, engines: Engines) -> Heard:
    """By engine."""
    match item:
        case EngineHeard(engine, event):
            yield engine, event
        case Exited() | MemberDied():
            yield from _of_death(item, plan)
        case Gone(processes, left, number):
            yield from _of_end(processes, left, number, plan)
        case HealthReport():
            yield from _of_health(item, engines)
        case _:
            yield from _of_host(item, engines)


def _of_death(item: Exited | MemberDied, plan: Plan) -> Heard:
    """One that is refused by its agent counts as one that couldn't be started."""
    refused = isinstance(item, Exited) and bool(item.error)
    group = next((one.group for one in plan.processes if one.name == item.process), "")
    if group and (refused or not item.requested):
        yield group, Failed(item.words)


def _of_end(processes: tuple[str, ...], left: tuple[str, ...], number: int, plan: Plan) -> Heard:
    """Only what was ordered proves anything."""
    found = next((one for one in plan.processes if one.name in processes), None)
    if found and number:
        why = f"{found.host}: can't be ended: {', '.join(left)}"
        event = NotEnded(found.host, number, why) if left else Ended(found.host, number)
        yield found.group, event


def _of_health(report: HealthReport, engines: Engines) -> Heard:
    """What was seen of an engine before it came back says nothing of it."""
    for name in report.failed_engines:
        rows = [row for row in report.ranks if row.engine == name and row.verdict == FAILED]
        state = engines[name].state if name in engines else None
        if state and state.phase == "serving" and all(row.since >= state.since for row in rows):
            yield name, Failed(report.words_of(name))


def _of_host(item: object, engines: Engines) -> Heard:
    match item:
        case AgentLost(host, why):
            yield from ((name, HostLost(host, f"{host} is lost: {why}")) for name in engines)
        case Ending(on, False, reason):
            yield from ((name, HostLost(on, f"{on} {reason}")) for name in engines)
        case HostPlaced(lost, host):
            yield from ((name, Placed(lost, host)) for name in engines)
        case HostNotPlaced(lost, why):
            waits = (name for name, one in engines.items() if lost in one.state.lost)
            yield from ((name, NotPlaced(why)) for name in waits)

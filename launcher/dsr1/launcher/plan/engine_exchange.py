"""A plan of which one engine is put in, taken out or exchanged, while the others stay as they run.
Pure."""

from dataclasses import replace

from dsr1.hosts.protocol.process import HostPlan, Process
from dsr1.launcher.plan.plan import Plan, RegisteredWorker, ServiceTarget


def with_engine(plan: Plan, source: Plan, engine: str) -> Plan:
    """With this engine, or what else is a group of its own, as `source` has it."""
    left = without_engine(plan, engine)
    own = tuple(one for one in source.processes if one.group == engine)
    names, places = {one.name for one in own}, {one.host for one in own}
    known = {host.host for host in left.hosts}
    new = (replace(host, processes=()) for host in source.hosts if host.host in places - known)
    workers = (one for one in source.service.workers if one.process in names)
    caches = (one for one in source.caches if one.host in places and one not in left.caches)
    return replace(
        left,
        hosts=tuple(_with(host, own) for host in (*left.hosts, *new)),
        ranks=(*left.ranks, *(one for one in source.ranks if one.engine == engine)),
        service=_served_by(left.service, (*left.service.workers, *workers)),
        caches=(*left.caches, *caches),
    )


def _with(host: HostPlan, more: tuple[Process, ...]) -> HostPlan:
    own = tuple(one for one in more if one.host == host.host)
    return replace(host, processes=(*host.processes, *own)) if own else host


def without_engine(plan: Plan, engine: str) -> Plan:
    """Hosts that have nothing left stay in it: their agents are there."""
    gone = {one.name for one in plan.processes if one.group == engine}
    hosts = tuple(
        replace(host, processes=tuple(one for one in host.processes if one.name not in gone))
        for host in plan.hosts
    )
    workers = tuple(one for one in plan.service.workers if one.process not in gone)
    ranks = tuple(one for one in plan.ranks if one.engine != engine)
    return replace(plan, hosts=hosts, ranks=ranks, service=_served_by(plan.service, workers))


def _served_by(service: ServiceTarget, workers: tuple[RegisteredWorker, ...]) -> ServiceTarget:
    """A frontend lists each of them."""
    count = service.registrations
    if count is not None:
        count += len(workers) - len(service.workers)
    return replace(service, workers=workers, registrations=count)


def idle_hosts(plan: Plan) -> tuple[str, ...]:
    """Those that have nothing of it left."""
    return tuple(host.host for host in plan.hosts if not host.processes)


def without_idle_hosts(plan: Plan) -> Plan:
    idle = idle_hosts(plan)
    caches = tuple(one for one in plan.caches if one.host not in idle)
    return replace(
        plan, hosts=tuple(host for host in plan.hosts if host.host not in idle), caches=caches
    )


def own_processes(plan: Plan, engine: str) -> frozenset[Process]:
    return frozenset(one for one in plan.processes if one.group == engine)

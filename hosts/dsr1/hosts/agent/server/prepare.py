"""Takes what a run needs of its host before anything starts there: its ports, and room in its
folder.

Whether the host is fit is judged before, from its facts (dsr1.env.checks); this is what only the
agent can promise.
"""

import errno
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from dsr1.hosts.agent.facts.reading.mounts import free_bytes
from dsr1.hosts.agent.network.ports import PortLocks, bind_error, holder_of
from dsr1.hosts.protocol.events import Finding
from dsr1.hosts.protocol.process import HostPlan

PORTS, ROOM = "run.ports", "run.room"
PORT_FIX = "End that process, or choose another port in the recipe."
MOST = 12


def prepare(plan: HostPlan, folder: Path, locks: PortLocks) -> tuple[Finding, ...]:
    """A finding for each: the locks last as long as the agent."""
    return (*take_ports(plan, locks), find_room(plan.host, folder, plan.free_bytes))


def take_ports(plan: HostPlan, locks: PortLocks) -> Iterator[Finding]:
    ports = [port for process in plan.processes for port in process.ports]
    bad = [
        finding
        for port, count in Counter(ports).items()
        for finding in _take_port(plan, port, count, locks)
    ]
    yield from bad
    if not bad:
        listed = ", ".join(map(str, ports[:MOST])) + (", ..." if len(ports) > MOST else "")
        yield Finding(
            plan.host,
            PORTS,
            "PASS",
            f"reserved: {listed or 'none'}",
            "the plan's ports, for this run",
            "",
        )


def _take_port(plan: HostPlan, port: int, count: int, locks: PortLocks) -> Iterator[Finding]:
    def fail(seen: str, fix: str, verdict: str = "FAIL") -> Finding:
        return Finding(plan.host, PORTS, verdict, seen, f"port {port} for this run alone", fix)

    if count > 1:
        yield fail(
            f"{count} processes of the plan want port {port}",
            "Give each its own port in the recipe.",
        )
    try:
        if other := locks.take(port):
            yield fail(
                f"port {port} is reserved by run {other}",
                f"Stop run {other}, or choose another port.",
            )
            return
    except OSError as error:
        yield fail(
            f"cannot be reserved: {error}", f"Remove {error.filename or 'the lock folder'}.", "WARN"
        )
    if problem := bind_error(plan.address, port) or bind_error("0.0.0.0", port):
        yield fail(*_explain(plan, port, problem))


def _explain(plan: HostPlan, port: int, problem: OSError) -> tuple[str, str]:
    """What was seen, and what to do."""
    if problem.errno == errno.EADDRINUSE:
        return f"port {port} is held by {holder_of(port)}", PORT_FIX
    if problem.errno == errno.EACCES:
        return (
            f"port {port} may not be bound: {problem}",
            "Choose a port of 1024 or above in the recipe.",
        )
    seen = f"{plan.address} port {port} cannot be bound: {problem}"
    return seen, f"Give {plan.host} an address that is one of its own (see `ip addr` there)."


def find_room(host: str, folder: Path, wanted: int) -> Finding:
    free = free_bytes(folder)
    fix = (
        ""
        if free >= wanted
        else f"Free some space below {folder}, or move the run's directory to another disk."
    )
    sizes = f"{free / 2**20:.0f} MiB free below {folder}", f"at least {wanted / 2**20:.0f} MiB"
    return Finding(host, ROOM, "PASS" if free >= wanted else "FAIL", *sizes, fix)

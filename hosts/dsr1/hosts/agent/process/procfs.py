"""Finds what is alive of a process: its group, and what left it. Scans /proc, so only while
stopping."""

import os
from dataclasses import dataclass
from pathlib import Path

from dsr1.hosts.agent.process.records import ProcessRecord
from dsr1.hosts.protocol.boot import boot_id
from dsr1.hosts.protocol.identity import ProcStat, read_stat

ProcessTable = dict[int, ProcStat]
STRAYS = "(left its process)"


@dataclass(frozen=True, slots=True)
class StopTarget:
    """A process to be ended, as it was recorded. `mark` is its agent's."""

    name: str
    mark: str
    record: ProcessRecord
    grace_s: float


def read_process_table() -> ProcessTable:
    """Everything alive on the host but this very process."""
    pids = (int(name) for name in os.listdir("/proc") if name.isdigit())  # noqa: PTH208 - thousands of Paths
    found = (read_stat(pid) for pid in pids if pid != os.getpid())
    return {stat.pid: stat for stat in found if stat and stat.alive}


def descendants(census: ProcessTable, roots: set[int]) -> set[int]:
    """The roots aren't among them."""
    children: dict[int, list[int]] = {}
    for stat in census.values():
        children.setdefault(stat.ppid, []).append(stat.pid)
    found: set[int] = set()
    edge = list(roots)
    while edge:
        new = [pid for pid in children.get(edge.pop(), ()) if pid not in found]
        found.update(new)
        edge.extend(new)
    return found - roots


def _marks(pid: int) -> frozenset[bytes]:
    """The markers that the agent gave to the process, empty when they can't be read."""
    try:
        lines = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return frozenset()
    return frozenset(line for line in lines if line.startswith((b"DSR1_AGENT=", b"DSR1_PROCESS=")))


def _is_main(stat: ProcStat, target: StopTarget) -> bool:
    return stat.pid == target.record.pid and stat.start_time == target.record.start_time


def _is_seed(stat: ProcStat, target: StopTarget, family: set[int], look_everywhere: bool) -> bool:
    """Ours by evidence: the recorded start time; or the group and our marker or descent; or both
    markers."""
    leader = target.record.pid
    if stat.pid == leader:
        return _is_main(stat, target)
    mark, name = f"DSR1_AGENT={target.mark}".encode(), f"DSR1_PROCESS={target.name}".encode()
    if leader == stat.pgid:
        return stat.pid in family or mark in _marks(stat.pid)
    return (look_everywhere or stat.pid in family) and {mark, name} <= _marks(stat.pid)


def find_members(
    targets: tuple[StopTarget, ...], agent: int | None, *, strays: bool
) -> dict[str, list[ProcStat]]:
    """What is alive, by process name.

    `agent` is the pid of the living agent, to which every orphan comes back (it is their
    subreaper); None: it is dead, and what left its group is found by its markers alone. `strays`:
    what came back to the agent and bears no mark of any process counts too; sensible when
    everything of the agent is being ended.
    """
    census, boot = read_process_table(), boot_id()
    family = descendants(census, {agent}) if agent else set[int]()
    found: dict[str, list[ProcStat]] = {}
    for target in targets:
        if target.record.boot_id == boot:
            seeds = {s.pid for s in census.values() if _is_seed(s, target, family, agent is None)}
            found[target.name] = [census[pid] for pid in sorted(seeds | descendants(census, seeds))]
    if strays:
        known = {stat.pid for stats in found.values() for stat in stats}
        found[STRAYS] = [census[pid] for pid in sorted(family - known)]
    return {name: stats for name, stats in found.items() if stats}

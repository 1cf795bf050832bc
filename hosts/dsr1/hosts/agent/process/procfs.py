"""Finds what is alive of a process: its group, and what left it. Scans /proc, so only while
stopping."""

import os
from dataclasses import dataclass
from pathlib import Path

from dsr1.hosts.agent.process.records import ProcessRecord
from dsr1.hosts.protocol.identity import ProcStat, read_stat
from dsr1.hosts.protocol.marks import RUN_ID, AgentIdentity, Marks, read_marks

ProcessTable = dict[int, ProcStat]
FoundProcesses = dict[str, list[ProcStat]]
STRAYS, AGENT_ITSELF = "(left its process)", "(agent)"


@dataclass(frozen=True, slots=True)
class StopTarget:
    """A process to be ended, as it was recorded."""

    name: str
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


def marks_of(pid: int) -> Marks | None:
    """None: it has none, or they can't be read, since it is another user's."""
    try:
        text = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return None
    if f"{RUN_ID}=".encode() not in text:
        return None
    lines = (line.partition("=") for line in text.decode(errors="replace").split("\0"))
    return read_marks({name: value for name, _, value in lines if name.startswith("DSR1_")})


def find_marked() -> dict[int, tuple[ProcStat, Marks]]:
    """By pid, every process of this user that belongs to a run."""
    found: dict[int, tuple[ProcStat, Marks]] = {}
    for pid, stat in read_process_table().items():
        if marks := marks_of(pid):
            found[pid] = (stat, marks)
    return found


def find_run_processes(identity: AgentIdentity) -> FoundProcesses:
    """What is alive of one agent's, by process name, found by its identity alone: an agent or its
    files may be gone. Descendants belong to it, and what is in a process's group."""
    table = read_process_table()
    names = _marked_names(table, identity)
    groups = {table[pid].pgid: name for pid, name in names.items() if name != AGENT_ITSELF}
    for pid, stat in table.items():
        if stat.pgid in groups and pid not in names:
            names[pid] = groups[stat.pgid]
    for pid in descendants(table, set(names)):
        names.setdefault(pid, STRAYS)
    found: FoundProcesses = {}
    for pid in sorted(names):
        found.setdefault(names[pid], []).append(table[pid])
    return found


def _marked_names(table: ProcessTable, identity: AgentIdentity) -> dict[int, str]:
    found: dict[int, str] = {}
    for pid in table:
        marks = marks_of(pid)
        if marks and marks.identity == identity:
            found[pid] = marks.process or AGENT_ITSELF
    return found


def _is_main(stat: ProcStat, target: StopTarget) -> bool:
    return stat.pid == target.record.pid and stat.start_time == target.record.start_time


def _is_seed(stat: ProcStat, target: StopTarget, family: set[int]) -> bool:
    """Ours by evidence: the recorded start time; or the group and descent; or descent and the
    marks."""
    if stat.pid == target.record.pid:
        return _is_main(stat, target)
    if stat.pid not in family:
        return False
    marks = marks_of(stat.pid) if stat.pgid != target.record.pid else None
    return stat.pgid == target.record.pid or (marks is not None and marks.process == target.name)


def find_members(targets: tuple[StopTarget, ...], agent: int, *, strays: bool) -> FoundProcesses:
    """What is alive, by process name.

    `agent` is the pid of the living agent, to which every orphan comes back (it is their
    subreaper). `strays`: what came back to it and bears no mark of any process counts too; sensible
    when everything of the agent is being ended.
    """
    table = read_process_table()
    family = descendants(table, {agent})
    pids: dict[str, set[int]] = {}
    for target in targets:
        seeds = _seeds(table, target, family)
        pids[target.name] = seeds | descendants(table, seeds)
    if strays:
        pids[STRAYS] = family.difference(*pids.values())
    return {name: [table[pid] for pid in sorted(own)] for name, own in pids.items() if own}


def _seeds(table: ProcessTable, target: StopTarget, family: set[int]) -> set[int]:
    return {stat.pid for stat in table.values() if _is_seed(stat, target, family)}

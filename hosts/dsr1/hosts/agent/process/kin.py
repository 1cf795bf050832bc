"""Which processes are a run's own: by the marks in their environment, and by their lineage, which a
copy of an environment doesn't have."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from dsr1.hosts.agent.process.lineage import agent_part, lineage_of, read_lineage
from dsr1.hosts.agent.process.procfs import (
    FoundProcesses,
    ProcessTable,
    descendants,
    read_process_table,
)
from dsr1.hosts.agent.process.records import ProcessRecord
from dsr1.hosts.agent.process.unjudged import command_of
from dsr1.hosts.protocol.identity import ProcStat
from dsr1.hosts.protocol.marks import RUN_ID, AgentIdentity, Marks, read_marks

STRAYS, AGENT_ITSELF = "(left its process)", "(agent)"


@dataclass(frozen=True, slots=True)
class StopTarget:
    """A process to be ended, as it was recorded. `lineage` is that of all it has started."""

    name: str
    record: ProcessRecord
    grace_s: float
    lineage: int


@dataclass(frozen=True, slots=True)
class Kin:
    """What tells whose a process is. `marks` None: it has none, or they can't be read. `lineage`
    0: it has none, or it can't be read."""

    stat: ProcStat
    marks: Marks | None
    lineage: int

    def is_of(self, identity: AgentIdentity) -> bool:
        """An agent that could take no lineage has given its processes none, nor has an older
        one."""
        if agent_part(self.lineage):
            return agent_part(self.lineage) == agent_part(lineage_of(identity))
        return self.claims(identity) and not (self.marks and self.marks.lineage)

    def claims(self, identity: AgentIdentity) -> bool:
        """By its environment, which may be a copy."""
        return self.marks is not None and self.marks.identity == identity


def marks_of(pid: int) -> Marks | None:
    """None: it has none, or they can't be read: it is another user's, or can't be dumped."""
    try:
        text = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return None
    if f"{RUN_ID}=".encode() not in text:
        return None
    lines = (line.partition("=") for line in text.decode(errors="replace").split("\0"))
    return read_marks({name: value for name, _, value in lines if name.startswith("DSR1_")})


def read_kin(table: ProcessTable) -> dict[int, Kin]:
    """By pid, of what seems to belong to any run."""
    every = (Kin(stat, marks_of(pid), read_lineage(pid) or 0) for pid, stat in table.items())
    return {kin.stat.pid: kin for kin in every if kin.marks or agent_part(kin.lineage)}


def find_marked() -> dict[int, tuple[ProcStat, Marks]]:
    """By pid, every process of this user that belongs to a run, and says to which."""
    kin = read_kin(read_process_table())
    return {
        pid: (one.stat, one.marks)
        for pid, one in kin.items()
        if one.marks and one.is_of(one.marks.identity)
    }


def find_run_processes(identity: AgentIdentity, names: Iterable[str] = ()) -> FoundProcesses:
    """What is alive of one agent's, by process name, found by its identity alone: an agent or its
    files may be gone. Descendants belong to it, and what is in a process's group. `names` are those
    that its processes may have: what can't be dumped tells no name itself."""
    table = read_process_table()
    return sort_by_name(table, _members(table, read_kin(table), identity, names))


def sort_by_name(table: ProcessTable, names: Mapping[int, str]) -> FoundProcesses:
    found: FoundProcesses = {}
    for pid in sorted(names):
        found.setdefault(names[pid], []).append(table[pid])
    return found


def _members(
    table: ProcessTable, kin: Mapping[int, Kin], identity: AgentIdentity, names: Iterable[str]
) -> dict[int, str]:
    """Names by pid."""
    known = {lineage_of(identity, name): name for name in ("", *names)}
    found = {pid: _name(one, known) for pid, one in kin.items() if one.is_of(identity)}
    groups = {table[pid].pgid: name for pid, name in found.items() if name != AGENT_ITSELF}
    for pid, stat in table.items():
        if stat.pgid in groups and pid not in found:
            found[pid] = groups[stat.pgid]
    for pid in descendants(table, set(found)):
        found.setdefault(pid, STRAYS)
    return found


def _name(kin: Kin, known: Mapping[int, str]) -> str:
    """Of a process that belongs to the run: its environment may be of another one."""
    if kin.marks and kin.marks.lineage == kin.lineage:
        return kin.marks.process or AGENT_ITSELF
    return known.get(kin.lineage, STRAYS) or AGENT_ITSELF


def find_copies(identity: AgentIdentity) -> tuple[str, ...]:
    """In words, processes with a copy of the agent's or a process's environment, which nothing of
    the run has started: somebody's shell, a debugger."""
    table = read_process_table()
    kin = read_kin(table)
    own = _members(table, kin, identity, ())
    copies = (pid for pid, one in sorted(kin.items()) if one.claims(identity) and pid not in own)
    return tuple(f"pid {pid} ({command_of(pid)})" for pid in copies)


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
        seeds = {stat.pid for stat in table.values() if _is_seed(stat, target, family)}
        pids[target.name] = seeds | descendants(table, seeds)
    if strays:
        pids[STRAYS] = family.difference(*pids.values())
    return {name: [table[pid] for pid in sorted(own)] for name, own in pids.items() if own}


def _is_seed(stat: ProcStat, target: StopTarget, family: set[int]) -> bool:
    """Ours by evidence: the recorded start time; or the lineage; or the group and descent; or
    descent and the marks."""
    if stat.pid == target.record.pid and not stat.is_hidden:
        return stat.start_time == target.record.start_time
    if read_lineage(stat.pid) == target.lineage:
        return True
    if stat.pid not in family:
        return False
    marks = marks_of(stat.pid) if stat.pgid != target.record.pid else None
    return stat.pgid == target.record.pid or (marks is not None and marks.process == target.name)

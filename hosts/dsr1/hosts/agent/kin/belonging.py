"""Which processes are a run's own: by the marks in their environment, and by their lineage, which a
copy of an environment doesn't have."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from dsr1.hosts.agent.kin.lineage import agent_part, lineage_of, read_lineage
from dsr1.hosts.agent.kin.procfs import (
    FoundProcesses,
    ProcessTable,
    descendants,
    read_process_table,
)
from dsr1.hosts.agent.kin.unjudged import command_of
from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.protocol.identity import ProcStat
from dsr1.hosts.protocol.marks import RUN_ID, AgentIdentity, Marks, read_marks

STRAYS, AGENT_ITSELF = "(left its process)", "(agent)"


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

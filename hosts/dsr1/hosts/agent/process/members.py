"""What is alive of an agent's processes, found by the agent itself while it lives."""

from dsr1.hosts.agent.kin.belonging import STRAYS, marks_of
from dsr1.hosts.agent.kin.lineage import read_lineage
from dsr1.hosts.agent.kin.procfs import FoundProcesses, descendants, read_process_table
from dsr1.hosts.agent.process.records import ProcessRecord
from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.protocol.identity import ProcStat


@dataclass(frozen=True, slots=True)
class StopTarget:
    """A process to be ended, as it was recorded. `lineage` is that of all it has started."""

    name: str
    record: ProcessRecord
    grace_s: float
    lineage: int


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

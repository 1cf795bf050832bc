"""What a drill sees of the hosts: from /proc of each, never from what dsr1 says."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.hosts import Cluster

from dsr1.hosts.protocol.identity import parse_stat, read_stat
from dsr1.hosts.protocol.marks import Marks, read_marks


@dataclass(frozen=True, slots=True)
class MarkedProcess:
    """A process of a run, by its marks. `pid` and `start_time` are the machine's."""

    box: str
    pid: int
    start_time: float
    marks: Marks

    @property
    def suspended(self) -> bool:
        """By a signal; nobody has told it to go on."""
        stat = read_stat(self.pid)
        return stat is not None and stat.state == "T"


def marked_processes(cluster: Cluster) -> list[MarkedProcess]:
    """On every host that is up, whatever network it has."""
    boxes = {_pid_space(box.pid): name for name, box in cluster.boxes.items() if box.up}
    return [
        MarkedProcess(name, pid, started, marks)
        for pid in (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal())
        if (name := boxes.get(_pid_space(pid)))
        for started, marks in _marks(pid)
    ]


def _pid_space(pid: int) -> str:
    """Empty: it is gone."""
    try:
        return str(Path(f"/proc/{pid}/ns/pid").readlink())
    except OSError:
        return ""


def _marks(pid: int) -> Iterator[tuple[float, Marks]]:
    """Its start time and marks, if it is alive and has any."""
    stat = read_stat(pid)
    try:
        lines = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return
    pairs = (line.decode(errors="replace").partition("=") for line in lines)
    marks = read_marks({name: value for name, _, value in pairs})
    if stat is not None and stat.alive and marks is not None:
        yield stat.start_time, marks


def of_run(cluster: Cluster, run_id: str) -> list[MarkedProcess]:
    return [one for one in marked_processes(cluster) if one.marks.identity.run_id == run_id]


def state_letter(stat: Path) -> str:
    """Of a process, from its file in a host's own /proc; empty when it is gone."""
    try:
        return parse_stat(stat.read_text()).state.strip("Z")
    except OSError:
        return ""


def describe(processes: list[MarkedProcess]) -> str:
    names = [f"{one.box} {one.marks.process or 'agent'} pid {one.pid}" for one in processes]
    return ", ".join(names) or "nothing"

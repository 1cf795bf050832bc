"""What a drill sees of the hosts: from /proc of each, never from what dsr1 says."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.box import pids_in
from tests.cluster.hosts import Cluster

from dsr1.hosts.protocol.identity import read_stat
from dsr1.hosts.protocol.marks import Marks, read_marks


@dataclass(frozen=True, slots=True)
class MarkedProcess:
    """A process of a run, by its marks. `pid` and `start_time` are the machine's."""

    box: str
    pid: int
    start_time: float
    marks: Marks


def marked_processes(cluster: Cluster) -> list[MarkedProcess]:
    """On every host that is up, whatever network it has."""
    return [
        MarkedProcess(name, pid, started, marks)
        for name, box in cluster.boxes.items()
        if box.up
        for pid, started, marks in _marked(box.spaces)
    ]


def _marked(spaces: frozenset[str]) -> Iterator[tuple[int, float, Marks]]:
    for pid in pids_in(spaces):
        stat = read_stat(pid)
        try:
            lines = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        except OSError:
            continue
        pairs = (line.decode(errors="replace").partition("=") for line in lines)
        marks = read_marks({name: value for name, _, value in pairs})
        if stat is not None and stat.alive and marks is not None:
            yield pid, stat.start_time, marks


def of_run(cluster: Cluster, run_id: str) -> list[MarkedProcess]:
    return [one for one in marked_processes(cluster) if one.marks.identity.run_id == run_id]


def describe(processes: list[MarkedProcess]) -> str:
    names = [f"{one.box} {one.marks.process or 'agent'} pid {one.pid}" for one in processes]
    return ", ".join(names) or "nothing"

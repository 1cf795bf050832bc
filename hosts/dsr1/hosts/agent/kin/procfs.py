"""What is alive on this host: its process table, from /proc, and whose children they are. Scans
/proc, so only while stopping."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from dsr1.hosts.agent.kin.lineage import agent_part, read_lineage
from dsr1.hosts.protocol.identity import HIDDEN, ProcStat, read_stat

ProcessTable = dict[int, ProcStat]
FoundProcesses = dict[str, list[ProcStat]]
_KERNEL = 2  # kthreadd, whose children are the kernel's own


def read_process_table() -> ProcessTable:
    """Everything alive on the host but this very process and the kernel's. Of what /proc hides,
    that which has a run's lineage."""
    found = [read_stat(pid) for pid in _listed() if pid != os.getpid()]
    shown = {one.pid: one for one in found if one and one.alive and one.ppid != _KERNEL}
    return shown | {stat.pid: stat for stat in _hidden_kin()} if hides() else shown


def _listed() -> set[int]:
    return {int(name) for name in os.listdir("/proc") if name.isdigit()}  # noqa: PTH208 - thousands of Paths


def hides() -> bool:
    """Whether /proc is mounted with hidepid (proc(5)): then a process of our own that can't be
    dumped isn't shown either."""
    try:
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    except OSError:
        return False
    of_proc = [line for line in mounts if line.split()[4] == "/proc"]
    return bool(of_proc) and "hidepid=" in of_proc[-1] and os.geteuid() != 0


def hidden_pids() -> Iterator[int]:
    """Of processes, and some threads, that /proc doesn't list: by their cgroups, which hide
    nothing; without any, by asking the kernel for each number that there may be, a microsecond
    each."""
    shown = _listed()
    pids = next(filter(lambda found: os.getpid() in found, map(_in_cgroups, _cgroups())), None)
    every = pids or range(1, int(Path("/proc/sys/kernel/pid_max").read_text()) + 1)
    for pid in every:
        if pid not in shown and _group(pid):
            yield pid


def _cgroups() -> list[str]:
    """Where hierarchies of cgroups are mounted."""
    mounts = (line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines())
    return [words[4] for words in mounts if words[words.index("-") + 1].startswith("cgroup")]


def _in_cgroups(root: str) -> set[int]:
    found: set[int] = set()
    for folder, _, files in os.walk(root):
        if "cgroup.procs" in files:
            with contextlib.suppress(OSError):
                text = Path(folder, "cgroup.procs").read_text()
                found.update(map(int, text.split()))
    return found


def _group(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except OSError:
        return None


def _hidden_kin() -> Iterator[ProcStat]:
    for pid in hidden_pids():
        group = _group(pid)
        if group is not None and agent_part(read_lineage(pid) or 0) and is_process(pid):
            yield ProcStat(pid, "?", 0, group, 1, HIDDEN)


def is_process(pid: int) -> bool:
    """False: it is a thread's number, or nobody's."""
    try:
        os.close(os.pidfd_open(pid))
    except OSError:
        return False
    return True


def is_ours(pid: int) -> bool:
    """Whether we may signal it."""
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


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

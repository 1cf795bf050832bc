"""Processes of this user of which nobody can tell whether they are a run's: then its absence isn't
proven, and is not claimed."""

from collections.abc import Iterator
from pathlib import Path

from dsr1.hosts.agent.kin.lineage import read_lineage
from dsr1.hosts.agent.kin.procfs import hidden_pids, hides, is_ours, is_process, read_process_table
from dsr1.hosts.protocol.identity import ProcStat

REAPERS = ("systemd",)  # the user's own one, beside pid 1: orphans come to it


def command_of(pid: int) -> str:
    """Whoever chose it: on one line. Empty: it isn't shown."""
    try:
        name = Path(f"/proc/{pid}/comm").read_text(errors="replace").strip()
    except OSError:
        return ""
    return "".join(letter if letter.isprintable() else "?" for letter in name)


def find_unjudged(since: float | None) -> tuple[str, ...]:
    """In words. `since`: the start time of an agent that could have no lineage; None: it had
    one."""
    found = [f"pid {pid}, which /proc hides (hidepid)," for pid in _hidden()] if hides() else []
    if since is not None:
        table = read_process_table()
        found += [
            f"pid {stat.pid} ({command_of(stat.pid)}), whose environment can't be read,"
            for stat in table.values()
            if stat.start_time >= since and _is_orphan(stat) and _is_shut(stat.pid)
        ]
    return tuple(f"{one} may be of this run: nothing tells whose it is" for one in found)


def _hidden() -> Iterator[int]:
    """Processes of ours, for they can be signalled, that have become another group besides."""
    for pid in hidden_pids():
        if read_lineage(pid) is None and is_ours(pid) and is_process(pid):
            yield pid


def _is_orphan(stat: ProcStat) -> bool:
    """Of a parent that died: nobody else knows whose child it was."""
    return stat.ppid == 1 or command_of(stat.ppid) in REAPERS


def _is_shut(pid: int) -> bool:
    """Whether it is ours, and can't be looked into."""
    try:
        Path(f"/proc/{pid}/environ").read_bytes()
    except PermissionError:
        return is_ours(pid)
    except OSError:
        return False
    return False

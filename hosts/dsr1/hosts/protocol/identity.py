"""Who a process is: a pid alone is reused, a pid with its start time and the host's boot id is
not."""

from dataclasses import dataclass
from pathlib import Path

from dsr1.hosts.protocol.boot import boot_id


@dataclass(frozen=True, slots=True)
class ProcStat:
    """What /proc/PID/stat says of a process. `start_time` is in clock ticks since boot (field 22,
    proc(5))."""

    pid: int
    state: str
    ppid: int
    pgid: int
    threads: int
    start_time: float

    @property
    def alive(self) -> bool:
        """A zombie has ended, unless only its main thread has."""
        return self.state not in "ZX" or self.threads > 1


def parse_stat(text: str) -> ProcStat:
    """The name stands in parentheses and may hold spaces and parentheses itself, so fields count
    from the last one."""
    rest = text[text.rindex(")") + 2 :].split()
    pid = int(text[: text.index(" ")])
    return ProcStat(pid, rest[0], int(rest[1]), int(rest[2]), int(rest[17]), float(rest[19]))


def read_stat(pid: int) -> ProcStat | None:
    """None: there is no such process."""
    try:
        return parse_stat(Path(f"/proc/{pid}/stat").read_bytes().decode(errors="replace"))
    except (OSError, ValueError, IndexError):
        return None


def start_time(pid: int) -> float | None:
    """In clock ticks since boot. None: there is no such process."""
    stat = read_stat(pid)
    return stat.start_time if stat else None


def is_alive(pid: int, started: float, boot: str) -> bool:
    """Whether the very process that was recorded is still alive."""
    stat = read_stat(pid)
    return boot == boot_id() and stat is not None and stat.alive and stat.start_time == started

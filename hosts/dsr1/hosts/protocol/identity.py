"""Who a process is: a pid alone is reused, a pid with its start time and the host's boot id is
not."""

import socket
from pathlib import Path

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.protocol.boot import boot_id

HIDDEN = -1.0


@dataclass(frozen=True, slots=True)
class ProcStat:
    """What /proc/PID/stat says of a process. `start_time` is in clock ticks since boot (field 22,
    proc(5)); HIDDEN: /proc doesn't show it, and its parent isn't known either."""

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

    @property
    def is_hidden(self) -> bool:
        return self.start_time == HIDDEN


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


@dataclass(frozen=True, slots=True)
class RecordedProcess:
    """As a file tells of it that several machines may see (a home that login nodes share). `host`
    is the name of its machine; empty: nobody wrote it down."""

    pid: int
    started: float
    boot: str
    host: str = ""

    @property
    def lives(self) -> bool:
        return is_alive(self.pid, self.started, self.boot)

    @property
    def elsewhere(self) -> str:
        """The name of another machine that it was recorded on: whether it lives can't be told from
        here. Empty: this one."""
        return self.host if self.host != socket.gethostname() and not self.lives else ""


def record_process(pid: int) -> RecordedProcess:
    return RecordedProcess(pid, start_time(pid) or 0.0, boot_id(), socket.gethostname())


def is_alive(pid: int, started: float, boot: str) -> bool:
    """Whether the very process that was recorded is still alive."""
    stat = read_stat(pid)
    return boot == boot_id() and stat is not None and stat.alive and stat.start_time == started

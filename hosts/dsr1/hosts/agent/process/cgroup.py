"""How often the kernel killed something of a process's cgroup for want of memory."""

import contextlib
import os
import time
from pathlib import Path


def oom_kills(pid: int, root: Path = Path("/")) -> int:
    """Counted since the cgroup was made, in version 2 or 1; 0 where nothing counts. OSError: the
    process is gone."""
    lines = (root / f"proc/{pid}/cgroup").read_text().splitlines()
    return max((_of_line(line, root) for line in lines), default=0)


def _of_line(line: str, root: Path) -> int:
    _, controllers, path = line.split(":", 2)
    if not controllers:
        file = root / "sys/fs/cgroup" / path.lstrip("/") / "memory.events"
    elif controllers == "memory":
        file = root / "sys/fs/cgroup/memory" / path.lstrip("/") / "memory.oom_control"
    else:
        return 0
    try:
        words = dict(row.split() for row in file.read_text().splitlines())
    except (OSError, ValueError):
        return 0
    return int(words.get("oom_kill", 0))


def since_boot() -> float:
    """Seconds, by a clock that all processes share and nobody can set."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class KillCount:
    """Notes in a file when the count grew, in seconds since the boot: a cgroup may have had kills
    long before."""

    def __init__(self, path: Path) -> None:
        self._path, self._known = path, -1

    def note(self) -> None:
        """Of this very process's cgroup, which its children are in. A full disk costs the note."""
        with contextlib.suppress(OSError):
            count = oom_kills(os.getpid())
            if count != self._known:
                self._known = count
                with self._path.open("a") as file:
                    file.write(f"{since_boot():.0f} {count}\n")


def kills_since(path: Path, since: float, pid: int) -> int:
    """Of the cgroup of `pid`, beyond what had been noted before `since`, seconds after the
    boot, or first of all."""
    try:
        notes = [line.split() for line in path.read_text().splitlines()]
        count = oom_kills(pid)
    except OSError:
        return 0
    before = [int(kills) for at, kills in notes if float(at) <= since] or [int(notes[0][1])]
    return max(0, count - before[-1])

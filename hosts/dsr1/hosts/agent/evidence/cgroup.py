"""How often the kernel killed something of a process's cgroup for want of memory."""

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

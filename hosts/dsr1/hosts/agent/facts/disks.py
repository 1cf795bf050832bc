"""Facts of the folders that a run writes to: file system, room, and whether what is written there
may run.

Each is looked at in a child: statvfs of a dead network mount never returns.
"""

import os
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from dsr1.hosts.agent.facts.reading.children import begin_in_child, only
from dsr1.hosts.agent.facts.reading.mounts import file_system_of, nearest
from dsr1.hosts.protocol.fact import FactValue, Reader

DISK_S = 3.0
STALE = ("nccl-*", "psm_*", "sem.*", "vllm*", "torch_*")


def disk_readers(root: Path, folders: Sequence[str]) -> list[Reader]:
    """They begin here. One that hangs takes nothing from the others: each has a child of its
    own."""
    info, shm = root / "proc/self/mountinfo", root / "dev/shm"
    looks = {
        path: begin_in_child(partial(disk_usage, path, info), DISK_S)
        for path in dict.fromkeys(folders)
    }
    free = begin_in_child(lambda: iter([free_bytes(shm)]), DISK_S)
    stale = begin_in_child(lambda: iter([find_stale(shm)]), DISK_S)
    return [
        ("disks", str(info), lambda: {path: _result(look()) for path, look in looks.items()}),
        ("memory.shm_free", str(shm), lambda: only(free())),
        ("memory.shm_stale", str(shm), lambda: only(stale())),
    ]


def _result(told: tuple[list[FactValue], str]) -> FactValue:
    values, problem = told
    return {"problem": problem or "nothing was told"} if problem or not values else values[0]


def disk_usage(path: str, info: Path) -> Iterator[FactValue]:
    """`path` may begin with `~`. Where it isn't yet, the folder above it is told of: it will be
    made there."""
    folder = Path(path).expanduser().absolute()
    there = nearest(folder)
    seen = os.statvfs(there)
    yield {
        **file_system_of(folder, info),
        "inodes_free": seen.f_favail,
        "inodes": seen.f_files,
        "writable": os.access(there, os.W_OK | os.X_OK),
        "exec": not seen.f_flag & os.ST_NOEXEC,
    }


def free_bytes(path: Path) -> int:
    seen = os.statvfs(path)
    return seen.f_bavail * seen.f_frsize


def find_stale(shm: Path) -> FactValue:
    """Files of this user that runs left: no process, as far as we may see, still maps them."""
    mine = {str(file): _size_if_ours(file) for kind in STALE for file in shm.glob(kind)}
    pids = os.listdir("/proc") if mine else ()  # noqa: PTH208 - thousands of Paths
    used = {path for pid in pids if pid.isdigit() for path in _mapped(pid)}
    left = [size for path, size in mine.items() if size is not None and path not in used]
    return {"files": len(left), "bytes": sum(left)}


def _size_if_ours(file: Path) -> int | None:
    """None: it is another user's, or gone meanwhile."""
    try:
        seen = file.stat()
    except FileNotFoundError:
        return None
    return seen.st_size if seen.st_uid == os.geteuid() else None


def _mapped(pid: str) -> set[str]:
    """What the process has of /dev/shm in its memory."""
    try:
        lines = Path(f"/proc/{pid}/maps").read_text(errors="replace").splitlines()
    except OSError:
        return set()
    return {line.split(maxsplit=5)[5] for line in lines if "/dev/shm/" in line}

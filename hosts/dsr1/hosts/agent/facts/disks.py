"""Facts of the folders that a run writes to: file system, room, and whether what is written there
may run.

Each is read in a child: statvfs of a dead network mount never returns.
"""

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from dsr1.hosts.agent.facts.reading.children import begin_value
from dsr1.hosts.agent.facts.reading.mounts import file_system_of, free_bytes, nearest
from dsr1.hosts.protocol.facts.fact import FactValue, Reader

DISK_S = 3.0
STALE = ("nccl-*", "psm_*", "sem.*", "vllm*", "torch_*")
WORTH_ASKING = 64 * 2**20


def disk_readers(root: Path, folders: Sequence[str]) -> list[Reader]:
    """They begin here. One that hangs takes nothing from the others: each has a child of its
    own."""
    info, shm = root / "proc/self/mountinfo", root / "dev/shm"
    usage = {
        path: begin_value(partial(disk_usage, path, info), DISK_S)
        for path in dict.fromkeys(folders)
    }
    return [
        ("disks", str(info), lambda: {path: _or_problem(read) for path, read in usage.items()}),
        ("memory.shm_free", str(shm), begin_value(partial(free_bytes, shm), DISK_S)),
        ("memory.shm_stale", str(shm), begin_value(partial(find_stale, shm), DISK_S)),
    ]


def _or_problem(read: Callable[[], FactValue]) -> FactValue:
    try:
        return read()
    except OSError as error:
        return {"problem": str(error)}


def disk_usage(path: str, info: Path) -> FactValue:
    """`path` may begin with `~`. Where it isn't yet, it is the folder above it: it will be made
    there."""
    folder = Path(path).expanduser().absolute()
    there = nearest(folder)
    system = os.statvfs(there)
    return {
        **file_system_of(folder, info),
        "inodes_free": system.f_favail,
        "inodes": system.f_files,
        "writable": os.access(there, os.W_OK | os.X_OK),
        "exec": not system.f_flag & os.ST_NOEXEC,
    }


def find_stale(shm: Path) -> FactValue:
    """Files of this user that runs left and no process, as far as we may see, still maps. Where all
    there are take next to nothing, nobody is asked: that reads the maps of every process."""
    mine = {str(file): _taken_if_ours(file) for kind in STALE for file in shm.glob(kind)}
    asked = sum(mine.values()) >= WORTH_ASKING
    pids = os.listdir("/proc") if asked else ()  # noqa: PTH208 - thousands of Paths
    used = {path for pid in pids if pid.isdigit() for path in _mapped(pid, f"{shm}/")}
    left = [taken for path, taken in mine.items() if asked and taken and path not in used]
    return {"files": len(left), "bytes": sum(left)}


def _taken_if_ours(file: Path) -> int:
    """What of it is in memory, in bytes: vLLM's are of 240 MiB, and mostly holes. 0: it is another
    user's, or gone meanwhile."""
    try:
        status = file.stat()
    except FileNotFoundError:
        return 0
    return status.st_blocks * 512 if status.st_uid == os.geteuid() else 0


def _mapped(pid: str, folder: str) -> set[str]:
    """What the process has of the folder in its memory."""
    try:
        lines = Path(f"/proc/{pid}/maps").read_text(errors="replace").splitlines()
    except OSError:
        return set()
    return {line.split(maxsplit=5)[5] for line in lines if folder in line}

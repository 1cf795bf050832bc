"""Limits as the workers will have them: the agent that reads them starts the workers, and they
inherit."""

import re
import resource
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from dsr1.hosts.agent.facts.reading.files import read, read_int, read_or
from dsr1.hosts.protocol.facts.fact import FactValue, Reader

KINDS = {
    "limit.memlock": (resource.RLIMIT_MEMLOCK, "soft"),
    "limit.nofile": (resource.RLIMIT_NOFILE, "hard"),  # vLLM raises its soft one itself
    "limit.nproc": (resource.RLIMIT_NPROC, "soft"),
    "limit.core": (resource.RLIMIT_CORE, "soft"),
}
UNIFIED = "0::"
IPC_LOCK = 14  # CAP_IPC_LOCK of linux/capability.h
ALL_USERS = 4294967295  # a user namespace of everybody
Parse = Callable[[str], float | None]


def limit_readers(root: Path) -> Iterator[Reader]:
    for name, (kind, side) in KINDS.items():
        yield name, f"getrlimit, {side}", partial(_limit, kind, side == "hard")
    own, kernel, groups = root / "proc/self", root / "proc/sys/kernel", root / "proc/self/cgroup"
    yield "limit.none_on_locks", f"{own}/status, uid_map", lambda: _is_free_to_lock(own)
    yield "limit.threads", str(kernel), lambda: _threads(kernel)
    for fact, (name, parse) in GROUP_FILES.items():
        yield fact, f"cgroup {name}", partial(_tightest, root, groups, name, parse)


def parse_cgroup(text: str) -> str:
    """/proc/self/cgroup, the unified hierarchy's path: `0::/user.slice/...`. ValueError: there is
    only a legacy one."""
    for line in text.splitlines():
        if line.startswith(UNIFIED):
            return line.removeprefix(UNIFIED)
    raise ValueError("no unified control group (cgroup v2)")


def parse_capabilities(text: str) -> int:
    """/proc/self/status: those that count, as bits. ValueError: it names none."""
    found = re.search(r"^CapEff:\s*([0-9a-f]{1,16})$", text, re.MULTILINE)
    if found is None:
        raise ValueError("no CapEff")
    return int(found[1], 16)


def _is_free_to_lock(own: Path) -> bool:
    """No limit on pinned memory holds for CAP_IPC_LOCK, as root has it; one within a namespace of
    users is none."""
    everybody = read(own / "uid_map").split()[2:3] == [str(ALL_USERS)]
    return everybody and bool(parse_capabilities(read(own / "status")) >> IPC_LOCK & 1)


def parse_most(text: str) -> float | None:
    """`max`, or a number."""
    word = text.strip()
    return None if word == "max" else int(word)


def parse_cpu_max(text: str) -> float | None:
    """`max 100000`, or quota and period: as a number of CPUs."""
    quota, period = text.split()
    return None if quota == "max" else int(quota) / int(period)


GROUP_FILES: dict[str, tuple[str, Parse]] = {
    "cgroup.pids": ("pids.max", parse_most),
    "cgroup.cpus": ("cpu.max", parse_cpu_max),
    "cgroup.memory": ("memory.max", parse_most),
}


def _threads(kernel: Path) -> int:
    return min(read_int(kernel / "threads-max"), read_int(kernel / "pid_max"))


def _tightest(root: Path, groups: Path, name: str, parse: Parse) -> FactValue:
    """The least that any group from ours up to the top allows; -1: none limits it."""
    own = root / "sys/fs/cgroup" / parse_cgroup(read(groups)).lstrip("/")
    folders = [own, *own.parents][: len(own.relative_to(root / "sys/fs/cgroup").parts) + 1]
    limits = [parse(text) for folder in folders if (text := read_or(folder / name))]
    return min((limit for limit in limits if limit is not None), default=-1)


def _limit(kind: int, hard: bool) -> int:
    return resource.getrlimit(kind)[hard]

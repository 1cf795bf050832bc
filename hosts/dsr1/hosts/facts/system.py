"""Facts of the operating system: limits as the workers will have them, memory, CPUs, modules, clock, environment."""

import os
import resource
import time
from collections.abc import Iterator
from pathlib import Path

from dsr1.hosts.facts.fact import Reader, Value

MODULES = ("nvidia", "nvidia_uvm", "nvidia_peermem", "gdrdrv", "mlx5_core", "mlx5_ib", "ib_uverbs", "rdma_ucm")
PROXIES = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")
SUSPECT = ("LD_PRELOAD", "CUDA_VISIBLE_DEVICES", *PROXIES)


def parse_meminfo(text: str) -> dict[str, int]:
    """/proc/meminfo, in bytes; lines without a unit are counts."""
    rows = (line.replace(":", "").split() for line in text.splitlines() if ":" in line)
    return {name: int(number) * (1024 if unit else 1) for name, number, *unit in rows}


def parse_modules(text: str) -> list[str]:
    """/proc/modules: the name is the first word."""
    return [line.split()[0] for line in text.splitlines() if line.strip()]


def system_readers(root: Path) -> Iterator[Reader]:
    proc, cpu0 = root / "proc", root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"
    balancing = proc / "sys/kernel/numa_balancing"
    yield "kernel.release", "uname", lambda: os.uname().release
    yield "kernel.modules", str(proc / "modules"), lambda: _modules(root)
    yield "kernel.numa_balancing", str(balancing), lambda: int(balancing.read_text())
    yield "cpu.governor", str(cpu0), lambda: cpu0.read_text().strip()
    yield "cpu.usable", "sched_getaffinity", lambda: len(os.sched_getaffinity(0))
    yield "limit.memlock", "getrlimit, soft", lambda: resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]
    yield "limit.nofile", "getrlimit, hard", lambda: resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    yield "memory.available", str(proc / "meminfo"), lambda: _available(proc)
    yield "memory.shm_free", str(root / "dev/shm"), lambda: _free(root / "dev/shm")
    yield "clock.now", "time", time.time
    yield "environment", "environ", lambda: {name: os.environ[name] for name in SUSPECT if name in os.environ}


def _modules(root: Path) -> list[Value]:
    """Those that matter here: loaded, or built in. A kernel without loadable modules lists none."""
    listed = root / "proc/modules"
    loaded = set(parse_modules(listed.read_text())) if listed.exists() else set()
    return [name for name in MODULES if name in loaded or (root / "sys/module" / name).exists()]


def _available(proc: Path) -> int:
    return parse_meminfo((proc / "meminfo").read_text())["MemAvailable"]


def _free(path: Path) -> int:
    seen = os.statvfs(path)
    return seen.f_bavail * seen.f_frsize

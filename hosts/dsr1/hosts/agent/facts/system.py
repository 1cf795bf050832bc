"""Facts of the operating system: kernel, memory, CPUs, modules, clock, environment."""

import os
import platform
import pwd
import re
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from dsr1.hosts.agent.facts.reading.children import begin_command
from dsr1.hosts.agent.facts.reading.files import read, read_int, read_or
from dsr1.hosts.protocol.facts.fact import FactValue, Reader

MODULES = (
    "nvidia",
    "nvidia_uvm",
    "nvidia_peermem",
    "gdrdrv",
    "mlx5_core",
    "mlx5_ib",
    "ib_uverbs",
    "rdma_ucm",
    "rdma_cm",
)
PROXIES = ("http_proxy", "https_proxy", "no_proxy")
SUSPECT = ("LD_PRELOAD", "CUDA_VISIBLE_DEVICES", *PROXIES, *(name.upper() for name in PROXIES))
STACKS = ("VLLM_", "NCCL_", "UCX_", "NVSHMEM_", "DYN_", "GLOO_")
SLURM = ("SLURM_JOB_ID", "SLURM_JOB_NODELIST", "SLURM_JOB_NUM_NODES", "SLURM_HET_SIZE")
UNSYNCED = 5  # TIME_ERROR of adjtimex(2)
FABRIC_MANAGER = (
    "systemctl",
    "show",
    "nvidia-fabricmanager",
    "--property=LoadState,ActiveState,SubState,NRestarts",
)


def parse_meminfo(text: str) -> dict[str, int]:
    """/proc/meminfo, in bytes; lines without a unit are counts."""
    rows = (line.replace(":", "").split() for line in text.splitlines() if ":" in line)
    return {name: int(number) * (1024 if unit else 1) for name, number, *unit in rows}


def parse_modules(text: str) -> list[str]:
    """/proc/modules: the name is the first word."""
    return [line.split()[0] for line in text.splitlines() if line.strip()]


def parse_swaps(text: str) -> int:
    """/proc/swaps, in bytes: a heading, then a line a device with its size in KiB third."""
    return sum(int(line.split()[2]) * 1024 for line in text.splitlines()[1:])


def parse_chosen(text: str) -> str:
    """`always [madvise] never`: the one in brackets. ValueError: there is none."""
    found = re.search(r"\[(\w+)\]", text)
    if found is None:
        raise ValueError(f"none is chosen in {text[:80]!r}")
    return found[1]


def parse_os(text: str) -> str:
    """/etc/os-release: `Ubuntu 24.04.3 LTS`."""
    found = re.search(r'^PRETTY_NAME="?([^"\n]*)"?$', text, re.MULTILINE)
    if found is None:
        raise ValueError("no PRETTY_NAME")
    return found[1]


def parse_cores(text: str) -> int:
    """Physical cores in /proc/cpuinfo; where it names none (virtual machines, ARM), its
    processors."""
    processors = [_rows(block) for block in text.split("\n\n") if block.startswith("processor")]
    if not processors:
        raise ValueError("no processor")
    cores = {
        (rows["physical id"], rows["core id"])
        for rows in processors
        if {"physical id", "core id"} <= rows.keys()
    }
    return len(cores) or len(processors)


def _rows(block: str) -> dict[str, str]:
    """`name\t: value` lines."""
    pairs = (line.partition(":") for line in block.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def is_virtual(text: str) -> bool:
    """Whether /proc/cpuinfo has the flag that a hypervisor sets. ValueError: it has no flags."""
    flags = re.search(r"^(?:flags|Features)\s*: (.*)$", text, re.MULTILINE)
    if flags is None:
        raise ValueError("no flags")
    return "hypervisor" in flags[1].split()


def parse_properties(text: str) -> dict[str, FactValue]:
    """`systemctl show`: NAME=VALUE lines."""
    rows = (line.partition("=") for line in text.splitlines() if "=" in line)
    return {name: value for name, _, value in rows}


def parse_tracking(text: str) -> dict[str, FactValue]:
    """`chronyc -c tracking`: comma separated; the name of the source second, the stratum third, the
    offset fifth."""
    fields = text.strip().split(",")
    return {"source": fields[1], "stratum": int(fields[2]), "offset_s": float(fields[4])}


def system_readers(root: Path) -> Iterator[Reader]:
    yield from _kernel(root)
    yield from _memory(root)
    yield from _cpus(root)
    yield "user", "uid", lambda: pwd.getpwuid(os.geteuid()).pw_name
    yield "clock.now", "time", time.time
    yield "clock.synchronized", "adjtimex", is_clock_synchronized
    yield "environment", "environ", lambda: _environment(SUSPECT)
    yield "environment.stacks", "environ", lambda: _environment(_stack_variables())
    yield "environment.slurm", "environ", lambda: _environment(SLURM)


def command_readers() -> list[Reader]:
    """They begin here, and are waited for when they are read."""
    fabric, clock = begin_command(FABRIC_MANAGER), begin_command(("chronyc", "-c", "tracking"))
    version = begin_command(("nv-fabricmanager", "--version"))
    return [
        ("fabric.manager", " ".join(FABRIC_MANAGER[:3]), lambda: parse_properties(fabric())),
        ("fabric.manager_version", "nv-fabricmanager --version", lambda: parse_version(version())),
        ("clock.source", "chronyc -c tracking", lambda: parse_tracking(clock())),
    ]


def parse_version(text: str) -> str:
    """The first thing in it that looks like a version. ValueError: nothing does."""
    found = re.search(r"(?<!\d)\d{1,9}(?:\.\d{1,9})+", text)
    if found is None:
        raise ValueError(f"no version in {text[:100]!r}")
    return found[0]


def _environment(names: Iterable[str]) -> FactValue:
    return {name: os.environ[name] for name in names if name in os.environ}


def _stack_variables() -> list[str]:
    return sorted(name for name in os.environ if name.startswith(STACKS))


def _kernel(root: Path) -> Iterator[Reader]:
    proc = root / "proc"
    release, balancing = root / "etc/os-release", proc / "sys/kernel/numa_balancing"
    groups, command = root / "sys/kernel/iommu_groups", proc / "cmdline"
    yield "kernel.release", "uname", lambda: os.uname().release
    yield "kernel.modules", str(proc / "modules"), lambda: _modules(root)
    yield "kernel.numa_balancing", str(balancing), lambda: read_int(balancing)
    yield "kernel.command_line", str(command), lambda: read(command).strip()
    yield "kernel.iommu", str(groups), lambda: _iommu_types(groups)
    yield "kernel.uptime_s", str(proc / "uptime"), lambda: float(read(proc / "uptime").split()[0])
    yield "os.name", str(release), lambda: parse_os(read(release))
    yield "os.libc", "the C library", lambda: " ".join(platform.libc_ver())


def _memory(root: Path) -> Iterator[Reader]:
    proc, huge = root / "proc", root / "sys/kernel/mm/transparent_hugepage/enabled"
    yield "memory.total", str(proc / "meminfo"), lambda: _meminfo(proc)["MemTotal"]
    yield "memory.available", str(proc / "meminfo"), lambda: _meminfo(proc)["MemAvailable"]
    yield "memory.huge_pages", str(proc / "meminfo"), lambda: _huge_pages(_meminfo(proc))
    yield "memory.swap", str(proc / "swaps"), lambda: parse_swaps(read(proc / "swaps"))
    yield "memory.thp", str(huge), lambda: parse_chosen(read(huge))


def _cpus(root: Path) -> Iterator[Reader]:
    cpu, info = root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", root / "proc/cpuinfo"
    yield "cpu.governor", str(cpu), lambda: read(cpu).strip()
    yield "cpu.cores", str(info), lambda: parse_cores(read(info))
    yield "cpu.virtual", str(info), lambda: is_virtual(read(info))
    yield "cpu.count", "os.cpu_count", os.cpu_count
    yield "cpu.usable", "sched_getaffinity", lambda: len(os.sched_getaffinity(0))


def _modules(root: Path) -> list[FactValue]:
    """Those that matter here: loaded, or built in. A kernel without loadable modules lists none.

    OSError: a container that shows neither.
    """
    listed, built_in = root / "proc/modules", root / "sys/module"
    loaded = set(parse_modules(read_or(listed) if built_in.is_dir() else read(listed)))
    return [name for name in MODULES if name in loaded or (built_in / name).exists()]


def _iommu_types(groups: Path) -> list[FactValue]:
    """How devices are mapped: `identity` is passthrough. Empty: the IOMMU is off, or the host's
    own."""
    types = {read(file).strip() for file in groups.glob("*/type")} if groups.is_dir() else ()
    return [*sorted(types)]


def _meminfo(proc: Path) -> dict[str, int]:
    return parse_meminfo(read(proc / "meminfo"))


def _huge_pages(meminfo: dict[str, int]) -> int:
    """Bytes that are set aside."""
    return meminfo["HugePages_Total"] * meminfo["Hugepagesize"]


def is_clock_synchronized() -> bool:
    """Whether the kernel holds the clock for synchronized, as timedatectl has it; no daemon is
    asked."""
    from ctypes import CDLL, create_string_buffer

    state = CDLL(None, use_errno=True).adjtimex(create_string_buffer(512))
    if state < 0:
        raise OSError("adjtimex is refused")
    return bool(state != UNSYNCED)

"""What each fact must look like to be judged: one that doesn't is a lie, and the check that needs
it UNKNOWN."""

from collections.abc import Callable, Mapping

ValueKind = Callable[[object], bool]


def count(value: object) -> bool:
    return type(value) is int and value >= 0


def limit(value: object) -> bool:
    """-1 is no limit."""
    return type(value) in (int, float) and -1 <= value <= 2**64  # type: ignore[operator]


def number(value: object) -> bool:
    return type(value) in (int, float) and abs(value) < 2**64  # type: ignore[arg-type]


def flag(value: object) -> bool:
    return type(value) is bool


def text(value: object) -> bool:
    return isinstance(value, str)


def words(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(word, str) for word in value)


def rows(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(row, Mapping) for row in value)


def table(value: object) -> bool:
    return isinstance(value, Mapping)


def texts(value: object) -> bool:
    return isinstance(value, Mapping) and all(isinstance(word, str) for word in value.values())


def flags(value: object) -> bool:
    return isinstance(value, Mapping) and all(type(word) is bool for word in value.values())


def draft_files(value: object) -> bool:
    """By model: its folder, and what is wrong with it."""
    own = value.values() if isinstance(value, Mapping) else (None,)
    return all(
        isinstance(one, Mapping) and text(one.get("folder")) and words(one.get("problems"))
        for one in own
    )


def counts(length: int) -> ValueKind:
    return lambda value: isinstance(value, list) and len(value) == length and all(map(count, value))


def pairs(value: object) -> bool:
    return isinstance(value, list) and all(map(counts(2), value))


KINDS: Mapping[str, ValueKind] = {
    "cgroup.cpus": limit,
    "cgroup.memory": limit,
    "cgroup.pids": limit,
    "clock.offset": number,
    "clock.source": table,
    "clock.synchronized": flag,
    "cpu.cores": count,
    "cpu.count": count,
    "cpu.governor": text,
    "cpu.usable": count,
    "cpu.virtual": flag,
    "disks": table,
    "environment": texts,
    "environment.slurm": texts,
    "environment.stacks": texts,
    "fabric.manager": texts,
    "fabric.manager_version": text,
    "gdrcopy.usable": flag,
    "gpu.cuda": table,
    "gpu.devices": rows,
    "gpu.kernel": rows,
    "gpu.processes": rows,
    "gpu.system": table,
    "ib.switches": texts,
    "ib.verbs": flags,
    "kernel.command_line": text,
    "kernel.iommu": words,
    "kernel.modules": words,
    "kernel.numa_balancing": count,
    "kernel.release": text,
    "kernel.uptime_s": number,
    "kernel.xids": rows,
    "limit.core": limit,
    "limit.memlock": limit,
    "limit.nofile": limit,
    "limit.none_on_locks": flag,
    "limit.nproc": limit,
    "limit.threads": limit,
    "memory.available": count,
    "memory.huge_pages": count,
    "memory.shm_free": count,
    "memory.shm_stale": table,
    "memory.swap": count,
    "memory.thp": text,
    "memory.total": count,
    "model.config": table,
    "model.drafts": draft_files,
    "net.addresses": table,
    "net.control": table,
    "net.ephemeral": counts(2),
    "net.etcd": texts,
    "net.etcd_version": texts,
    "net.interfaces": table,
    "net.listening": texts,
    "net.reserved": pairs,
    "net.resolved": table,
    "net.unprivileged": count,
    "nvidia.configured": text,
    "nvidia.driver": table,
    "nvidia.nodes": flags,
    "nvidia.on_bus": count,
    "nvidia.params": texts,
    "nvidia.peermem": flag,
    "os.libc": text,
    "os.name": text,
    "pci.acs": words,
    "software": texts,
    "software.libraries": rows,
    "software.deepep_nvshmem": text,
    "software.modules": words,
    "software.nccl": text,
    "software.nvcc": text,
    "software.python": texts,
    "software.tools": table,
    "software.ucx": text,
    "software.wishes": table,
    "user": text,
}
GPU_KINDS: Mapping[str, ValueKind] = {
    **dict.fromkeys(("name", "vbios", "inforom"), text),
    **dict.fromkeys(("capability", "mig", "ecc"), counts(2)),
    **dict.fromkeys(
        ("memory", "memory_used", "compute_mode", "persistence", "throttle", "recovery_action"),
        count,
    ),
    **dict.fromkeys(
        ("ecc_uncorrected", "ecc_sram_corrected", "ecc_dram_corrected", "ecc_sram_uncorrected"),
        count,
    ),
    **dict.fromkeys(("temperature", "temperature_slowdown", "power_limit", "power_default"), count),
    **dict.fromkeys(("clock_target", "clock_max", "pcie_replays", "speed"), count),
    **dict.fromkeys(
        ("pcie_width", "pcie_width_max", "pcie_generation", "pcie_generation_max"), count
    ),
    "ecc_sram_exceeded": flag,
    "fabric": lambda value: (
        isinstance(value, Mapping) and all(map(count, value.values())) and len(value) == 3
    ),
    "grown": lambda value: isinstance(value, Mapping) and all(map(count, value.values())),
    "links": rows,
    "processes": lambda value: isinstance(value, list) and all(map(count, value)),
    "remapped": counts(4),
}
"""What NVML tells of one GPU, and of a link."""

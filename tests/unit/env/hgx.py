"""The facts of a healthy HGX host of eight H100s, made up from the fact sheet, and what a plan asks
of it."""

import json
from pathlib import Path
from typing import Any

from tests.unit.env.test_model_memory import R1

from dsr1.env.checks.requirements import EngineShape, HostRequirements, Requirements
from dsr1.hosts.protocol.facts.fact import Fact, Facts, FactValue, from_wire

GIB = 2**30
CAPTURES = Path(__file__).parents[2] / "data" / "h100-slice"
LINK: dict[str, FactValue] = {
    "active": True,
    "speed": 26562,
    "errors": {"replay": 0, "recovery": 0, "crc_flit": 0, "crc_data": 0},
    "problems": {},
}
GPU: dict[str, FactValue] = {
    "name": "NVIDIA H100 80GB HBM3",
    "uuid": "GPU-1",
    "pci": "00000000:1B:00.0",
    "minor": 0,
    "capability": [9, 0],
    "memory": 85520809984,
    "memory_used": 503316480,
    "processes": [],
    "mig": [0, 0],
    "compute_mode": 0,
    "persistence": 1,
    "ecc": [1, 1],
    "ecc_uncorrected": 0,
    "ecc_sram_corrected": 0,
    "ecc_dram_corrected": 0,
    "ecc_sram_uncorrected": 0,
    "ecc_sram_exceeded": False,
    "remapped": [0, 0, 0, 0],
    "recovery_action": 0,
    "throttle": 1,
    "temperature": 36,
    "temperature_slowdown": 87,
    "power_limit": 700000,
    "power_default": 700000,
    "clock_target": 1980,
    "clock_max": 1980,
    "pcie_width": 16,
    "pcie_width_max": 16,
    "pcie_generation": 5,
    "pcie_generation_max": 5,
    "pcie_replays": 0,
    "vbios": "96.00.DA.00.0C",
    "inforom": "valid",
    "fabric": {"state": 3, "status": 0, "health": 0xAA},
    "links": [LINK] * 18,
    "grown": {"pcie_replays": 0, "links": 0},
    "problems": {},
}
ROOM: dict[str, FactValue] = {
    "type": "xfs",
    "mount": "/",
    "source": "/dev/nvme0n1",
    "free": 900 * GIB,
}
DISK: dict[str, FactValue] = {
    **ROOM,
    "inodes_free": 10**7,
    "inodes": 10**8,
    "writable": True,
    "exec": True,
}
SYSTEM: dict[str, FactValue] = {
    "driver": "580.159.04",
    "nvml": "13.580.159.04",
    "cuda": 13000,
    "confidential": 0,
    "nvlink": [[None if a == b else 0 for b in range(8)] for a in range(8)],
    "problems": {},
}
ETH0: dict[str, FactValue] = {
    "name": "eth0",
    "state": "up",
    "kind": 1,
    "mtu": 9000,
    "speed_mb": 25000,
    "carrier_changes": 2,
    "lowers": [],
}
LIBRARIES: list[FactValue] = [
    {"name": name, "problem": ""} for name in ("libcuda.so.1", "libibverbs.so.1")
]
HEALTHY: dict[str, FactValue] = {
    "gpu.devices": [GPU] * 8,
    "gpu.system": SYSTEM,
    "gpu.processes": [],
    "gpu.kernel": [{"name": "NVIDIA H100 80GB HBM3", "pci": "0000:1b:00.0"}] * 8,
    "gpu.cuda": {"code": 0, "count": 8},
    "nvidia.on_bus": 8,
    "nvidia.nodes": {f"nvidia{index}": True for index in range(8)},
    "nvidia.driver": {"version": "580.159.04", "open": True},
    "nvidia.params": {"EnableStreamMemOPs": "1", "RegistryDwords": "PeerMappingOverride=1;"},
    "nvidia.configured": "",
    "nvidia.peermem": True,
    "gdrcopy.usable": True,
    "fabric.manager": {
        "LoadState": "loaded",
        "ActiveState": "active",
        "SubState": "running",
        "NRestarts": "0",
    },
    "fabric.manager_version": "580.159.04",
    "kernel.xids": [],
    "kernel.release": "6.8.0",
    "kernel.modules": [
        "nvidia",
        "nvidia_uvm",
        "nvidia_peermem",
        "mlx5_core",
        "mlx5_ib",
        "ib_uverbs",
        "rdma_ucm",
    ],
    "kernel.numa_balancing": 0,
    "kernel.command_line": "quiet iommu=pt",
    "kernel.iommu": ["identity"],
    "kernel.uptime_s": 86400.0,
    "pci.acs": [],
    "os.name": "Ubuntu 24.04.3 LTS",
    "os.libc": "glibc 2.39",
    "cpu.governor": "performance",
    "cpu.cores": 96,
    "cpu.count": 192,
    "cpu.usable": 192,
    "cpu.virtual": False,
    "memory.total": 2048 * GIB,
    "memory.available": 2000 * GIB,
    "memory.huge_pages": 0,
    "memory.swap": 0,
    "memory.thp": "madvise",
    "memory.shm_free": 1000 * GIB,
    "memory.shm_stale": {"files": 0, "bytes": 0},
    "limit.memlock": -1,
    "limit.none_on_locks": False,
    "limit.nofile": 1048576,
    "limit.nproc": -1,
    "limit.core": 0,
    "limit.threads": 4194304,
    "cgroup.pids": -1,
    "cgroup.cpus": -1,
    "cgroup.memory": -1,
    "clock.now": 1.8e9,
    "clock.offset": 0.001,
    "clock.synchronized": True,
    "clock.source": {"source": "10.0.0.9", "stratum": 3, "offset_s": 0.0001},
    "user": "ada",
    "environment": {},
    "environment.stacks": {},
    "environment.slurm": {},
    "net.listening": {"22": "uid 0"},
    "net.ephemeral": [32768, 60999],
    "net.reserved": [],
    "net.unprivileged": 1024,
    "net.interfaces": {"eth0": ETH0},
    "net.addresses": {"lo": ["127.0.0.1"], "eth0": ["10.0.0.1"], "docker0": ["172.17.0.1"]},
    "net.control": {"address": "10.0.0.1", "interface": "eth0"},
    "net.resolved": {"a": ["10.0.0.1"], "b": ["10.0.0.2"]},
    "disks": {"/var/tmp": DISK, "/tmp": DISK},
    "software": {
        "vllm": "0.31.0",
        "torch": "2.13.0",
        "ai-dynamo": "1.6.1",
        "ai-dynamo-runtime": "1.6.1",
        "nvidia-nccl-cu13": "2.30.4",
        "nvidia-nvshmem-cu13": "3.4.5",
        "nixl": "1.5.1",
        "nixl-cu13": "1.5.1",
    },
    "software.wishes": {
        "ai-dynamo": {
            "requires": ['vllm[flashinfer]==0.31.0; extra == "vllm"', "numpy"],
            "extras": ["vllm", "sglang"],
        }
    },
    "software.modules": ["deep_ep", "nixl"],
    "software.python": {"version": "3.12.3", "path": "/opt/vllm/bin/python"},
    "software.tools": {
        "nvcc": "/usr/local/cuda/bin/nvcc",
        "g++": "/usr/bin/g++",
        "ninja": "/usr/bin/ninja",
    },
    "software.nvcc": "13.0",
    "software.nccl": "2.30.4",
    "software.ucx": "1.23.0",
    "software.deepep_nvshmem": "3.4.5",
    "software.libraries": LIBRARIES,
    "model.config": {**R1, "model_type": "deepseek_v3"},
}
LOW_LATENCY = EngineShape(
    "main",
    16,
    context=4096,
    backend="deepep_low_latency",
    tokens=256,
    sequences=64,
    graphs="FULL_DECODE_ONLY",
    hosts=2,
)
NEEDS = Requirements(
    8,
    2,
    (LOW_LATENCY,),
    packages=("ai-dynamo", "vllm"),
    pins=(("ai-dynamo", "vllm"),),
    folders={"/var/tmp": 50 * GIB, "/tmp": 10 * GIB},
    by_host={host: HostRequirements(8, (8000, 20000, 20001)) for host in "ab"},
)


def captured_facts(name: str) -> Facts:
    """What an agent told of a real host with two H100s: `facts` or `facts-2-gpus`."""
    return from_wire(json.loads((CAPTURES / f"{name}.json").read_text()))


def make_facts(**changes: FactValue) -> dict[str, Fact]:
    """Healthy but for the changes; a name's first underscore stands for its dot. Host `b` is the
    next address."""
    changed = {name.replace("_", ".", 1): value for name, value in changes.items()}
    return {name: Fact(value, "made up") for name, value in (HEALTHY | changed).items()}


def with_gpu(index: int, **changes: FactValue) -> list[FactValue]:
    """Eight GPUs, of which one is changed."""
    return [GPU | changes if place == index else GPU for place in range(8)]


def two_hosts(**changes: FactValue) -> dict[str, Facts]:
    """`a` is healthy, `b` is changed."""
    own: dict[str, Any] = {
        "net_control": {"address": "10.0.0.2", "interface": "eth0"},
        "net_addresses": {"eth0": ["10.0.0.2"], "ib0": ["192.168.0.2"], "docker0": ["172.17.0.1"]},
    }
    return {"a": make_facts(), "b": make_facts(**(own | changes))}

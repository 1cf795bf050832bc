"""Facts of NVIDIA's kernel modules and device nodes, from /proc, /sys and /dev; no library is
needed."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from dsr1.hosts.agent.facts.fabric.pci import is_gpu
from dsr1.hosts.agent.facts.reading.files import openable, read
from dsr1.hosts.protocol.facts.fact import FactValue, Reader

PEERMEM = (
    "sys/kernel/mm/memory_peers/nv_mem/version",
    "sys/kernel/mm/memory_peers/nvidia-peermem/version",
    "sys/module/nvidia_peermem/version",
)


def parse_params(text: str) -> dict[str, str]:
    """/proc/driver/nvidia/params (kernel-open/nvidia/nv-procfs.c): the values of the loaded module,
    without quotes."""
    rows = (line.partition(":") for line in text.splitlines() if ":" in line)
    return {name.strip(): value.strip().strip('"') for name, _, value in rows}


def parse_driver(text: str) -> dict[str, FactValue]:
    """/proc/driver/nvidia/version: `... Open Kernel Module for x86_64  580.159.04  Release Build
    ...`."""
    first = text.splitlines()[0]
    found = re.search(r"\s(\d+\.\d+(?:\.\d+)?)\s", first)
    if found is None:
        raise ValueError(f"no version in {first!r}")
    return {"version": found[1], "open": "Open Kernel Module" in first}


def nvidia_readers(root: Path) -> Iterator[Reader]:
    driver, modprobe = root / "proc/driver/nvidia", root / "etc/modprobe.d"
    yield "nvidia.driver", str(driver / "version"), lambda: parse_driver(read(driver / "version"))
    yield "nvidia.params", str(driver / "params"), lambda: _wanted_params(driver / "params")
    yield "nvidia.configured", str(modprobe), lambda: _configured(modprobe)
    yield "nvidia.nodes", str(root / "dev"), lambda: _nodes(root / "dev")
    yield (
        "nvidia.on_bus",
        str(root / "sys/bus/pci/devices"),
        lambda: _on_bus(root / "sys/bus/pci/devices"),
    )
    yield "gdrcopy.usable", str(root / "dev/gdrdrv"), lambda: openable(root / "dev/gdrdrv")
    yield "nvidia.peermem", "memory_peers, /sys/module", lambda: has_peermem(root)


def has_peermem(root: Path) -> bool:
    """OSError: /sys shows no modules, as in some containers."""
    if any((root / path).exists() for path in PEERMEM):
        return True
    return "nvidia_peermem" in os.listdir(root / "sys/module")  # noqa: PTH208


def _wanted_params(file: Path) -> dict[str, FactValue]:
    params = parse_params(read(file))
    return {name: params.get(name, "") for name in ("EnableStreamMemOPs", "RegistryDwords")}


def _configured(folder: Path) -> str:
    """The options for the module at its next load: other than the loaded ones, a reboot is due."""
    lines = (line for file in sorted(folder.glob("*.conf")) for line in read(file).splitlines())
    return "\n".join(line.strip() for line in lines if re.match(r"\s*options\s+nvidia\s", line))


def _nodes(dev: Path) -> dict[str, FactValue]:
    """Every /dev/nvidiaN, and whether this user can open it."""
    return {path.name: openable(path) for path in sorted(dev.glob("nvidia[0-9]*"))}


def _on_bus(devices: Path) -> int:
    """GPUs that PCI knows, with or without a driver."""
    return sum(is_gpu(device) for device in devices.iterdir())

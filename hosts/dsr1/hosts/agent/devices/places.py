"""Where the kernel shows that a host has GPUs or RDMA ports."""

from pathlib import Path

DRIVER, RDMA = "proc/driver/nvidia", "sys/class/infiniband"


def has_devices(root: Path) -> bool:
    return any((root / part).is_dir() for part in (DRIVER, RDMA))

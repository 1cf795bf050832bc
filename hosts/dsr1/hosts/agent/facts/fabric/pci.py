"""Facts of PCI: where GPUs and adapters sit, and the links that they have."""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from dsr1.hosts.agent.facts.reading.sysfs import (
    parse_leading,
    parse_whole,
    printable_text,
    read_text,
)
from dsr1.hosts.protocol.facts.adapters import PciLink, PciPlace, to_value
from dsr1.hosts.protocol.facts.fact import FactValue, Reader

NVIDIA_VENDOR, THREE_D_CONTROLLER = "0x10de", "0x0302"
ROOT_COMPLEX = re.compile(r"pci[0-9a-f]{4,8}:[0-9a-f]{2}")


def pci_readers(root: Path) -> Iterator[Reader]:
    devices = root / "sys/bus/pci/devices"
    yield "pci.gpus", str(devices), lambda: _gpus(devices)


def _gpus(devices: Path) -> FactValue:
    """Those that PCI knows, with or without a driver."""
    gpus = (devices / name for name in sorted(os.listdir(devices)))  # noqa: PTH208
    return [to_value(read_place(gpu)) for gpu in gpus if is_gpu(gpu)]


def is_gpu(device: Path) -> bool:
    return read_text(device / "vendor") == NVIDIA_VENDOR and read_text(device / "class").startswith(
        THREE_D_CONTROLLER
    )


def read_place(device: Path) -> PciPlace:
    """`device` may be a symlink: the folder that it leads to shows how the device is wired."""
    path = chain(Path(os.path.realpath(device)).parts) if device.exists() else ()
    return PciPlace(path[-1] if path else "", path, parse_whole(read_text(device / "numa_node")))


def chain(parts: Sequence[str]) -> tuple[str, ...]:
    """From the last root complex on; a virtual machine's lies below that of its bus. Empty: this is
    not on PCI."""
    roots = [index for index, part in enumerate(parts) if ROOT_COMPLEX.fullmatch(part)]
    return tuple(map(printable_text, parts[roots[-1] :])) if roots else ()


def read_link(device: Path) -> PciLink:
    return PciLink(
        parse_whole(read_text(device / "current_link_width")),
        parse_whole(read_text(device / "max_link_width")),
        parse_leading(read_text(device / "current_link_speed")),
        parse_leading(read_text(device / "max_link_speed")),
    )

"""Facts of InfiniBand and RoCE adapters, from sysfs; readable without privileges."""

from collections.abc import Iterator
from pathlib import Path

from dsr1.hosts.facts.fact import Reader, Value
from dsr1.hosts.facts.nvidia import openable


def parse_rate(text: str) -> float:
    """`400 Gb/sec (4X NDR)`: in Gb/s."""
    return float(text.split()[0])


def parse_state(text: str) -> str:
    """`4: ACTIVE`: the word."""
    return text.partition(":")[2].strip()


def infiniband_readers(root: Path) -> Iterator[Reader]:
    devices, nodes = root / "sys/class/infiniband", root / "dev/infiniband"
    yield "ib.ports", str(devices), lambda: [_port(port) for port in _ports(devices)]
    yield "ib.verbs", str(nodes), lambda: {path.name: openable(path) for path in _verbs(nodes)}


def _ports(devices: Path) -> list[Path]:
    """No such folder: a host without adapters, or without their modules."""
    return sorted(devices.glob("*/ports/*")) if devices.is_dir() else []


def _verbs(nodes: Path) -> list[Path]:
    return [*sorted(nodes.glob("uverbs*")), *nodes.glob("rdma_cm")]


def _port(port: Path) -> Value:
    """One port; what can't be read is an empty string."""
    device = port.parent.parent
    return {
        "device": device.name,
        "port": int(port.name),
        "state": parse_state(_text(port / "state")),
        "phys_state": parse_state(_text(port / "phys_state")),
        "link_layer": _text(port / "link_layer"),
        "rate_gb": parse_rate(_text(port / "rate") or "0"),
        "lid": _text(port / "lid"),
        "sm_lid": _text(port / "sm_lid"),
        "firmware": _text(device / "fw_ver"),
        "numa": _text(device / "device/numa_node"),
        "pci": (device / "device").resolve().name if (device / "device").exists() else "",
        "driver": (device / "device/driver").resolve().name if (device / "device/driver").exists() else "",
        "netdevs": [*sorted(path.name for path in (device / "device/net").glob("*"))],
    }


def _text(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""

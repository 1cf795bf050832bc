"""A host's sysfs, built from a short description: PCI devices at their places, adapters,
interfaces, routes.

A place is `NUMA ROOT BRIDGE ... DEVICE`: `0 15 15:01.0 16:00.0 17:00.0 1b:00.0` lies below
pci0000:15; in a virtual machine `0 0101 0101:00:00.0`. What a description leaves out is as on a
healthy ConnectX-7 or H100.
"""

import socket
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from dsr1.hosts.agent.facts.fabric.adapters import infiniband_readers
from dsr1.hosts.agent.facts.fabric.interfaces import netdev_readers
from dsr1.hosts.agent.facts.fabric.pci import pci_readers
from dsr1.hosts.protocol.facts.fact import Fact, FactValue, observe

PLATFORMS = Path(__file__).parent / "data" / "platforms"
ADAPTER = {
    "rate": 400,
    "layer": "InfiniBand",
    "model": "MT4129",
    "driver": "mlx5_core",
    "state": "4: ACTIVE",
}
ROUTE = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"


def load_platform(name: str) -> dict[str, Any]:
    platform: dict[str, Any] = yaml.safe_load((PLATFORMS / f"{name}.yaml").read_text())
    return platform


def facts_of(root: Path, platform: Mapping[str, Any]) -> dict[str, Fact]:
    """All that is observed of it, below a root that is empty yet. Device nodes are told, not made:
    that takes root."""
    build(root, platform)
    facts = observed(root)
    verbs = {f"uverbs{number}": True for number in range(len(platform.get("adapters", {})))}
    route: FactValue = (
        {"interface": platform["control"], "address": "10.0.0.1"} if "control" in platform else None
    )
    told: dict[str, FactValue] = {
        "ib.verbs": {**verbs, "rdma_cm": True},
        "net.control": route,
        "kernel.uptime_s": 86400.0,
    }
    return facts | {name: Fact(value, "test") for name, value in told.items()}


def observed(root: Path) -> dict[str, Fact]:
    return observe([*infiniband_readers(root), *pci_readers(root), *netdev_readers(root)])


def build(root: Path, platform: Mapping[str, Any]) -> None:
    (root / "sys/bus/pci/devices").mkdir(parents=True, exist_ok=True)
    for place in platform.get("gpus", ()):
        device = make_device(root, place, {"vendor": "0x10de", "class": "0x030200"})
        (root / "sys/bus/pci/devices" / device.name).symlink_to(device)
    defaults = ADAPTER | platform.get("each", {})
    for number, (name, adapter) in enumerate(platform.get("adapters", {}).items()):
        make_adapter(root, name, number, defaults | adapter)
    own: dict[str, dict[str, Any]] = {
        adapter["net"]: {} for adapter in platform.get("adapters", {}).values() if "net" in adapter
    }
    for name, netdev in {**own, **platform.get("interfaces", {})}.items():
        make_netdev(root, name, netdev)
    write(root / "proc/net/route", ROUTE + default_route(platform.get("default", "")))


def default_route(interface: str) -> str:
    return (
        f"{interface}\t00000000\t0100000A\t0003\t0\t0\t100\t00000000\t0\t0\t0\n"
        if interface
        else ""
    )


def write(file: Path, text: object) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"{text}\n", errors="surrogateescape")


def make_device(root: Path, place: str, files: Mapping[str, object]) -> Path:
    numa, complex_, *steps = place.split()
    roots = f"pci{complex_}:00" if len(complex_) == 4 else f"pci0000:{complex_}"
    device = root.joinpath(
        "sys/devices", roots, *(step if step.count(":") == 2 else f"0000:{step}" for step in steps)
    )
    for name, text in {"numa_node": numa, **files}.items():
        write(device / name, text)
    return device


def make_adapter(root: Path, name: str, number: int, told: Mapping[str, Any]) -> None:
    link = {"current_link_width": 16, "max_link_width": 16}
    speed = dict.fromkeys(("current_link_speed", "max_link_speed"), "32.0 GT/s PCIe")
    device = make_device(root, told["at"], {**link, **speed, **told.get("pci", {})})
    drivers, infiniband = root / "sys/bus/pci/drivers", root / "sys/class/infiniband" / name
    (drivers / told["driver"]).mkdir(parents=True, exist_ok=True)
    (device / "driver").symlink_to(drivers / told["driver"])
    if "net" in told:
        (device / "net" / told["net"]).mkdir(parents=True)
    if "vf" in told:
        (device / "physfn/infiniband" / told["vf"]).mkdir(parents=True)
    infiniband.mkdir(parents=True)
    (infiniband / "device").symlink_to(device)
    write(infiniband / "hca_type", told["model"])
    write(infiniband / "fw_ver", told.get("firmware", "28.39.1002"))
    write(root / f"sys/class/infiniband_verbs/uverbs{number}/ibdev", name)
    make_port(infiniband / "ports" / str(told.get("port", 1)), told)


def make_port(port: Path, told: Mapping[str, Any]) -> None:
    lid = "0x1a" if told["layer"] == "InfiniBand" else "0x0"
    write(port / "state", told["state"])
    write(port / "phys_state", told.get("phys", "5: LinkUp"))
    write(port / "link_layer", told["layer"])
    write(port / "rate", f"{told['rate']} Gb/sec (4X)")
    write(port / "lid", told.get("lid", lid))
    write(port / "sm_lid", told.get("sm_lid", lid))
    for name in ("link_downed", "link_error_recovery"):
        write(port / "counters" / name, told.get(name, 0))
    for index, (gid, kind, netdev) in enumerate(gids(told)):
        write(port / "gids" / str(index), gid)
        write(port / "gid_attrs/types" / str(index), kind)
        write(port / "gid_attrs/ndevs" / str(index), netdev)


def gids(told: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """As the kernel fills the table: the link-local address, then IPv4, each as v1 and v2. Or a
    list, as it is."""
    if told["layer"] == "InfiniBand":
        yield "fe80:0000:0000:0000:a088:c203:00a1:b2c3", "IB/RoCE v1", ""
    entries = told.get("gids", ["fe80::1", told["address"]] if "address" in told else [])
    for address in entries:
        owner = told.get("owner", told.get("net", ""))
        yield written_out(address), "IB/RoCE v1", owner
        yield written_out(address), "RoCE v2", owner


def written_out(address: str) -> str:
    """As sysfs writes GIDs: eight groups of four digits, IPv4 mapped."""
    six = ":" in address
    packed = socket.inet_pton(socket.AF_INET6, address if six else f"::ffff:{address}")
    return ":".join(f"{group:04x}" for group in struct.unpack("!8H", packed))


def make_netdev(root: Path, name: str, told: Mapping[str, Any]) -> None:
    device = root / "sys/class/net" / name
    for file, text in {
        "operstate": "up",
        "type": 1,
        "mtu": 9000,
        "speed": 100000,
        **told.get("files", {}),
    }.items():
        write(device / file, text)
    for lower in told.get("lowers", ()):
        (device / f"lower_{lower}").mkdir()

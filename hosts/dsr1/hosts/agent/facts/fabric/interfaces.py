"""Facts of network interfaces: what they are, and those below them, their addresses, and which
carries the default route.
"""

import socket
from collections.abc import Iterator
from pathlib import Path

from dsr1.hosts.agent.facts.reading.files import read_or
from dsr1.hosts.agent.facts.reading.sysfs import names_in, parse_whole, printable_text, read_text
from dsr1.hosts.protocol.facts.adapters import Netdev, to_value
from dsr1.hosts.protocol.facts.fact import FactValue, Reader

UP, ANYWHERE, ANYWHERE_6 = 0x1, "00000000", "0" * 32
LOWER = "lower_"


def netdev_readers(root: Path) -> Iterator[Reader]:
    folder, net = root / "sys/class/net", root / "proc/net"
    yield "net.interfaces", str(folder), lambda: _interfaces(folder)
    yield "net.addresses", "psutil", interface_networks
    yield "net.default", f"{net}/route, ipv6_route", lambda: read_default(net)


def _interfaces(folder: Path) -> FactValue:
    return {device.name: to_value(device) for device in read_netdevs(folder)}


def read_netdevs(folder: Path) -> list[Netdev]:
    """`bonding_masters` lies there too, and is no folder."""
    return [_netdev(folder / name) for name in names_in(folder) if (folder / name).is_dir()]


def _netdev(device: Path) -> Netdev:
    lowers = (name.removeprefix(LOWER) for name in names_in(device) if name.startswith(LOWER))
    return Netdev(
        name=printable_text(device.name),
        state=read_text(device / "operstate"),
        kind=parse_whole(read_text(device / "type")),
        mtu=parse_whole(read_text(device / "mtu")),
        speed_mb=parse_whole(read_text(device / "speed")),
        carrier_changes=parse_whole(read_text(device / "carrier_changes")),
        lowers=tuple(map(printable_text, lowers)),
    )


def interface_networks() -> FactValue:
    """By interface. ImportError: psutil, which knows, isn't in the runtime's Python."""
    import psutil

    families = (socket.AF_INET, socket.AF_INET6)
    return {
        name: [entry.address.partition("%")[0] for entry in entries if entry.family in families]
        for name, entries in psutil.net_if_addrs().items()
    }


def read_default(net: Path) -> str:
    """The interface of the default route; empty: there is none."""
    return parse_default(read_or(net / "route")) or parse_default_6(read_or(net / "ipv6_route"))


def parse_default(text: str) -> str:
    """/proc/net/route: of the routes to anywhere the one of the lowest metric."""
    rows = [line.split() for line in text.splitlines()[1:]]
    routes = [
        (int(row[6]), row[0])
        for row in rows
        if row[1] == row[7] == ANYWHERE and int(row[3], 16) & UP
    ]
    return min(routes)[1] if routes else ""


def parse_default_6(text: str) -> str:
    """/proc/net/ipv6_route. One by `lo` means that there is none."""
    rows = [line.split() for line in text.splitlines()]
    routes = [
        (int(row[5], 16), row[9])
        for row in rows
        if (row[0], row[1]) == (ANYWHERE_6, "00") and row[9] != "lo"
    ]
    return min(routes)[1] if routes else ""

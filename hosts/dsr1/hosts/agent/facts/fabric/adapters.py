"""Facts of InfiniBand and RoCE adapters, from sysfs; readable without privileges."""

import time
from collections.abc import Iterator
from pathlib import Path

from dsr1.hosts.agent.facts.fabric.pci import read_link, read_place
from dsr1.hosts.agent.facts.reading.files import openable
from dsr1.hosts.agent.facts.reading.sysfs import (
    link_target,
    names_in,
    parse_leading,
    parse_whole,
    printable_text,
    read_text,
)
from dsr1.hosts.protocol.facts.adapters import Adapter, Gid, Port, to_value
from dsr1.hosts.protocol.facts.fact import FactValue, Reader

COUNTERS = {
    "counters": (
        "link_downed",
        "link_error_recovery",
        "symbol_error",
        "port_rcv_errors",
        "port_xmit_discards",
        "local_link_integrity_errors",
        "excessive_buffer_overrun_errors",
    ),
    "hw_counters": ("rnr_nak_retry_err", "roce_slow_restart"),
}
MOST_GIDS = 256


def infiniband_readers(root: Path) -> Iterator[Reader]:
    devices, nodes = root / "sys/class/infiniband", root / "dev/infiniband"
    yield "ib.devices", str(devices), lambda: [to_value(adapter) for adapter in read_adapters(root)]
    yield "ib.verbs", str(nodes), lambda: {path.name: openable(path) for path in _verbs(nodes)}


def growth_readers(root: Path, seconds: float) -> list[Reader]:
    """All counters now, and again `seconds` later; 0: not wanted."""
    if not seconds:
        return []
    began, before = time.monotonic(), _all_counters(root)

    def grown() -> FactValue:
        time.sleep(max(0.0, began + seconds - time.monotonic()))
        after = _all_counters(root)
        more = {port: _grown(counts, after.get(port, {})) for port, counts in before.items()}
        return {"seconds": time.monotonic() - began, "ports": more}

    return [("ib.growth", f"counters of {root / 'sys/class/infiniband'}, twice", grown)]


def _all_counters(root: Path) -> dict[str, dict[str, int]]:
    return {
        f"{a.name}:{port.number}": dict(port.counters)
        for a in read_adapters(root)
        for port in a.ports
    }


def _grown(before: dict[str, int], after: dict[str, int]) -> FactValue:
    """Of the counters that could be read twice."""
    return {name: after[name] - count for name, count in before.items() if name in after}


def parse_state(text: str) -> str:
    """`4: ACTIVE`: the word."""
    return text.partition(":")[2].strip()


def read_adapters(root: Path) -> list[Adapter]:
    """No such folder: a host without adapters, or without their modules."""
    devices, verbs = root / "sys/class/infiniband", root / "sys/class/infiniband_verbs"
    nodes = {read_text(verbs / node / "ibdev"): node for node in names_in(verbs)}
    return [
        _adapter(devices / name, nodes.get(printable_text(name), "")) for name in names_in(devices)
    ]


def _has_physical(pci: Path, devices: Path) -> bool:
    """A virtual function whose physical one is among the adapters; a container may have been given
    the former alone."""
    return not {*names_in(pci / "physfn/infiniband")}.isdisjoint(names_in(devices))


def _adapter(device: Path, verbs: str) -> Adapter:
    pci, ports = device / "device", device / "ports"
    return Adapter(
        name=printable_text(device.name),
        place=read_place(pci),
        link=read_link(pci),
        driver=link_target(pci / "driver"),
        model=read_text(device / "hca_type"),
        firmware=read_text(device / "fw_ver"),
        is_vf=_has_physical(pci, device.parent),
        verbs=printable_text(verbs),
        netdevs=tuple(map(printable_text, names_in(pci / "net"))),
        ports=tuple(
            _port(ports / name, number) for name in names_in(ports) if (number := parse_whole(name))
        ),
    )


def _port(port: Path, number: int) -> Port:
    return Port(
        number=number,
        state=parse_state(read_text(port / "state")),
        phys_state=parse_state(read_text(port / "phys_state")),
        link_layer=read_text(port / "link_layer"),
        rate_gb=parse_leading(read_text(port / "rate")),
        lid=parse_whole(read_text(port / "lid")),
        sm_lid=parse_whole(read_text(port / "sm_lid")),
        gids=tuple(_gids(port)),
        counters=tuple(_counters(port)),
    )


def _gids(port: Path) -> Iterator[Gid]:
    """Those that are set: the table is long, and an empty entry's attributes can't be read."""
    attributes = port / "gid_attrs"
    for index in sorted(
        int(name) for name in names_in(port / "gids") if name.isascii() and name.isdigit()
    )[:MOST_GIDS]:
        gid = read_text(port / "gids" / str(index))
        if gid.strip("0:"):
            kind, netdev = (
                read_text(attributes / part / str(index)) for part in ("types", "ndevs")
            )
            yield Gid(index, gid, kind, netdev)


def _counters(port: Path) -> Iterator[tuple[str, int]]:
    for folder, names in COUNTERS.items():
        for name in names:
            count = parse_whole(read_text(port / folder / name))
            if count is not None:
                yield name, count


def _verbs(nodes: Path) -> list[Path]:
    return [*sorted(nodes.glob("uverbs*")), *nodes.glob("rdma_cm")]

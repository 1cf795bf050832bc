"""A host's adapters, GPUs and interfaces, out of its facts. What lies about its shape raises
ValueError."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from dsr1.hosts.protocol.adapters import Adapter, Netdev, PciPlace, Port
from dsr1.hosts.protocol.fact import Facts, value_of
from dsr1.hosts.protocol.plain import from_plain

PCI = re.compile(r"([0-9a-fA-F]{4,8}):([0-9a-fA-F]{2}:[0-9a-fA-F]{2}\.[0-9a-fA-F])")


@dataclass(frozen=True, slots=True)
class FabricFacts:
    """`gpus` are in NVML's order where NVML told. `busy` are interfaces that the host itself is
    reached by."""

    adapters: tuple[Adapter, ...]
    gpus: tuple[PciPlace, ...]
    netdevs: Mapping[str, Netdev]
    busy: frozenset[str]

    def is_busy(self, adapter: Adapter, port: Port) -> bool:
        """By its own interfaces, and by those that own one of its GIDs, as a bond does."""
        return not self.busy.isdisjoint((*adapter.netdevs, *(gid.netdev for gid in port.gids)))


def parse_fabric(facts: Facts) -> FabricFacts | None:
    """None: what adapters the host has isn't known. ValueError: a fact is not what an agent
    tells."""
    told = value_of(facts, "ib.devices")
    if told is None:
        return None
    adapters: tuple[Adapter, ...] = from_plain(tuple[Adapter, ...], told, "ib.devices")
    for adapter in adapters:
        _refuse_odd(adapter)
    netdevs = _parse_netdevs(value_of(facts, "net.interfaces"))
    roots = (_control(facts), value_of(facts, "net.default"))
    busy = frozenset(_standing(netdevs, [name for name in roots if isinstance(name, str) and name]))
    return FabricFacts(adapters, parse_gpus(facts), netdevs, busy)


def _refuse_odd(adapter: Adapter) -> None:
    """What would become part of a variable is a number or an address, as the kernel counts them."""
    if adapter.place.pci:
        parse_pci(adapter.place.pci)
    if any(port.number < 1 or any(gid.index < 0 for gid in port.gids) for port in adapter.ports):
        raise ValueError(
            f"ib.devices: {adapter.name!r} has ports or GIDs of no number that there is"
        )


def _parse_netdevs(told: Any) -> dict[str, Netdev]:
    if not isinstance(told, dict | None):
        raise ValueError(f"net.interfaces: an object is wanted, not {told!r}")
    return {
        name: from_plain(Netdev, seen, f"net.interfaces.{name}")
        for name, seen in (told or {}).items()
    }


def _control(facts: Facts) -> Any:
    told = value_of(facts, "net.control")
    return told.get("interface") if isinstance(told, dict) else None


def _standing(netdevs: Mapping[str, Netdev], names: Iterable[str]) -> set[str]:
    """With all that they stand on: a VLAN on its bond, the bond on its members."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += netdevs[name].lowers if name in netdevs else ()
    return found


def parse_gpus(facts: Facts) -> tuple[PciPlace, ...]:
    """In NVML's order, which the workers' indices mean; without NVML in that of PCI, which is the
    same mostly."""
    seen: tuple[PciPlace, ...] = from_plain(
        tuple[PciPlace, ...], value_of(facts, "pci.gpus") or (), "pci.gpus"
    )
    places = {parse_pci(place.pci): place for place in seen if place.pci}
    gpus: Any = value_of(facts, "gpu.devices") or ()
    order = [gpu.get("pci") for gpu in gpus]
    return (
        seen
        if None in order or not order
        else tuple(places.get(pci, PciPlace(pci)) for pci in map(parse_pci, order))
    )


def parse_pci(text: object) -> str:
    """NVML's `00000000:1B:00.0` as sysfs has it, `0000:1b:00.0`."""
    found = PCI.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise ValueError(f"{text!r} is no PCI address")
    return f"{int(found[1], 16):04x}:{found[2].lower()}"

"""A host's adapters, GPUs and interfaces, parsed from its facts. Facts of an unexpected form raise
ValueError."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.protocol.facts.adapters import Adapter, Netdev, PciPlace, Port
from dsr1.hosts.protocol.facts.fact import Facts, value_of
from dsr1.hosts.protocol.plain import from_plain

PCI = re.compile(r"([0-9a-fA-F]{4,8}):([0-9a-fA-F]{2}:[0-9a-fA-F]{2}\.[0-9a-fA-F])")


@dataclass(frozen=True, slots=True)
class FabricFacts:
    """`gpus` are in NVML's order where NVML lists them. `busy` are interfaces that the host itself
    is reached by."""

    adapters: tuple[Adapter, ...]
    gpus: tuple[PciPlace, ...]
    netdevs: Mapping[str, Netdev]
    busy: frozenset[str]

    def is_busy(self, adapter: Adapter, port: Port) -> bool:
        """By its own interfaces, and by those that own one of its GIDs, as a bond does."""
        return not self.busy.isdisjoint((*adapter.netdevs, *(gid.netdev for gid in port.gids)))


def parse_fabric(facts: Facts) -> FabricFacts | None:
    """None: what adapters the host has isn't known. ValueError: a fact is not of the agent's
    form."""
    devices = value_of(facts, "ib.devices")
    if devices is None:
        return None
    adapters: tuple[Adapter, ...] = from_plain(tuple[Adapter, ...], devices, "ib.devices")
    for adapter in adapters:
        _refuse_odd(adapter)
    netdevs = _parse_netdevs(value_of(facts, "net.interfaces"))
    roots = (_control(facts), value_of(facts, "net.default"))
    busy = frozenset(
        _with_lowers(netdevs, [name for name in roots if isinstance(name, str) and name])
    )
    return FabricFacts(adapters, parse_gpus(facts), netdevs, busy)


def _refuse_odd(adapter: Adapter) -> None:
    """What would become part of a variable is a number or an address, as the kernel counts them."""
    if adapter.place.pci:
        parse_pci(adapter.place.pci)
    if any(port.number < 1 or any(gid.index < 0 for gid in port.gids) for port in adapter.ports):
        raise ValueError(f"ib.devices: {adapter.name!r} has port or GID numbers that do not exist")


def _parse_netdevs(interfaces: Any) -> dict[str, Netdev]:
    if not isinstance(interfaces, dict | None):
        raise ValueError(f"net.interfaces: must be an object, not {interfaces!r}")
    return {
        name: from_plain(Netdev, interface, f"net.interfaces.{name}")
        for name, interface in (interfaces or {}).items()
    }


def _control(facts: Facts) -> Any:
    control = value_of(facts, "net.control")
    return control.get("interface") if isinstance(control, dict) else None


def _with_lowers(netdevs: Mapping[str, Netdev], names: Iterable[str]) -> set[str]:
    """With the interfaces below them: a VLAN's bond, the bond's members."""
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
    on_bus: tuple[PciPlace, ...] = from_plain(
        tuple[PciPlace, ...], value_of(facts, "pci.gpus") or (), "pci.gpus"
    )
    places = {parse_pci(place.pci): place for place in on_bus if place.pci}
    gpus: Any = value_of(facts, "gpu.devices") or ()
    order = [gpu.get("pci") for gpu in gpus]
    if None in order or not order:
        return on_bus
    return tuple(places.get(pci, PciPlace(pci)) for pci in map(parse_pci, order))


def parse_pci(text: object) -> str:
    """NVML's `00000000:1B:00.0` as sysfs has it, `0000:1b:00.0`."""
    found = PCI.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise ValueError(f"{text!r} is not a PCI address")
    return f"{int(found[1], 16):04x}:{found[2].lower()}"

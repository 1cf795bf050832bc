"""Where the engines of a deployment are and listen once it has been changed while it served: what
runs stays where it is, whatever the recipe would make of the hosts now. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from dsr1.hosts.errors import InputError
from dsr1.hosts.inventory.host import Host
from dsr1.launcher.layout.pinned import PinnedEngine, PinnedNode, Pins
from dsr1.launcher.layout.placement import EngineDemand, make_demand, make_topology, with_gpus
from dsr1.launcher.layout.ports import (
    PICKED,
    PortPlan,
    engine_ports,
    make_ports,
    refuse_overlap,
)
from dsr1.launcher.layout.topology import Group, Node, Topology, effective_layout
from dsr1.launcher.recipe.models import Recipe


def make_pins(recipe: Recipe, hosts: Sequence[Host]) -> Pins:
    """As the recipe has them."""
    topology = make_topology(recipe, hosts)
    ports = make_ports(recipe, topology)
    numbers = {host.name: number for number, host in enumerate(topology.hosts)}
    pinned = tuple(_pin(group, ports, numbers) for group in topology.groups)
    return Pins(pinned, len(topology.hosts))


def _pin(group: Group, ports: PortPlan, numbers: dict[str, int]) -> PinnedEngine:
    nodes, end = [], 0
    for node in group.nodes:
        picked = ports.picked[group.name, node.rank]
        end = max(end, picked + _picks(group, node))
        number = numbers[node.host.name]
        nodes.append(PinnedNode(number, node.local_size, node.devices, node.machine_ranks, picked))
    return PinnedEngine(group.name, group.engine, tuple(nodes), ports.engines[group.name], end)


def _picks(group: Group, node: Node) -> int:
    return PICKED * (node.local_size if group.layout == "per_gpu" else 1)


def pinned_topology(recipe: Recipe, hosts: Sequence[Host], pins: Pins) -> Topology:
    hosts = tuple(with_gpus(recipe, hosts))
    groups = tuple(_group(recipe, hosts, one) for one in pins.engines)
    return Topology(hosts, groups, len({host.address for host in hosts}), pins.fronts)


def _group(recipe: Recipe, hosts: Sequence[Host], pinned: PinnedEngine) -> Group:
    spec = recipe.engines[pinned.engine]
    nodes = tuple(
        Node(
            hosts[one.host],
            rank,
            rank * one.local_size,
            one.local_size,
            one.devices,
            one.machine_ranks,
        )
        for rank, one in enumerate(pinned.nodes)
    )
    layout = effective_layout(spec, len(nodes), nodes[0].local_size)
    return Group(pinned.name, pinned.engine, spec, layout, nodes)


def pinned_ports(recipe: Recipe, pins: Pins) -> PortPlan:
    """InputError: they reach the ephemeral range."""
    base = recipe.ports.base
    refuse_overlap(recipe, max(one.end for one in pins.engines))
    picked = {
        (one.name, rank): node.picked for one in pins.engines for rank, node in enumerate(one.nodes)
    }
    engines = {one.name: one.ports for one in pins.engines}
    return PortPlan(recipe.frontend.port, base, base + 1, base + 2, engines, picked)


def grow(
    recipe: Recipe, hosts: Sequence[Host], pins: Pins, engine: str, name: str, free: bool = False
) -> Pins:
    """One more engine of this key, called so: on the emptiest hosts, or on `free` ones alone, that
    have nothing. InputError: they have no room for it."""
    hosts = with_gpus(recipe, hosts)
    count = _count_nodes(recipe, pins, engine)
    demand = make_demand(recipe, engine, count)
    room = _Room(recipe, hosts, pins)
    numbers = room.choose(demand, free)
    if len(numbers) < count:
        raise InputError(
            f"engines.{engine}: {name} needs {count} hosts with {demand.devices} free GPUs each;"
            f" {len(numbers)} of {', '.join(host.name for host in hosts)} have that. Give more with"
            " --hosts +HOST"
        )
    nodes = tuple(room.nodes(numbers, demand))
    layout = effective_layout(demand.engine, count, demand.local)
    group = Group(name, engine, demand.engine, layout, nodes)
    ports, end = engine_ports(group, max(one.end for one in pins.engines))
    placed = PortPlan(0, 0, 0, 0, {name: ports}, _picked(group, end))
    pinned = _pin(group, placed, {host.name: number for number, host in enumerate(hosts)})
    return replace(pins, engines=(*pins.engines, pinned))


def _count_nodes(recipe: Recipe, pins: Pins, engine: str) -> int:
    """Where it takes all hosts, as many as another replica has."""
    nodes = recipe.engines[engine].nodes
    if nodes != "all":
        return nodes
    return next((len(one.nodes) for one in pins.of(engine)), 1)


def _picked(group: Group, first: int) -> dict[tuple[str, int], int]:
    """Whole blocks, one behind the other, whichever machines they are for."""
    picked = {}
    for node in group.nodes:
        picked[group.name, node.rank] = first
        first += _picks(group, node)
    return picked


class _Room:
    """What of the hosts is taken: GPUs by machine; on a CPU, nodes by host."""

    def __init__(self, recipe: Recipe, hosts: Sequence[Host], pins: Pins) -> None:
        self._on_cpu = recipe.runtime.device == "cpu"
        self._by_name = self._on_cpu or recipe.traits.simulated
        self._hosts = hosts
        self._taken: dict[str, set[int]] = {self._key(host): set() for host in hosts}
        for one in pins.engines:
            for node in one.nodes:
                self._take(hosts[node.host], node.devices)

    def _key(self, host: Host) -> str:
        return host.name if self._by_name else host.address

    def _take(self, host: Host, devices: Sequence[int]) -> None:
        taken = self._taken[self._key(host)]
        taken.update((len(taken),) if self._on_cpu else devices)

    def _free(self, host: Host) -> list[int]:
        taken = self._taken[self._key(host)]
        return [device for device in range(host.gpus) if device not in taken]

    def choose(self, demand: EngineDemand, free: bool) -> list[int]:
        """Hosts by number, as many as it needs, or fewer. Several that are one machine share it."""
        chosen: list[int] = []
        left = {self._key(host): len(self._free(host)) for host in self._hosts}
        order = sorted(range(len(self._hosts)), key=lambda number: self._used(number))
        for number in order:
            key = self._key(self._hosts[number])
            fits = self._on_cpu or left[key] >= demand.devices
            if fits and len(chosen) < demand.count and not (free and self._used(number)):
                chosen.append(number)
                left[key] -= demand.devices
        return chosen

    def _used(self, number: int) -> int:
        return len(self._taken[self._key(self._hosts[number])])

    def nodes(self, numbers: Sequence[int], demand: EngineDemand) -> Iterator[Node]:
        ranks: dict[str, int] = {}
        for index, host in enumerate(self._hosts[number] for number in numbers):
            devices = () if self._on_cpu else tuple(self._free(host)[: demand.devices])
            self._take(host, devices)
            before = ranks.get(host.address, 0)
            yield Node(host, index, index * demand.local, demand.local, devices, before)
            ranks[host.address] = before + demand.local

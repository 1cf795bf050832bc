"""Where the engines of a deployment are and listen once it has been changed while it served: what
runs stays where it is, whatever the recipe would make of the hosts now. Pure."""

from collections.abc import Sequence
from dataclasses import replace

from dsr1.hosts.errors import InputError
from dsr1.hosts.inventory.host import Host
from dsr1.launcher.layout.pinned import PinnedEngine, PinnedNode, Pins
from dsr1.launcher.layout.placement import Room, make_demand, make_topology, with_gpus
from dsr1.launcher.layout.ports import (
    PortPlan,
    engine_ports,
    make_ports,
    picked_count,
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
        end = max(end, picked + picked_count(group, node))
        number = numbers[node.host.name]
        nodes.append(PinnedNode(number, node.local_size, node.devices, node.machine_ranks, picked))
    return PinnedEngine(group.name, group.engine, tuple(nodes), ports.engines[group.name], end)


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
    return PortPlan(base, base + 1, base + 2, engines, picked)


def grow(
    recipe: Recipe, hosts: Sequence[Host], pins: Pins, engine: str, name: str, free: bool = False
) -> Pins:
    """One more engine of this key, called so: on the emptiest hosts, or on `free` ones alone, that
    have nothing. InputError: they have no room for it."""
    hosts = with_gpus(recipe, hosts)
    count = _count_nodes(recipe, pins, engine)
    demand = make_demand(recipe, engine, count)
    room = _taken_room(recipe, hosts, pins)
    chosen = room.choose(demand, free=free)
    if len(chosen) < count:
        raise InputError(
            f"engines.{engine}: {name} needs {count} hosts with {demand.devices} free GPUs each;"
            f" {len(chosen)} of {', '.join(host.name for host in hosts)} have that. Give more with"
            " --hosts +HOST"
        )
    nodes = tuple(room.nodes(chosen, demand))
    layout = effective_layout(demand.engine, count, demand.local)
    group = Group(name, engine, demand.engine, layout, nodes)
    ports, end = engine_ports(group, max(one.end for one in pins.engines))
    placed = PortPlan(0, 0, 0, {name: ports}, _picked(group, end))
    pinned = _pin(group, placed, {host.name: number for number, host in enumerate(hosts)})
    return replace(pins, engines=(*pins.engines, pinned))


def _taken_room(recipe: Recipe, hosts: Sequence[Host], pins: Pins) -> Room:
    room = Room(recipe, hosts)
    for one in pins.engines:
        for node in one.nodes:
            room.take(hosts[node.host], node.devices)
    return room


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
        first += picked_count(group, node)
    return picked

"""Every port of a plan: fixed, disjoint and below the kernel's ephemeral range. Pure.

vLLM adds the *global* DP index to the KV-event port and to the NIXL side-channel port by itself, so each engine has one
base for each and a range as long as its DP size. Blocks of different engines never meet, whichever hosts they share.
"""

from dataclasses import dataclass

from dsr1.hosts.errors import InputError
from dsr1.launcher.recipe import Recipe
from dsr1.launcher.topology import Group, Node, Topology

EPHEMERAL = 32768  # default of net.ipv4.ip_local_port_range


@dataclass(frozen=True, slots=True)
class EnginePorts:
    """First ports of an engine's blocks. `system` + index of the process on its node; the others + global DP rank."""

    rpc: int
    system: int
    kv_events: int
    nixl: int


@dataclass(frozen=True, slots=True)
class PortPlan:
    """`frontend` is the recipe's own choice; the rest follow `ports.base`."""

    frontend: int
    etcd: int
    etcd_peer: int
    engines: dict[str, EnginePorts]


def make_ports(recipe: Recipe, topology: Topology) -> PortPlan:
    """Deal ports. Raises InputError if they reach the ephemeral range or meet the frontend's."""
    next_port = recipe.ports.base + 2
    engines = {}
    for group in topology.groups:
        engines[group.name], next_port = _engine_ports(group, next_port)
    _refuse_overlap(recipe, next_port)
    return PortPlan(recipe.frontend.port, recipe.ports.base, recipe.ports.base + 1, engines)


def _engine_ports(group: Group, first: int) -> tuple[EnginePorts, int]:
    system = first + 1
    kv_events = system + max(ranks_before(group, node) + node.local_size for node in group.nodes)
    nixl = kv_events + (group.size if publishes_kv_events(group) else 0)
    return EnginePorts(first, system, kv_events, nixl), nixl + (group.size if transfers_kv(group) else 0)


def ranks_before(group: Group, node: Node) -> int:
    """Ranks of the engine's earlier nodes on the same machine: several nodes of one machine share its ports."""
    same = (other for other in group.nodes[: node.rank] if other.host.address == node.host.address)
    return sum(other.local_size for other in same)


def publishes_kv_events(group: Group) -> bool:
    return "kv-events-config" in {name.replace("_", "-") for name in group.spec.args}


def transfers_kv(group: Group) -> bool:
    return group.spec.role != "aggregated"


def _refuse_overlap(recipe: Recipe, end: int) -> None:
    base, frontend = recipe.ports.base, recipe.frontend.port
    if end > EPHEMERAL:
        raise InputError(
            f"ports.base: {base} leaves no room, ports up to {end - 1} would reach the ephemeral range ({EPHEMERAL} on)"
        )
    if base <= frontend < end:
        raise InputError(f"frontend.port: {frontend} lies among the ports {base}-{end - 1} that follow ports.base")

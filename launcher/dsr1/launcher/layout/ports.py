"""Every port of a plan: fixed, disjoint and below the kernel's ephemeral range. Pure.

vLLM adds the *global* DP index to the KV-event port and to the NIXL side-channel port by itself, so
each engine has one base for each and a range as long as its DP size. Blocks of different engines
never meet, whichever hosts they share.
"""

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.errors import InputError
from dsr1.launcher.layout.pinned import EnginePorts
from dsr1.launcher.layout.topology import Group, Node, Topology
from dsr1.launcher.recipe.models import Recipe

EPHEMERAL = 32768  # default of net.ipv4.ip_local_port_range
PICKED = 8
"""How many ports a process of vLLM's may pick by itself: it scans upward from VLLM_PORT, for five
that its ranks meet at (get_open_ports_list in vllm/config/parallel.py), and for few others."""


@dataclass(frozen=True, slots=True)
class PortPlan:
    """All follow `ports.base`; one frontend has the recipe's own port, and several have those from
    `replicas` on. `picked` are the first ports that vLLM's processes may pick from, by engine and
    node rank: PICKED for each process of the node, disjoint on its machine."""

    etcd: int
    etcd_peer: int
    replicas: int
    engines: dict[str, EnginePorts]
    picked: dict[tuple[str, int], int]


def make_ports(recipe: Recipe, topology: Topology) -> PortPlan:
    """Deal ports. Raises InputError if they reach the ephemeral range or meet the frontend's."""
    base = recipe.ports.base
    replicas, count = base + 2, count_frontends(recipe, topology)
    next_port = replicas + (count if count > 1 else 0)
    engines = {}
    for group in topology.groups:
        engines[group.name], next_port = engine_ports(group, next_port)
    picked, end = _picked_ports(topology, next_port)
    refuse_overlap(recipe, end)
    return PortPlan(base, base + 1, replicas, engines, picked)


def _picked_ports(topology: Topology, first: int) -> tuple[dict[tuple[str, int], int], int]:
    """Machine by machine, over all engines. Simulated ones pick none, and take as many: a rehearsal
    shows whether they are free."""
    picked: dict[tuple[str, int], int] = {}
    ends: dict[str, int] = {}
    for group in topology.groups:
        for node in group.nodes:
            start = ends.get(node.host.address, first)
            picked[group.name, node.rank] = start
            ends[node.host.address] = start + picked_count(group, node)
    return picked, max(ends.values(), default=first)


def picked_count(group: Group, node: Node) -> int:
    """Of ports: PICKED for each process of the node."""
    return PICKED * (node.local_size if group.layout == "per_gpu" else 1)


def count_frontends(recipe: Recipe, topology: Topology) -> int:
    """How many servers clients are spread over: frontends, or the engines' own."""
    if recipe.traits.own_servers:
        return sum(group.servers for group in topology.groups)
    return recipe.frontend.replicas


def engine_ports(group: Group, first: int) -> tuple[EnginePorts, int]:
    system = first + 1
    kv_events = system + max(node.machine_ranks + node.local_size for node in group.nodes)
    nixl = kv_events + (group.size if publishes_kv_events(group) else 0)
    kvbm = nixl + (group.size if transfers_kv(group) else 0)
    end = kvbm + (2 * (kv_events - system) if uses_kvbm(group) else 0)
    return EnginePorts(first, system, kv_events, nixl, kvbm), end


def system_port(ports: EnginePorts, index: int) -> int:
    """Where a worker of Dynamo's serves its health and metrics; `index` among those of a
    machine."""
    return ports.system + index


def kvbm_ports(ports: EnginePorts, index: int) -> tuple[int, int]:
    """Dynamo's block manager: where a process's leader publishes and is answered. It takes the
    first + 1000, too."""
    return ports.kvbm + 2 * index, ports.kvbm + 2 * index + 1


def publishes_kv_events(group: Group) -> bool:
    return group.spec.kv_events


def transfers_kv(group: Group) -> bool:
    """Whether its ranks open a NIXL side channel each."""
    return any("Nixl" in name for name in group.spec.connectors)


def uses_kvbm(group: Group) -> bool:
    return "DynamoConnector" in group.spec.connectors


def refuse_overlap(recipe: Recipe, end: int) -> None:
    base, frontend = recipe.ports.base, recipe.frontend.port
    if end > EPHEMERAL:
        raise InputError(
            f"ports.base: {base} leaves no room, ports up to {end - 1} would reach the ephemeral"
            f" range ({EPHEMERAL} on)"
        )
    if base <= frontend < end:
        raise InputError(
            f"frontend.port: {frontend} lies among the ports {base}-{end - 1} that follow"
            " ports.base"
        )

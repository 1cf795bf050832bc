"""Where each worker and each frontend runs and listens: one slot a process. Pure."""

from collections.abc import Iterator, Mapping

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.inventory.host import Host
from dsr1.launcher.layout.topology import Group, Node, Topology
from dsr1.launcher.recipe.models import Recipe

FRONTEND = "frontend"
EVERYWHERE = ("0.0.0.0", "::", "")


@dataclass(frozen=True, slots=True)
class WorkerSlot:
    """One process of an engine: a node's, or, with layout per_gpu, that of one `rank` of a node."""

    group: Group
    node: Node
    rank: int | None = None

    @property
    def name(self) -> str:
        """Of the process that runs there."""
        return f"{self.group.name}-{self.node.rank if self.rank is None else self.rank}"

    @property
    def ranks(self) -> tuple[int, ...]:
        return self.node.ranks if self.rank is None else (self.rank,)

    @property
    def index(self) -> int:
        """Among the processes of its node."""
        return 0 if self.rank is None else self.rank - self.node.start_rank

    @property
    def machine_index(self) -> int:
        """Its first port's offset among the engine's processes of one machine."""
        return self.node.machine_ranks + self.index

    @property
    def is_follower(self) -> bool:
        """A headless node that isn't the leader: it has no server, and registers nowhere."""
        return self.group.layout == "headless" and self.node.rank > 0

    @property
    def leads(self) -> bool:
        return self.node.rank == 0 and self.index == 0


@dataclass(frozen=True, slots=True)
class FrontendSlot:
    """One frontend: its process's name, and where it listens. `reached` is an address for
    clients; `secured`: over HTTPS alone."""

    name: str
    host: Host
    address: str
    port: int
    secured: bool = False

    @property
    def reached(self) -> str:
        return self.host.address if self.address in EVERYWHERE else self.address

    @property
    def url(self) -> str:
        return f"{'https' if self.secured else 'http'}://{self.reached}:{self.port}"


def worker_slots(group: Group) -> Iterator[WorkerSlot]:
    """In the order of the ranks."""
    for node in group.nodes:
        if group.layout == "per_gpu":
            yield from (WorkerSlot(group, node, rank) for rank in node.ranks)
        else:
            yield WorkerSlot(group, node)


def listen_address(recipe: Recipe, topology: Topology) -> str:
    """Where clients connect: the recipe's `frontend.host`, or the first host's control address
    alone."""
    return recipe.frontend.host or topology.hosts[0].address


def frontend_slots(recipe: Recipe, topology: Topology, first: int) -> Mapping[str, FrontendSlot]:
    """By process. One listens where clients connect; several on their hosts' control addresses, at
    ports from `first` on, behind the gateway.

    Where engines serve by themselves these are slots of their workers.
    """
    hosts = _servers(topology) if recipe.traits.own_servers else _frontends(recipe, topology)
    secured = recipe.frontend.tls is not None
    if len(hosts) == 1:
        ((name, host),) = hosts.items()
        address = listen_address(recipe, topology)
        return {name: FrontendSlot(name, host, address, recipe.frontend.port, secured)}
    return {
        name: FrontendSlot(name, host, host.address, first + number, secured)
        for number, (name, host) in enumerate(hosts.items())
    }


def _frontends(recipe: Recipe, topology: Topology) -> dict[str, Host]:
    count, hosts = recipe.frontend.replicas, topology.hosts[: topology.fronts or None]
    if count == 1:
        return {FRONTEND: hosts[0]}
    return {f"{FRONTEND}-{number}": hosts[number % len(hosts)] for number in range(count)}


def _servers(topology: Topology) -> dict[str, Host]:
    """The processes of engines that have an API server."""
    slots = (slot for group in topology.groups for slot in worker_slots(group))
    return {slot.name: slot.node.host for slot in slots if not slot.is_follower}

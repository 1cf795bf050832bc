"""Recipe and hosts to engines, nodes and ranks. Pure."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NoReturn

from dsr1.hosts.errors import InputError
from dsr1.hosts.inventory.host import Host
from dsr1.launcher.recipe.engine import Engine
from dsr1.launcher.recipe.models import Recipe

GPUS_PER_NODE = 8


@dataclass(frozen=True, slots=True)
class Node:
    """One host's part in an engine. `devices` are GPU indices on the host; none on a CPU.

    `machine_ranks` counts the ranks of the engine's earlier nodes on the same machine: several
    nodes of one machine share its ports.
    """

    host: Host
    rank: int
    start_rank: int
    local_size: int
    devices: tuple[int, ...] = ()
    machine_ranks: int = 0

    @property
    def ranks(self) -> tuple[int, ...]:
        return tuple(range(self.start_rank, self.start_rank + self.local_size))


@dataclass(frozen=True, slots=True)
class Group:
    """One engine, or one replica of it, placed on hosts. `engine` is its key in the recipe.

    `layout` is the one that vLLM really runs, see `effective_layout`.
    """

    name: str
    engine: str
    spec: Engine
    layout: str
    nodes: tuple[Node, ...]

    @property
    def leader(self) -> Node:
        return self.nodes[0]

    @property
    def size(self) -> int:
        last = self.nodes[-1]
        return last.start_rank + last.local_size

    @property
    def servers(self) -> int:
        """How many of its processes take requests."""
        return {"per_node": len(self.nodes), "per_gpu": self.size, "headless": 1}[self.layout]


@dataclass(frozen=True, slots=True)
class Topology:
    """All engines of a deployment; the frontend is on the first host. Several hosts may be one of
    the `machines`."""

    hosts: tuple[Host, ...]
    groups: tuple[Group, ...]
    machines: int


def wanted_nodes(recipe: Recipe) -> int:
    """The fewest hosts of eight GPUs that hold all engines; `all` counts as one. On a CPU engines
    share hosts.

    What fits some hosts fits more, but for `all`: it takes hosts that are empty, over which the
    others spread first.
    """
    engines = recipe.engines.values()
    counts = [engine.least_nodes for engine in engines]
    if recipe.runtime.device == "cpu":
        return max(counts)
    if any(engine.nodes == "all" for engine in engines):
        return sum(counts)
    tried = range(max(counts), sum(counts))
    return tried.start + bisect_left(tried, True, key=lambda count: _fits(recipe, count))


def _fits(recipe: Recipe, count: int) -> bool:
    try:
        make_topology(
            recipe, [Host(f"host{number}", f"host{number}", "") for number in range(count)]
        )
    except InputError:
        return False
    return True


def make_topology(recipe: Recipe, hosts: Sequence[Host]) -> Topology:
    """Place every engine. Raises InputError naming the engine, what it wants and what the hosts
    have.

    Simulated engines take a host without GPUs for one that has eight.
    """
    _refuse_repeated(hosts)
    if recipe.traits.simulated:
        hosts = [replace(host, gpus=host.gpus or GPUS_PER_NODE) for host in hosts]
    placement = _Placement(recipe, tuple(hosts))
    fixed_first = sorted(recipe.engines.items(), key=lambda item: item[1].nodes == "all")
    placed = {name: placement.place_all(name, engine) for name, engine in fixed_first}
    groups = tuple(group for name in recipe.engines for group in placed[name])
    for group in groups:
        _refuse_uneven_experts(group, recipe.model.routed_experts)
    return Topology(tuple(hosts), groups, len({host.address for host in hosts}))


def _refuse_uneven_experts(group: Group, experts: int | None) -> None:
    """With expert load balancing every rank has as many experts as every other: vLLM refuses the
    rest after loading."""
    if group.spec.eplb is None:
        return
    ranks, key = group.size * group.spec.tensor_parallel_size, f"engines.{group.engine}.eplb"
    if ranks == 1:
        raise InputError(f"{key}: has one rank, and nothing to balance")
    redundant = group.spec.eplb.num_redundant_experts
    if experts is None or (experts + redundant) % ranks == 0:
        return
    above = -(-(experts + redundant) // ranks) * ranks - experts
    fit = " or ".join(str(number) for number in (above - ranks, above) if number >= 0)
    raise InputError(
        f"{key}.num_redundant_experts: {experts} experts and {redundant} redundant ones can't be"
        f" divided evenly among {ranks} ranks; {fit} can"
    )


def effective_layout(spec: Engine, nodes: int, local_size: int) -> str:
    """vLLM turns hybrid load balancing with one local rank into external without saying so; dsr1
    says what will run."""
    return "per_gpu" if spec.layout == "per_node" and local_size == 1 and nodes > 1 else spec.layout


def local_size(name: str, engine: Engine, nodes: int, on_cpu: bool) -> int:
    """DP ranks of one node."""
    default = 1 if on_cpu else GPUS_PER_NODE // engine.tensor_parallel_size
    if engine.data_parallel_size == "all":
        return engine.ranks_per_node or default or _refuse_wide_tp(name, engine)
    size, rest = divmod(engine.data_parallel_size, nodes)
    if rest or size == 0:
        raise InputError(
            f"engines.{name}.data_parallel_size: {engine.data_parallel_size} can't be divided"
            f" evenly among {nodes} hosts"
        )
    if engine.ranks_per_node not in (None, size):
        raise InputError(
            f"engines.{name}: data_parallel_size {engine.data_parallel_size} over {nodes} hosts is"
            f" {size} ranks each, but ranks_per_node says {engine.ranks_per_node}"
        )
    return size


def _refuse_wide_tp(name: str, engine: Engine) -> NoReturn:
    raise InputError(
        f"engines.{name}.tensor_parallel_size: {engine.tensor_parallel_size} exceeds a host's"
        f" {GPUS_PER_NODE} GPUs"
    )


def _refuse_repeated(hosts: Sequence[Host]) -> None:
    repeated = [name for name, count in Counter(host.name for host in hosts).items() if count > 1]
    if repeated:
        raise InputError(f"hosts: {', '.join(repeated)} named more than once")
    if not hosts:
        raise InputError("hosts: none given")


class _Placement:
    """Deals nodes to hosts and GPUs to nodes, emptiest host first, in the order of the hosts."""

    def __init__(self, recipe: Recipe, hosts: tuple[Host, ...]) -> None:
        self._on_cpu = recipe.runtime.device == "cpu"
        # simulated GPUs are no machine's own
        self._by_name = self._on_cpu or recipe.traits.simulated
        self._hosts = hosts
        self._used: Counter[str] = Counter()  # GPUs per machine; on a CPU, nodes per host

    def place_all(self, name: str, engine: Engine) -> list[Group]:
        """An engine's replicas; `nodes` is how many hosts each has."""
        count = self._count(name, engine)
        many = engine.replicas > 1
        names = [f"{name}-r{number}" if many else name for number in range(engine.replicas)]
        return [self._place(replica, name, engine, count) for replica in names]

    def _place(self, name: str, key: str, engine: Engine, count: int) -> Group:
        local = local_size(key, engine, count, self._on_cpu)
        chosen = self._choose(key, count, local * engine.tensor_parallel_size)
        layout = effective_layout(engine, count, local)
        return Group(name, key, engine, layout, tuple(self._nodes(chosen, local, engine)))

    def _count(self, name: str, engine: Engine) -> int:
        if engine.nodes == "all":
            free = [host for host in self._hosts if not self._used[self._key(host)]]
            count, rest = divmod(len(free), engine.replicas)
            if rest:
                raise InputError(
                    f"engines.{name}.replicas: {len(free)} hosts can't be divided evenly among"
                    f" {engine.replicas} replicas"
                )
            return count or self._refuse(name, 1, 1)
        return (
            engine.nodes
            if engine.nodes <= len(self._hosts)
            else self._refuse(name, engine.nodes, 1)
        )

    def _key(self, host: Host) -> str:
        return host.name if self._by_name else host.address

    def _choose(self, name: str, count: int, devices: int) -> list[Host]:
        chosen: list[Host] = []
        planned: Counter[str] = Counter()
        for host in sorted(self._hosts, key=lambda host: self._used[self._key(host)]):
            key = self._key(host)
            if len(chosen) < count and (
                self._on_cpu or self._used[key] + planned[key] + devices <= host.gpus
            ):
                chosen.append(host)
                planned[key] += devices
        return chosen if len(chosen) == count else self._refuse(name, count, devices)

    def _refuse(self, name: str, count: int, devices: int) -> NoReturn:
        unit = "" if self._on_cpu else f" with {devices} free GPUs each"
        one = len(self._hosts) > 1 and len({self._key(host) for host in self._hosts}) == 1
        given = "one machine is given" if one else f"{len(self._hosts)} are given"
        named = self._hosts[:1] if one else self._hosts[:8]
        free = ", ".join(f"{host.name} {host.gpus - self._used[self._key(host)]}" for host in named)
        more = ", ..." if len(self._hosts) > 8 and not one else ""
        left = "" if self._on_cpu else f" (GPUs free: {free}{more})"
        raise InputError(f"engines.{name}.nodes: wants {count} hosts{unit}, {given}{left}")

    def _nodes(self, hosts: Sequence[Host], local: int, engine: Engine) -> Iterator[Node]:
        ranks: Counter[str] = Counter()  # by machine
        for index, host in enumerate(hosts):
            devices = self._take_devices(host, local * engine.tensor_parallel_size)
            yield Node(host, index, index * local, local, devices, ranks[host.address])
            ranks[host.address] += local

    def _take_devices(self, host: Host, count: int) -> tuple[int, ...]:
        key = self._key(host)
        first = self._used[key]
        self._used[key] += 1 if self._on_cpu else count
        return () if self._on_cpu else tuple(range(first, first + count))

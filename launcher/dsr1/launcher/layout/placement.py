"""Recipe and hosts to a topology: which engine gets which GPUs of which hosts. Pure.

Engines that take most of a host go first, whatever their order in the recipe, each to the hosts
that are emptiest; where that doesn't hold all of them, to those that are fullest.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.errors import InputError
from dsr1.hosts.inventory.host import Host
from dsr1.launcher.layout.topology import (
    GPUS_PER_NODE,
    Group,
    Node,
    Topology,
    effective_layout,
    local_size,
)
from dsr1.launcher.recipe.engine import Engine
from dsr1.launcher.recipe.models import Recipe

ROLES = ("aggregated", "prefill", "decode")


class _NoRoomError(Exception):
    """The hosts don't hold all engines when dealt in this way."""


def wanted_nodes(recipe: Recipe, gpus: int = GPUS_PER_NODE) -> int:
    """The fewest hosts of so many GPUs that hold all engines; `all` counts as one. On a CPU engines
    share hosts.

    What fits some hosts fits more, but for `all`: it takes hosts that are empty, over which the
    others spread first.
    """
    engines = recipe.engines.values()
    counts = [engine.least_nodes for engine in engines]
    if is_on_cpu(recipe):
        return max(counts)
    if any(engine.nodes == "all" for engine in engines):
        return sum(counts)
    tried = range(max(counts), sum(counts))
    return tried.start + bisect_left(
        tried, True, key=lambda count: fits(recipe, _imagined(count, gpus))
    )


def _imagined(count: int, gpus: int) -> list[Host]:
    return [Host(f"host{number}", f"host{number}", "", gpus) for number in range(count)]


def fits(recipe: Recipe, hosts: Sequence[Host]) -> bool:
    """Whether these hosts hold the recipe's engines."""
    try:
        _place(recipe, with_gpus(recipe, hosts))
    except (InputError, _NoRoomError):
        return False
    return True


def make_topology(recipe: Recipe, hosts: Sequence[Host]) -> Topology:
    """Place every engine. Raises InputError saying what the engines need and what is given.

    Simulated engines take a host without GPUs for one that has eight.
    """
    _refuse_repeated(hosts)
    hosts = with_gpus(recipe, hosts)
    try:
        placed = _place(recipe, hosts)
    except _NoRoomError:
        raise InputError(_shortage(recipe, hosts)) from None
    groups = tuple(group for name in recipe.engines for group in placed[name])
    for group in groups:
        _refuse_uneven_experts(group, recipe.model.routed_experts)
    return Topology(tuple(hosts), groups, len({host.address for host in hosts}))


def with_gpus(recipe: Recipe, hosts: Sequence[Host]) -> Sequence[Host]:
    """Simulated engines take a host without GPUs for one that has eight."""
    if not recipe.traits.simulated:
        return hosts
    return [replace(host, gpus=host.gpus or GPUS_PER_NODE) for host in hosts]


def _refuse_repeated(hosts: Sequence[Host]) -> None:
    repeated = [name for name, count in Counter(host.name for host in hosts).items() if count > 1]
    if repeated:
        raise InputError(f"hosts: {', '.join(repeated)} named more than once")
    if not hosts:
        raise InputError("hosts: none given")


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


def _place(recipe: Recipe, hosts: Sequence[Host]) -> dict[str, list[Group]]:
    """By engine. InputError: its sizes contradict each other."""
    try:
        return _Placement(recipe, hosts, packed=False).place()
    except _NoRoomError:
        return _Placement(recipe, hosts, packed=True).place()


@dataclass(frozen=True, slots=True)
class EngineDemand:
    """Of an engine: `count` hosts a replica, `local` ranks on each, which take `devices` GPUs."""

    name: str
    engine: Engine
    count: int
    local: int

    @property
    def devices(self) -> int:
        return self.local * self.engine.tensor_parallel_size

    @property
    def order(self) -> tuple[int, int, int, str]:
        return -self.devices, -self.count, ROLES.index(self.engine.role), self.name

    @property
    def text(self) -> str:
        hosts = self.engine.replicas * self.count
        return f"{self.name} {hosts} x {self.devices}"


class Room:
    """What of the hosts is taken: GPUs by machine; on a CPU, nodes by host. Simulated GPUs are no
    machine's own."""

    def __init__(self, recipe: Recipe, hosts: Sequence[Host]) -> None:
        self._on_cpu = is_on_cpu(recipe)
        self._by_name = self._on_cpu or recipe.traits.simulated
        self.hosts = hosts
        self._taken: dict[str, set[int]] = {self._key(host): set() for host in hosts}

    def _key(self, host: Host) -> str:
        return host.name if self._by_name else host.address

    def take(self, host: Host, devices: Sequence[int]) -> None:
        taken = self._taken[self._key(host)]
        taken.update((len(taken),) if self._on_cpu else devices)

    def used(self, host: Host) -> int:
        return len(self._taken[self._key(host)])

    def choose(self, demand: EngineDemand, packed: bool = False, free: bool = False) -> list[Host]:
        """As many as it needs, or fewer: the emptiest first, or the fullest (`packed`), of equal
        ones in the order of the hosts; or `free` ones alone, that have nothing."""
        chosen: list[Host] = []
        planned: Counter[str] = Counter()
        sign = -1 if packed else 1
        for host in sorted(self.hosts, key=lambda host: sign * self.used(host)):
            key, used = self._key(host), self.used(host)
            fits = self._on_cpu or demand.devices <= host.gpus - used - planned[key]
            if fits and len(chosen) < demand.count and not (free and used):
                chosen.append(host)
                planned[key] += demand.devices
        return chosen

    def nodes(self, hosts: Sequence[Host], demand: EngineDemand) -> Iterator[Node]:
        """Of one engine, which takes their first free devices."""
        ranks: Counter[str] = Counter()  # by machine
        local = demand.local
        for index, host in enumerate(hosts):
            devices = () if self._on_cpu else self._free(host)[: demand.devices]
            self.take(host, devices)
            yield Node(host, index, index * local, local, devices, ranks[host.address])
            ranks[host.address] += local

    def _free(self, host: Host) -> tuple[int, ...]:
        taken = self._taken[self._key(host)]
        return tuple(device for device in range(host.gpus) if device not in taken)


class _Placement:
    """Deals engines to hosts: emptiest host first, or fullest first (`packed`)."""

    def __init__(self, recipe: Recipe, hosts: Sequence[Host], packed: bool) -> None:
        self._recipe, self._packed = recipe, packed
        self._room = Room(recipe, hosts)

    def place(self) -> dict[str, list[Group]]:
        """Engines of so many hosts first, then those that take all that is left."""
        engines = self._recipe.engines
        fixed = [
            make_demand(self._recipe, name, engine.nodes)
            for name, engine in engines.items()
            if engine.nodes != "all"
        ]
        placed = {
            demand.name: self._place_all(demand)
            for demand in sorted(fixed, key=lambda demand: demand.order)
        }
        for name in engines:
            if name not in placed:
                placed[name] = self._place_all(make_demand(self._recipe, name, self._left(name)))
        return placed

    def _left(self, name: str) -> int:
        """How many hosts each replica of an engine on `all` gets."""
        free = [host for host in self._room.hosts if not self._room.used(host)]
        replicas = self._recipe.engines[name].replicas
        count, rest = divmod(len(free), replicas)
        if rest:
            raise InputError(
                f"engines.{name}.replicas: {len(free)} hosts can't be divided evenly among"
                f" {replicas} replicas"
            )
        if not count:
            raise _NoRoomError
        return count

    def _place_all(self, demand: EngineDemand) -> list[Group]:
        """An engine's replicas."""
        name, replicas = demand.name, demand.engine.replicas
        names = [f"{name}-r{number}" for number in range(replicas)] if replicas > 1 else [name]
        return [self._place_one(replica, demand) for replica in names]

    def _place_one(self, name: str, demand: EngineDemand) -> Group:
        hosts = self._room.choose(demand, packed=self._packed)
        if len(hosts) < demand.count:
            raise _NoRoomError
        layout = effective_layout(demand.engine, demand.count, demand.local)
        nodes = tuple(self._room.nodes(hosts, demand))
        return Group(name, demand.name, demand.engine, layout, nodes)


def make_demand(recipe: Recipe, name: str, count: int) -> EngineDemand:
    engine = recipe.engines[name]
    return EngineDemand(name, engine, count, local_size(name, engine, count, is_on_cpu(recipe)))


def is_on_cpu(recipe: Recipe) -> bool:
    return recipe.runtime.device == "cpu"


def _shortage(recipe: Recipe, hosts: Sequence[Host]) -> str:
    """What the engines need, in hosts, and what is given."""
    demands = [
        make_demand(recipe, name, 1 if engine.nodes == "all" else engine.nodes)
        for name, engine in recipe.engines.items()
    ]
    if is_on_cpu(recipe):
        most = max(demands, key=lambda demand: demand.count)
        return f"engines.{most.name}.nodes: needs {most.count} hosts; {_are_given(hosts)}"
    largest = max(host.gpus for host in hosts)
    for demand in demands:
        if demand.devices > largest:
            return (
                f"engines.{demand.name}: takes {demand.devices} GPUs of each of its hosts; none of"
                f" those given has more than {largest}"
            )
    needs = f"{wanted_nodes(recipe, largest)} hosts of {largest} GPUs"
    each = ", ".join(demand.text for demand in demands)
    return f"engines: needs {needs} ({each}); {_given(recipe, hosts, largest)}"


def _given(recipe: Recipe, hosts: Sequence[Host], largest: int) -> str:
    machines = {host.name if recipe.traits.simulated else host.address for host in hosts}
    if len(machines) < len(hosts):
        return f"{len(machines)} machines are given" if len(machines) > 1 else "1 machine is given"
    fewer = [f"{host.name} has {host.gpus}" for host in hosts if host.gpus < largest]
    more = f", of which {', '.join(fewer[:8])}" if fewer else ""
    return f"{_are_given(hosts)}{more}"


def _are_given(hosts: Sequence[Host]) -> str:
    return f"{len(hosts)} are given" if len(hosts) > 1 else "1 is given"

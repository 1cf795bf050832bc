"""Engines, nodes and ranks on hosts, and how many ranks a node has. Pure."""

from typing import NoReturn

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.errors import InputError
from dsr1.hosts.inventory.host import Host
from dsr1.launcher.recipe.engine import Engine

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
    """All engines of a deployment; the frontend is on the first host, several are dealt over the
    first `fronts` of them, 0: over all. Several hosts may be one of the `machines`."""

    hosts: tuple[Host, ...]
    groups: tuple[Group, ...]
    machines: int
    fronts: int = 0


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

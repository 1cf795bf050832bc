"""What every command needs to know of the run: its name, its folder on a host, and the plan so far.
Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from dsr1.env.hcas import HcaChoice
from dsr1.hosts.protocol.fact import Facts
from dsr1.launcher.layout.ports import PortPlan
from dsr1.launcher.layout.topology import Group, Node, Topology
from dsr1.launcher.recipe.models import Recipe

Argv = tuple[str, ...]
WorkerSlot = tuple[Group, Node, int | None]


@dataclass(frozen=True, slots=True)
class PlanContext:
    """A recipe on hosts. `facts`, and the adapters chosen from them, are by host, of those that
    told any. `run_id` is the run's identity, see Plan."""

    run: str
    run_id: str
    folder: str
    recipe: Recipe
    topology: Topology
    ports: PortPlan
    facts: Mapping[str, Facts]
    adapters: Mapping[str, HcaChoice]


def worker_slots(group: Group) -> Iterator[WorkerSlot]:
    """One for each process of an engine: a node's, or one of a rank."""
    for node in group.nodes:
        yield from (
            (group, node, rank) for rank in (node.ranks if group.layout == "per_gpu" else (None,))
        )


def name_of(place: WorkerSlot) -> str:
    """Of the process that runs there."""
    group, node, rank = place
    return f"{group.name}-{node.rank if rank is None else rank}"


def listen_address(site: PlanContext) -> str:
    """Where clients connect: the recipe's word, or the first host's control address alone."""
    return site.recipe.frontend.host or site.topology.hosts[0].address


def is_secured(site: PlanContext) -> bool:
    """Several machines talk over a network: mutual TLS, unless the recipe says off."""
    return (
        site.topology.machines > 1 and site.recipe.security == "tls" and site.recipe.stack != "vllm"
    )

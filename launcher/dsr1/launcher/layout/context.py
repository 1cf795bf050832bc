"""What every command needs to know of the run: its name, its folder on a host, and the plan so far;
and what a stack makes of that. Pure."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.inventory.host import Host
from dsr1.hosts.protocol.facts.fact import Facts
from dsr1.hosts.protocol.process import PhaseRule, Variable
from dsr1.launcher.layout.ports import PICKED, PortPlan
from dsr1.launcher.layout.slots import FrontendSlot, WorkerSlot
from dsr1.launcher.layout.topology import Group, Topology
from dsr1.launcher.recipe.models import Recipe

if TYPE_CHECKING:
    from dsr1.env.hcas import HcaChoice

Argv = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PlanContext:
    """A recipe on hosts. `facts`, and the adapters chosen from them, are by host, of those that
    gave any; `frontends` by process. `run_id` is the run's identity, see Plan. `picks_once`: of
    a process of vLLM's with several ranks one place alone picks ports."""

    run: str
    run_id: str
    folder: str
    recipe: Recipe
    stack: "Stack"
    topology: Topology
    ports: PortPlan
    frontends: Mapping[str, FrontendSlot]
    facts: Mapping[str, Facts]
    adapters: Mapping[str, "HcaChoice"]
    picks_once: bool = True

    @property
    def is_secured(self) -> bool:
        """Several machines talk over a network: mutual TLS, unless the recipe says off."""
        recipe = self.recipe
        return self.topology.machines > 1 and recipe.security == "tls" and recipe.traits.secures

    def picked_ports(self, slot: WorkerSlot) -> range:
        """What a process of vLLM's is told to pick its own ports from; empty where that can't be
        planned."""
        first = self.ports.picked.get((slot.group.name, slot.node.rank))
        if first is None or (len(slot.ranks) > 1 and not self.picks_once):
            return range(0)
        start = first + PICKED * slot.index
        return range(start, start + PICKED)

    def server_of(self, slot: WorkerSlot) -> FrontendSlot | None:
        """Where a worker serves clients by itself."""
        return self.frontends.get(slot.name) if self.recipe.traits.own_servers else None


@dataclass(frozen=True, slots=True)
class Stack:
    """The commands of a stack. What is true of it before anything is laid out: its StackTraits.

    `worker` is the command of one process of an engine; `frontend` of one frontend, None where
    engines serve by themselves; `shared` are the variables of all processes of a host.
    `registrations` counts the `generate` endpoints that a frontend lists once all ranks of an
    engine serve; None: nothing is listed. `listed_ranks` are those that a process of an engine,
    with these global ranks, registers.
    `packages` are distributions that the runtime's Python must have. `pins` are (distribution,
    dependency): the installed dependency must satisfy what the distribution's own metadata asks of
    it, extras included.
    """

    worker: Callable[[PlanContext, WorkerSlot], Argv]
    frontend: Callable[[PlanContext, FrontendSlot], Argv] | None
    shared: Callable[[PlanContext, Host], tuple[Variable, ...]]
    registrations: Callable[[Group], int] | None
    listed_ranks: Callable[[Group, tuple[int, ...]], tuple[int, ...]]
    phases: tuple[PhaseRule, ...]
    packages: tuple[str, ...]
    has_system_port: bool
    pins: tuple[tuple[str, str], ...] = ()


def all_behind_leader(group: Group, ranks: tuple[int, ...]) -> tuple[int, ...]:
    """A headless leader serves the ranks of its whole engine."""
    return tuple(range(group.size)) if group.layout == "headless" else ranks

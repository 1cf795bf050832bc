"""What was learned of hosts, or is known of them without asking: no transport is loaded for it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.errors import HostError
from dsr1.hosts.inventory.access import Access
from dsr1.hosts.inventory.host import Host, this_machine
from dsr1.hosts.protocol.facts.fact import Facts
from dsr1.hosts.transport.parallel import answered
from dsr1.hosts.transport.results import FactsByHost
from dsr1.launcher.layout.placement import wanted_nodes
from dsr1.launcher.layout.topology import GPUS_PER_NODE
from dsr1.launcher.recipe.models import Recipe

if TYPE_CHECKING:
    from dsr1.launcher.preflight.draft import Draft


@dataclass(frozen=True, slots=True)
class Survey:
    """The hosts that a plan may use, the spares that are left, how all of them are reached, and
    their facts, or why there are none.

    `draft` is the recipe on these hosts; None where nobody was asked.
    """

    hosts: tuple[Host, ...]
    spares: tuple[Host, ...]
    accesses: tuple[Access, ...]
    facts_by_host: FactsByHost
    draft: "Draft | None" = None

    @property
    def facts(self) -> dict[str, Facts]:
        return answered(self.facts_by_host)

    @property
    def facts_of_hosts(self) -> dict[str, Facts | HostError]:
        """Without the spares."""
        return {host.name: self.facts_by_host[host.name] for host in self.hosts}


def unasked_survey(recipe: Recipe, accesses: Sequence[Access]) -> Survey:
    """What is known without asking anybody."""
    named = tuple(named_host(access) for access in accesses)
    return Survey(
        named or this_machine(wanted_nodes(recipe), GPUS_PER_NODE), (), tuple(accesses), {}
    )


def named_host(access: Access) -> Host:
    gpus = GPUS_PER_NODE if access.gpus is None else access.gpus
    return Host(access.name, access.control_address or access.target, "", gpus, hca=access.hca)

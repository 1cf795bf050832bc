"""What the hosts of a plan are like before there is one: who answers, their addresses to each
other, their facts."""

from collections.abc import Collection, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from dsr1.env.node import LOOPBACK
from dsr1.hosts.errors import HostError, InputError
from dsr1.hosts.inventory.access import Access
from dsr1.hosts.inventory.host import Host, this_machine
from dsr1.hosts.protocol.fact import Facts, value_of
from dsr1.hosts.protocol.facts_request import FactsRequest
from dsr1.hosts.transport.base import Transport
from dsr1.hosts.transport.connect import connect_hosts, over_ssh
from dsr1.hosts.transport.parallel import raise_all, run_parallel
from dsr1.hosts.transport.results import FactsByHost, HostIntroduction
from dsr1.hosts.transport.ssh import ShellTransport
from dsr1.launcher.layout.topology import GPUS_PER_NODE, wanted_nodes
from dsr1.launcher.plan.runtime_knowledge import RUNTIME
from dsr1.launcher.preflight import connectivity
from dsr1.launcher.preflight.connectivity import begin_connectivity
from dsr1.launcher.preflight.requirements import make_facts_request
from dsr1.launcher.preflight.runtime_probe import begin_runtime_probe
from dsr1.launcher.recipe.models import Recipe

"""By host: its facts, or why there are none."""
ExtraFacts = Collection[str]
"""Facts that are not gathered but tried, by name: `runtime`, `net.reach`."""


class ParallelQuestion(Protocol):
    """Something that goes on while facts are gathered, and gives more of them."""

    def join(self, told: FactsByHost) -> dict[str, Facts | HostError]: ...


@dataclass(frozen=True, slots=True)
class Survey:
    """The hosts that a plan may use, the spares that are left, how all of them are reached, and
    what they told."""

    hosts: tuple[Host, ...]
    spares: tuple[Host, ...]
    accesses: tuple[Access, ...]
    told: FactsByHost

    @property
    def facts(self) -> dict[str, Facts]:
        return {
            host: facts for host, facts in self.told.items() if not isinstance(facts, HostError)
        }

    @property
    def told_of_hosts(self) -> dict[str, Facts | HostError]:
        """Without the spares."""
        return {host.name: self.told[host.name] for host in self.hosts}


def survey_here(recipe: Recipe, extras: ExtraFacts = (RUNTIME,)) -> Survey:
    """This machine, standing in for as many hosts as the recipe wants: one look tells of all."""
    hosts = this_machine(wanted_nodes(recipe), GPUS_PER_NODE)
    with connect_hosts((), recipe.runtime.interpreter) as (way, here):
        asking = begin_extras(way, recipe, hosts, here[0], extras)
        (facts,) = gather_all(
            way, make_facts_request(recipe, hosts, "", extras), here, asking
        ).values()
    hosts = this_machine(wanted_nodes(recipe), _gpus_here(facts))
    return Survey(hosts, (), (), {host.name: facts for host in hosts})


def _gpus_here(facts: Facts | HostError) -> int:
    """A machine without any is taken for a host to be: its plan can be looked at."""
    nodes = None if isinstance(facts, HostError) else value_of(facts, "nvidia.nodes")
    return len(nodes) if isinstance(nodes, dict) and nodes else GPUS_PER_NODE


def survey_any(
    recipe: Recipe, accesses: Sequence[Access], extras: ExtraFacts = (RUNTIME,)
) -> Survey:
    """This machine, or the hosts as far as they answer."""
    if not accesses:
        return survey_here(recipe, extras)
    with over_ssh(accesses, recipe.runtime.interpreter) as transport:
        return preview_hosts(recipe, accesses, transport, extras)


def survey_hosts(
    recipe: Recipe,
    accesses: Sequence[Access],
    spares: Sequence[Access],
    transport: ShellTransport,
    extras: ExtraFacts = (RUNTIME,),
) -> Survey:
    """Every host with its control address and interface: those of its route to the leader, the
    first host.

    A host that can't be used gives its place to a spare. Raises HostError naming every host that
    can't be used when there aren't enough, InputError for one machine under two names.
    """
    first = _see_all((*accesses, *spares), transport, "")
    usable = _usable(first)
    chosen, left = fill_from_spares(accesses, spares, usable)
    if len(chosen) < len(accesses):
        raise_all(first)
    leader = _address(chosen[0], usable)
    if not leader or leader.startswith("127."):
        raise HostError(
            f"{chosen[0].name}: its address {leader or 'is unknown'}: give control_address in an"
            " inventory"
        )
    seen = _see_all((*chosen, *left), transport, leader)
    raise_all(seen)
    hosts = {access.name: _host(access, seen[access.name]) for access in (*chosen, *left)}
    placed = tuple(hosts[access.name] for access in chosen)
    asking = begin_extras(transport, recipe, placed, placed[0].name, extras)
    told = gather_all(transport, make_facts_request(recipe, placed, leader, extras), hosts, asking)
    return Survey(placed, tuple(hosts[a.name] for a in left), (*chosen, *left), told)


def preview_hosts(
    recipe: Recipe,
    accesses: Sequence[Access],
    transport: ShellTransport,
    extras: ExtraFacts = (RUNTIME,),
) -> Survey:
    """As `survey_hosts` as far as they answer; one that doesn't stands there by its name.
    InputError as there."""
    first = _see_all(accesses, transport, "")
    usable = _usable(first)
    leader = _address(accesses[0], usable)
    answering = [access for access in accesses if access.name in usable]
    seen = _see_all(answering, transport, leader) if leader else {}
    hosts = tuple(_host_or_named(access, seen.get(access.name)) for access in accesses)
    asking = begin_extras(transport, recipe, hosts, answering[0].name, extras) if answering else []
    told: FactsByHost = {
        **_errors(first),
        **gather_all(transport, make_facts_request(recipe, hosts, leader, extras), usable, asking),
    }
    return Survey(
        hosts, (), tuple(accesses), {access.name: told[access.name] for access in accesses}
    )


def unasked_survey(recipe: Recipe, accesses: Sequence[Access]) -> Survey:
    """What is known without asking anybody."""
    named = tuple(named_host(access) for access in accesses)
    return Survey(
        named or this_machine(wanted_nodes(recipe), GPUS_PER_NODE), (), tuple(accesses), {}
    )


def named_host(access: Access) -> Host:
    gpus = GPUS_PER_NODE if access.gpus is None else access.gpus
    return Host(access.name, access.control_address or access.target, "", gpus, hca=access.hca)


def gather_all(
    transport: Transport,
    wanted: FactsRequest,
    hosts: Iterable[str],
    meanwhile: Iterable[ParallelQuestion] = (),
) -> dict[str, Facts | HostError]:
    """All facts of each host, in one call a host; what was begun before is joined to them."""

    def ask_one(host: str) -> Facts | HostError:
        return transport.gather_facts(host, wanted)

    told = run_parallel(ask_one, {host: host for host in hosts})
    for begun in meanwhile:
        told = begun.join(told)
    return told


def begin_extras(
    transport: Transport, recipe: Recipe, hosts: Sequence[Host], first: str, extras: ExtraFacts
) -> list[ParallelQuestion]:
    """What takes longer than facts goes on beside them; `first` is what the transport calls the
    first that answers."""
    begun: list[ParallelQuestion] = (
        [begin_runtime_probe(transport, recipe, hosts, first)] if RUNTIME in extras else []
    )
    reaching = (
        begin_connectivity(transport, recipe, hosts)
        if connectivity.CHECK in extras and len(hosts) > 1
        else None
    )
    return [*begun, reaching] if reaching else begun


def fill_from_spares(
    accesses: Sequence[Access], spares: Sequence[Access], usable: Container[str]
) -> tuple[tuple[Access, ...], tuple[Access, ...]]:
    """Who is in, and which spares are left: a spare stands where the host was whose place it
    takes."""
    free = [spare for spare in spares if spare.name in usable]
    placed = [
        access if access.name in usable else (free.pop(0) if free else None) for access in accesses
    ]
    return tuple(access for access in placed if access is not None), tuple(free)


def _see_all(
    accesses: Iterable[Access], transport: ShellTransport, peer: str
) -> dict[str, HostIntroduction | HostError]:
    return run_parallel(
        lambda name: transport.introduce(name, peer),
        {access.name: access.name for access in accesses},
    )


def _usable(seen: Mapping[str, HostIntroduction | HostError]) -> dict[str, HostIntroduction]:
    """Those that answer. InputError for one machine under two names: the boot id is one of a
    running kernel."""
    usable = {name: sight for name, sight in seen.items() if isinstance(sight, HostIntroduction)}
    names: dict[str, list[str]] = {}
    for name, sight in usable.items():
        names.setdefault(sight.boot_id, []).append(name)
    doubles = [" and ".join(same) for same in names.values() if len(same) > 1]
    if doubles:
        raise InputError(f"--hosts: {'; '.join(doubles)} are one machine")
    return usable


def _errors(seen: Mapping[str, HostIntroduction | HostError]) -> dict[str, HostError]:
    return {name: error for name, error in seen.items() if isinstance(error, HostError)}


def _address(leader: Access, usable: Mapping[str, HostIntroduction]) -> str:
    """Where its peers reach it; empty: not known."""
    return leader.control_address or (usable[leader.name].address if leader.name in usable else "")


def _host_or_named(access: Access, sight: HostIntroduction | HostError | None) -> Host:
    """An interface that no peer can reach is none."""
    known = isinstance(sight, HostIntroduction) and sight.interface not in ("", LOOPBACK)
    return _host(access, sight) if known and sight is not None else named_host(access)


def _host(access: Access, sight: HostIntroduction | HostError) -> Host:
    assert isinstance(sight, HostIntroduction)
    address = access.control_address or sight.address
    if not sight.interface:
        raise HostError(
            f"{access.name}: no interface owns {address}; give its control_address in an inventory"
        )
    gpus = sight.gpus if access.gpus is None else access.gpus
    return Host(access.name, address, sight.interface, gpus, sight.arch, access.hca)

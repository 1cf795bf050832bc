"""What the hosts of a plan are like before there is one: who answers, their addresses to each
other, their facts."""

from collections.abc import Collection, Container, Mapping, Sequence
from typing import Protocol

from dsr1.env.node import LOOPBACK
from dsr1.hosts.errors import HostError, InputError
from dsr1.hosts.inventory.access import Access
from dsr1.hosts.inventory.addresses import first_address, is_within
from dsr1.hosts.inventory.host import Host, this_machine
from dsr1.hosts.protocol.facts.fact import Facts, value_of
from dsr1.hosts.transport.base import Transport
from dsr1.hosts.transport.connect import connect_hosts, over_ssh
from dsr1.hosts.transport.parallel import answered, raise_all, run_on_all, run_parallel
from dsr1.hosts.transport.results import FactsByHost, HostIntroduction
from dsr1.hosts.transport.ssh import ShellTransport
from dsr1.launcher.commands.dynamo_versions import RUNTIME
from dsr1.launcher.layout.placement import wanted_nodes
from dsr1.launcher.layout.topology import GPUS_PER_NODE
from dsr1.launcher.preflight import connectivity
from dsr1.launcher.preflight.connectivity import begin_connectivity
from dsr1.launcher.preflight.draft import Draft, make_draft, redraft
from dsr1.launcher.preflight.requirements import make_facts_request
from dsr1.launcher.preflight.runtime_probe import begin_runtime_probe
from dsr1.launcher.preflight.survey_result import Survey, named_host
from dsr1.launcher.recipe.models import Recipe

ExtraFacts = Collection[str]
"""Facts that are not gathered but tried, by name: `runtime`, `net.reach`."""


class ParallelQuestion(Protocol):
    """Something that goes on while facts are gathered, and gives more of them."""

    def join(self, facts_by_host: FactsByHost) -> dict[str, Facts | HostError]: ...


def survey_here(recipe: Recipe, extras: ExtraFacts = (RUNTIME,)) -> Survey:
    """This machine, in the place of as many hosts as the recipe wants: it is asked once."""
    draft = make_draft(recipe, this_machine(wanted_nodes(recipe), GPUS_PER_NODE))
    with connect_hosts((), recipe.runtime.interpreter) as (transport, names):
        (facts,) = ask_hosts(transport, draft, names, "", extras).values()
    hosts = this_machine(wanted_nodes(recipe), _gpus_here(facts))
    return Survey(hosts, (), (), {host.name: facts for host in hosts}, redraft(draft, hosts))


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
    first = _probe_all((*accesses, *spares), transport, "")
    usable = _usable(first)
    chosen, left = fill_from_spares(accesses, spares, usable)
    if len(chosen) < len(accesses):
        raise_all(first)
    leader = _leader_address(chosen[0], usable)
    probes = raise_all(_probe_all((*chosen, *left), transport, leader))
    hosts = tuple(_host(access, probes[access.name]) for access in chosen)
    others = tuple(_host(access, probes[access.name]) for access in left)
    draft = make_draft(recipe, hosts)
    facts = ask_hosts(transport, draft, [host.name for host in (*hosts, *others)], leader, extras)
    return Survey(hosts, others, (*chosen, *left), facts, draft)


def _leader_address(leader: Access, usable: Mapping[str, HostIntroduction]) -> str:
    """HostError: other hosts can't reach it there."""
    address = _address(leader, usable)
    if not address or address.startswith("127."):
        raise HostError(
            f"{leader.name}: its address {address or 'is unknown'}: give control_address in an"
            " inventory"
        )
    if leader.network and not leader.control_address and not is_within(address, leader.network):
        raise HostError(
            f"{leader.name}: has no address in control_network {leader.network}: it would send from"
            f" {address}"
        )
    return address


def preview_hosts(
    recipe: Recipe,
    accesses: Sequence[Access],
    transport: ShellTransport,
    extras: ExtraFacts = (RUNTIME,),
) -> Survey:
    """As `survey_hosts` as far as they answer; one that doesn't is there by its name.
    InputError as there."""
    first = _probe_all(accesses, transport, "")
    usable = _usable(first)
    leader = _address(accesses[0], usable)
    answering = [access for access in accesses if access.name in usable]
    probes = _probe_all(answering, transport, leader) if leader else {}
    hosts = tuple(_host_or_named(access, probes.get(access.name)) for access in accesses)
    draft = make_draft(recipe, hosts)
    facts = ask_hosts(transport, draft, list(usable), leader, extras)
    errors = {name: one for name, one in first.items() if isinstance(one, HostError)}
    answers: FactsByHost = {**errors, **facts}
    in_order = {access.name: answers[access.name] for access in accesses}
    return Survey(hosts, (), tuple(accesses), in_order, draft)


def ask_hosts(
    transport: Transport,
    draft: Draft,
    names: Sequence[str],
    leader: str,
    extras: ExtraFacts = (),
) -> dict[str, Facts | HostError]:
    """All facts of each host, in one call a host, by the names that the transport has for them;
    what takes longer goes on beside them.

    `leader` is the address that the others are to reach; empty: none.
    """
    begun = _begin_extras(transport, draft, names[0], extras) if names else []
    request = make_facts_request(draft, leader, extras)

    def ask_one(host: str) -> Facts | HostError:
        return transport.gather_facts(host, request)

    facts = run_on_all(ask_one, names, what="asking hosts")
    for question in begun:
        facts = question.join(facts)
    return facts


def _begin_extras(
    transport: Transport, draft: Draft, first: str, extras: ExtraFacts
) -> list[ParallelQuestion]:
    begun: list[ParallelQuestion] = []
    if RUNTIME in extras:
        begun.append(begin_runtime_probe(transport, draft, first))
    if connectivity.CHECK in extras and len(draft.hosts) > 1:
        probe = begin_connectivity(transport, draft)
        begun += [] if probe is None else [probe]
    return begun


def fill_from_spares(
    accesses: Sequence[Access], spares: Sequence[Access], usable: Container[str]
) -> tuple[tuple[Access, ...], tuple[Access, ...]]:
    """Who is in, and which spares are left: a spare comes where the host was whose place it
    takes."""
    free = [spare for spare in spares if spare.name in usable]
    placed = [
        access if access.name in usable else (free.pop(0) if free else None) for access in accesses
    ]
    return tuple(access for access in placed if access is not None), tuple(free)


def meet_hosts(
    accesses: Sequence[Access], transport: ShellTransport, leader: str
) -> tuple[Host, ...]:
    """Hosts that come to others, whose `leader` is there. HostError names all that can't be
    used."""
    probes = raise_all(_probe_all(accesses, transport, leader))
    _usable(probes)
    return tuple(_host(access, probes[access.name]) for access in accesses)


def _probe_all(
    accesses: Sequence[Access], transport: ShellTransport, peer: str
) -> dict[str, HostIntroduction | HostError]:
    names = {access.name: access.name for access in accesses}
    peers = {access.name: peer or first_address(access.network) for access in accesses}
    ask = lambda name: transport.introduce(name, peers[name])  # noqa: E731
    return run_parallel(ask, names, what="finding addresses" if peer else "reaching hosts")


def _usable(probes: Mapping[str, HostIntroduction | HostError]) -> dict[str, HostIntroduction]:
    """Those that answer. InputError for one machine under two names: the boot id is one of a
    running kernel."""
    usable = answered(probes)
    names: dict[str, list[str]] = {}
    for name, probe in usable.items():
        names.setdefault(probe.boot_id, []).append(name)
    doubles = [" and ".join(same) for same in names.values() if len(same) > 1]
    if doubles:
        raise InputError(f"--hosts: {'; '.join(doubles)} are one machine")
    return usable


def _address(leader: Access, usable: Mapping[str, HostIntroduction]) -> str:
    """Where its peers reach it; empty: not known."""
    return leader.control_address or (usable[leader.name].address if leader.name in usable else "")


def _host_or_named(access: Access, probe: HostIntroduction | HostError | None) -> Host:
    """An interface that no peer can reach is none."""
    if isinstance(probe, HostIntroduction) and probe.interface not in ("", LOOPBACK):
        return _host(access, probe)
    return named_host(access)


def _host(access: Access, probe: HostIntroduction) -> Host:
    address = access.control_address or probe.address
    if not probe.interface:
        raise HostError(
            f"{access.name}: no interface owns {address}; give its control_address in an inventory"
        )
    gpus = probe.gpus if access.gpus is None else access.gpus
    return Host(access.name, address, probe.interface, gpus, probe.arch, access.hca)

"""Which adapters the processes of each host use, and what a person should know of that. Pure."""

from collections.abc import Iterator, Mapping

from dsr1.env.checks.judging import NONSENSE
from dsr1.env.fabric import parse_fabric
from dsr1.env.hca import Hca, all_ports, matches
from dsr1.env.hcas import HcaChoice, choose_hcas
from dsr1.hosts.errors import InputError
from dsr1.hosts.inventory.host import Host
from dsr1.hosts.protocol.facts.fact import Facts
from dsr1.launcher.layout.topology import Topology
from dsr1.launcher.recipe.models import Recipe

NOTHING_KNOWN = HcaChoice((), (), "its facts list no adapters")


def choose_adapters(
    recipe: Recipe, topology: Topology, facts: Mapping[str, Facts]
) -> dict[str, HcaChoice]:
    """By host, of those with facts; none where nothing leaves a machine, or nothing has GPUs.

    Raises InputError for an `hca` that fits nothing.
    """
    if topology.machines < 2 or not recipe.uses_gpus:
        return {}
    return {
        host.name: _choose(recipe, host, facts[host.name])
        for host in topology.hosts
        if host.name in facts
    }


def wanted_adapters(recipe: Recipe, host: Host) -> tuple[str, ...]:
    """The user's choice: the inventory's for a host goes before the recipe's for all."""
    return host.hca or tuple(recipe.hca)


def _choose(recipe: Recipe, host: Host, facts: Facts) -> HcaChoice:
    try:
        fabric = parse_fabric(facts)
    except NONSENSE as error:
        return HcaChoice((), (), f"its facts make no sense: {error}")
    if fabric is None:
        return NOTHING_KNOWN
    wanted = wanted_adapters(recipe, host)
    for pattern in wanted:
        _refuse_unmatched(host, pattern, all_ports(fabric))
    return choose_hcas(fabric, wanted)


def _refuse_unmatched(host: Host, pattern: str, ports: list[Hca]) -> None:
    if not any(matches(hca, pattern) for hca in ports):
        there = ", ".join(hca.name for hca in ports) or "none"
        raise InputError(f"hca: {pattern!r} is not an adapter of {host.name}, which has {there}")


def adapter_notes(choices: Mapping[str, HcaChoice]) -> Iterator[str]:
    """One line for hosts without; with their reasons, since these are seldom meant."""
    bare: dict[str, list[str]] = {}
    for host, choice in choices.items():
        if not choice.hcas:
            bare.setdefault("; ".join(filter(None, (choice.why, choice.reasons))), []).append(host)
    yield from (f"{', '.join(hosts)}: no adapters are set: {why}" for why, hosts in bare.items())

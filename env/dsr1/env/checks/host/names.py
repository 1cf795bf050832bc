"""Whether hosts' names and addresses mean the same on all hosts."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from dsr1.env.checks.comparing import CompareFunction, FactsOfHosts
from dsr1.env.checks.host.network import NO_PEERS, is_bridge_or_tunnel
from dsr1.env.checks.judging import Verdict, known_or, skipped
from dsr1.hosts.dataclass import dataclass

SAME_NAMES = "names that mean the same on all hosts"
LINK_LOCAL_OR_LOOPBACK = ("127.", "::1", "fe80:")

ResolvedNames = Mapping[str, list[str] | str]
"""By a host's name its addresses; a text: why it could not be resolved."""


@dataclass(frozen=True, slots=True)
class NameTable:
    """What names mean on most hosts, and which host has an address."""

    usual: Mapping[str, str]
    owners: Mapping[str, str]


def same_names(facts_by_host: FactsOfHosts) -> dict[str, Verdict]:
    """dsr1 gives addresses to what it starts, so a name that a host doesn't know is no harm;
    another host's address is."""
    resolved = _of_each_host(facts_by_host, "net.resolved")
    addresses = _of_each_host(facts_by_host, "net.addresses")
    table = NameTable(_usual_addresses(filter(None, resolved.values())), _owners(addresses))
    return {host: _judge_names(host, names, table) for host, names in resolved.items()}


def _of_each_host(facts_by_host: FactsOfHosts, name: str) -> dict[str, Any]:
    """A fact by host; None where it could not be read."""
    return {host: known_or(facts, name, None) for host, facts in facts_by_host.items()}


def _usual_addresses(tables: Iterable[ResolvedNames]) -> dict[str, str]:
    """By name, the address that most of the hosts that know it have for it."""
    counts: dict[str, Counter[str]] = {}
    for names in tables:
        for name, addresses in _network_names(names).items():
            count = counts.setdefault(name, Counter())
            for address in addresses:
                count[address] += 1
    return {name: count.most_common(1)[0][0] for name, count in counts.items() if count}


def _network_names(names: ResolvedNames) -> dict[str, list[str]]:
    """Names that have addresses of the network."""
    return {
        name: addresses
        for name, addresses in names.items()
        if isinstance(addresses, list) and not _is_loopback(addresses)
    }


def _is_loopback(addresses: list[str]) -> bool:
    return all(address.startswith("127.") or address == "::1" for address in addresses)


def _owners(addresses_by_host: Mapping[str, Mapping[str, list[str]] | None]) -> dict[str, str]:
    """By address its host; without those that are alike on several, such as containers' bridges."""
    owners = {}
    for host, interfaces in addresses_by_host.items():
        for interface, addresses in (interfaces or {}).items():
            if not is_bridge_or_tunnel(interface):
                owners.update(dict.fromkeys(addresses, host))
    return {
        address: host
        for address, host in owners.items()
        if not address.startswith(LINK_LOCAL_OR_LOOPBACK)
    }


def _judge_names(host: str, names: ResolvedNames | None, table: NameTable) -> Verdict:
    if names is None:
        fix = "Look at /etc/resolv.conf on this host."
        return Verdict("UNKNOWN", "names were not resolved", SAME_NAMES, fix)
    different = _different(names, table)
    problems = [
        f"{name} is {', '.join(addresses)}, elsewhere {table.usual[name]}"
        for name, addresses in different.items()
    ]
    loopback = _own_loopback(host, names)
    if not problems and not loopback:
        return Verdict("PASS", "all names mean the same", SAME_NAMES)
    verdict = "FAIL" if _means_another_host(different, table) else "WARN"
    fix = "Correct /etc/hosts or the name server there."
    return Verdict(verdict, "; ".join(problems) or loopback, SAME_NAMES, fix)


def _different(names: ResolvedNames, table: NameTable) -> dict[str, list[str]]:
    """Names that mean neither the usual address nor another one of their host."""
    return {
        name: addresses
        for name, addresses in _network_names(names).items()
        if table.usual[name] not in addresses
        and {table.owners.get(address) for address in addresses} != {name}
    }


def _means_another_host(different: Mapping[str, list[str]], table: NameTable) -> bool:
    return any(
        table.owners.get(address, name) != name
        for name, addresses in different.items()
        for address in addresses
    )


def _own_loopback(host: str, names: ResolvedNames) -> str:
    addresses = names.get(host)
    if isinstance(addresses, list) and _is_loopback(addresses):
        return f"its own name is {', '.join(addresses)}"
    return ""


def unique_addresses(facts_by_host: FactsOfHosts) -> dict[str, Verdict]:
    controls = _of_each_host(facts_by_host, "net.control")
    addresses = {host: control and control["address"] for host, control in controls.items()}
    counts = Counter(addresses.values())
    return {host: _judge_address(address, counts) for host, address in addresses.items()}


def _judge_address(address: str | None, counts: Mapping[str, int]) -> Verdict:
    if not address:
        return skipped(NO_PEERS)
    wanted, fix = "an address of its own", "Give each host its control_address in an inventory."
    if counts[address] == 1:
        return Verdict("PASS", address, wanted)
    return Verdict("FAIL", f"{address}, which {counts[address]} hosts have", wanted, fix)


TOGETHER: dict[str, CompareFunction] = {
    "net.resolve": same_names,
    "net.unique": unique_addresses,
}

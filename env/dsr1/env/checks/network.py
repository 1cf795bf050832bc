"""Checks of the network and of ports: on a host, and between the hosts."""

from collections import Counter
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from typing import Any

from dsr1.env.checks.judging import (
    CheckFunction,
    FactsOfHosts,
    Requirements,
    UnknownFact,
    Verdict,
    across,
    known,
    known_or,
    passed,
    skipped,
)
from dsr1.env.checks.kinds import count
from dsr1.hosts.protocol.events import Finding
from dsr1.hosts.protocol.fact import Facts

# Bridges of containers and tunnels: peers can't reach them, or are slowed down by them.
VIRTUAL = ("docker*", "virbr*", "cni*", "veth*", "tailscale*", "wg*", "flannel*")
MOST = 12


def first_words(words: list[str]) -> str:
    return ", ".join(words[:MOST]) + (", ..." if len(words) > MOST else "")


def route(facts: Facts, needs: Requirements) -> Verdict:
    control = known_or(facts, "net.control", None)
    if control is None and "net.control" in facts and not facts["net.control"].problem:
        return skipped("nobody to talk to")
    address, interface = (
        known(facts, "net.control")["address"],
        known(facts, "net.control")["interface"],
    )
    good = (
        bool(interface)
        and interface != "lo"
        and not any(fnmatch(interface, name) for name in VIRTUAL)
    )
    fix = "Give the host's control_address in an inventory: one that its peers reach."
    return passed(
        good or needs.hosts == 1,
        "FAIL",
        f"{address} on {interface or 'no interface'}",
        "an address that peers reach, on an interface of the network",
        fix,
    )


def ports_free(facts: Facts, needs: Requirements) -> Verdict:
    """The agent reserves them later, and tries to bind them; this finds the foreign ones before
    anything starts."""
    held, wanted = known(facts, "net.listening"), sorted(set(needs.ports))
    taken = [f"{port} is held by {held[str(port)]}" for port in wanted if str(port) in held]
    seen = first_words(taken) or f"{len(wanted)} free"
    fix = "End that process, or choose another port in the recipe (`dsr1 ps` lists your runs)."
    return passed(not taken, "FAIL", seen, "the plan's ports, free", fix)


def overlap(facts: Facts, needs: Requirements) -> Verdict:
    """Ranges such as vLLM's [base, base + ranks) for NIXL and KV events must not meet."""
    doubles = [
        f"{port} ({count} times)"
        for port, count in sorted(Counter(needs.ports).items())
        if count > 1
    ]
    fix = "Move ports.base, or the port that the recipe names, away from the others."
    return passed(not doubles, "FAIL", first_words(doubles) or "disjoint", "every port once", fix)


def ephemeral(facts: Facts, needs: Requirements) -> Verdict:
    """A port in the range of outgoing connections can be taken by any of them, before its process
    binds it."""
    (low, high), reserved = known(facts, "net.ephemeral"), known(facts, "net.reserved")
    inside = [port for port in sorted(set(needs.ports)) if low <= port <= high]
    risky = [
        str(port) for port in inside if not any(first <= port <= last for first, last in reserved)
    ]
    ranges = [f"{first}-{last}" for first, last in reserved]
    setting = f"sysctl -w net.ipv4.ip_local_reserved_ports={','.join((*ranges, *risky))}"
    fix = f"Choose ports outside {low}-{high}, or reserve them as root: {setting}"
    seen = f"{first_words(risky)} in {low}-{high}" if risky else f"none in {low}-{high}"
    return passed(not risky, "WARN", seen, "ports that no outgoing connection takes", fix)


def privileged(facts: Facts, needs: Requirements) -> Verdict:
    first = known(facts, "net.unprivileged")
    low = [str(port) for port in sorted(set(needs.ports)) if port < first]
    fix = f"Choose ports of {first} or above in the recipe."
    return passed(
        not low,
        "FAIL",
        first_words(low) or f"none below {first}",
        "ports that any user may bind",
        fix,
    )


def proxy(facts: Facts, needs: Requirements) -> Verdict:
    """Dynamo's and vLLM's clients heed proxies, for the hosts among themselves too."""
    found = {name.lower(): value for name, value in known(facts, "environment").items()}
    used = [name for name in ("http_proxy", "https_proxy") if found.get(name)]
    if not used:
        return Verdict("PASS", "none", "none, or hosts that are excepted")
    excepted, own = found.get("no_proxy", ""), known_or(facts, "net.control", None) or {}
    address = own.get("address", "127.0.0.1")
    good = excepted == "*" or address in [word.strip() for word in excepted.split(",")]
    seen = f"{', '.join(used)}; no_proxy is {excepted or 'empty'}"
    fix = (
        f"Set no_proxy to the hosts' addresses ({address}, ...) in the recipe's runtime.env, or"
        " unset the proxies."
    )
    return passed(good, "WARN", seen, f"no_proxy with {address}", fix)


def etcd(facts: Facts, needs: Requirements) -> Verdict:
    """The user's own, by any of its endpoints. The run's own is waited for as it starts."""
    if not needs.etcd:
        return skipped("the run brings its own, or needs none")
    told = known(facts, "net.etcd")
    sick = [f"{url}: {told[url]}" for url in needs.etcd if told[url]]
    fix = (
        "Start it, mend etcd.endpoints in the recipe, or leave them out: the run then brings its"
        " own."
    )
    verdict = "FAIL" if len(sick) == len(needs.etcd) else "WARN"
    return passed(
        not sick,
        verdict,
        "; ".join(sick) or ", ".join(needs.etcd),
        "endpoints that are healthy",
        fix,
    )


JUDGES: dict[str, CheckFunction] = {
    "net.etcd": etcd,
    "net.route": route,
    "net.ports_free": ports_free,
    "net.port_overlap": overlap,
    "net.ephemeral": ephemeral,
    "net.ports_privileged": privileged,
    "net.proxy": proxy,
}


def same_names(check: str, site: FactsOfHosts) -> Iterator[Finding]:
    """dsr1 gives addresses to what it starts, so a name that a host doesn't know is no harm;
    another's address is."""
    wanted, fix = (
        "names that mean the same on all hosts",
        "Mend /etc/hosts or the name server there.",
    )
    meanings = _meanings(told for _, told in across(site, "net.resolved") if told)
    owners = {
        address: host
        for host, told in across(site, "net.addresses")
        for address in _global(told or {})
    }
    for host, told in across(site, "net.resolved"):
        if told is None:
            yield Finding(
                host,
                check,
                "UNKNOWN",
                "names were not resolved",
                wanted,
                "Look at /etc/resolv.conf there.",
            )
            continue
        odd = {
            name: found
            for name, found in _odd(told, meanings)
            if {owners.get(one) for one in found} != {name}
        }
        wrong = [
            f"{name} is {', '.join(found)}, elsewhere {meanings[name]}"
            for name, found in odd.items()
        ]
        foreign = any(owners.get(one, name) != name for name, found in odd.items() for one in found)
        own = told.get(host)
        loops = (
            f"its own name is {', '.join(own)}"
            if isinstance(own, list) and _is_loopback(own)
            else ""
        )
        verdict = "FAIL" if foreign else "WARN" if wrong or loops else "PASS"
        seen = "; ".join(wrong) or loops
        yield Finding(host, check, verdict, seen or "they do", wanted, fix if seen else "")


def _global(addresses: dict[str, list[str]]) -> Iterator[str]:
    """Of a host's addresses by interface those that can mean it elsewhere, too: bridges of
    containers look alike."""
    for interface, found in addresses.items():
        if not any(fnmatch(interface, name) for name in VIRTUAL):
            yield from (one for one in found if not one.startswith(("127.", "::1", "fe80:")))


def _meanings(told: Iterable[dict[str, Any]]) -> dict[str, str]:
    """By name, the address that most of the hosts that know it have for it."""
    found: dict[str, Counter[str]] = {}
    for names in told:
        for name, addresses in names.items():
            if isinstance(addresses, list) and not _is_loopback(addresses):
                found.setdefault(name, Counter()).update(addresses)
    return {name: count.most_common(1)[0][0] for name, count in found.items() if count}


def _odd(told: dict[str, Any], meanings: dict[str, str]) -> Iterator[tuple[str, list[str]]]:
    for name, found in told.items():
        if isinstance(found, list) and not _is_loopback(found) and meanings[name] not in found:
            yield name, found


def _is_loopback(addresses: list[str]) -> bool:
    return all(address.startswith("127.") or address == "::1" for address in addresses)


def unique_addresses(check: str, site: FactsOfHosts) -> Iterator[Finding]:
    wanted, fix = "an address of its own", "Give each host its control_address in an inventory."
    addresses = {
        host: control and control["address"] for host, control in across(site, "net.control")
    }
    count = Counter(addresses.values())
    for host, address in addresses.items():
        if not address:
            yield Finding(host, check, "SKIP", "nobody to talk to", wanted, "")
        else:
            good = count[address] == 1
            yield Finding(
                host, check, "PASS" if good else "FAIL", str(address), wanted, "" if good else fix
            )


def control_speed(facts: Facts) -> dict[str, str]:
    """Virtual machines' interfaces have none."""
    mb = known(facts, "net.interfaces")[known(facts, "net.control")["interface"]]["speed_mb"]
    return {"speed": f"{mb} Mb/s" if count(mb) and mb else "not told"}


def control_mtu(facts: Facts) -> dict[str, str]:
    interface = known(facts, "net.control")["interface"]
    mtu = known(facts, "net.interfaces")[interface]["mtu"]
    if not count(mtu):
        raise UnknownFact(f"{interface}: its MTU is {mtu}")
    return {"MTU": str(mtu)}

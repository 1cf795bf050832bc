"""Checks of a host's network: the address that its peers use, and the plan's ports."""

from collections import Counter
from collections.abc import Mapping, Sequence
from fnmatch import fnmatch

from dsr1.env.checks.judging import (
    CheckFunction,
    UnknownFact,
    Verdict,
    known,
    known_or,
    pass_if,
    skipped,
)
from dsr1.env.checks.kinds import count
from dsr1.env.checks.requirements import Requirements
from dsr1.env.versions import version_numbers
from dsr1.hosts.inventory.names import name_few
from dsr1.hosts.protocol.facts.fact import Facts

# Bridges of containers and tunnels: peers can't reach them, or are slowed down by them.
VIRTUAL = ("docker*", "virbr*", "cni*", "veth*", "tailscale*", "wg*", "flannel*")
SHOWN_PORTS = 12
# Ports that dsr1 chooses are less than REACH above their base; the kernel's own begin at 32768.
REACH, STEP, LAST_BASE = 5000, 1000, 30001
PROXIES = ("http_proxy", "https_proxy")
NO_PEERS = "the plan has no other host to talk to"
# Of CVE-2026-73500, by its line: connections that never begin TLS are kept for ever.
ETCD_FIXED = {(3, 5): 33, (3, 6): 14, (3, 7): 1}


def is_bridge_or_tunnel(interface: str) -> bool:
    return any(fnmatch(interface, pattern) for pattern in VIRTUAL)


def route(facts: Facts, requirements: Requirements) -> Verdict:
    fact = facts.get("net.control")
    if fact is not None and fact.value is None and not fact.problem:
        return skipped(NO_PEERS)
    control = known(facts, "net.control")
    address, interface = control["address"], control["interface"]
    on_network = bool(interface) and interface != "lo" and not is_bridge_or_tunnel(interface)
    return pass_if(
        on_network or requirements.hosts == 1,
        "FAIL",
        f"{address} on {interface or 'no interface'}",
        "an address that peers can reach, on an interface of the network",
        "Give the host's control_address in an inventory: one that its peers can reach.",
    )


def ports_free(facts: Facts, requirements: Requirements) -> Verdict:
    """The agent reserves them later, and tries to bind them; this finds those of other programs
    before anything starts."""
    listening, ports = known(facts, "net.listening"), sorted(set(requirements.ports))
    taken = [
        f"{port} is held by {listening[str(port)]}" for port in ports if str(port) in listening
    ]
    seen = name_few(taken, SHOWN_PORTS) or f"{len(ports)} free"
    free = _free_base(ports, requirements.ports_base, {int(port) for port in listening})
    way_out = f"--set ports.base={free}, where all are free here" if free else "other ports"
    fix = f"End that process (`dsr1 ps` lists your runs), or {way_out}."
    return pass_if(not taken, "FAIL", seen, "all of the plan's ports free", fix)


def _free_base(ports: Sequence[int], base: int, taken: set[int]) -> int:
    """Where all ports from the base on could move to. 0: nowhere, or those aren't what is taken."""
    own = [port for port in ports if base <= port < base + REACH] if base else []
    if not taken.intersection(own):
        return 0
    for moved in range(base + STEP, LAST_BASE, STEP):
        if not taken.intersection(port - base + moved for port in own):
            return moved
    return 0


def overlap(facts: Facts, requirements: Requirements) -> Verdict:
    """Ranges such as vLLM's [base, base + ranks) for NIXL and KV events must not meet."""
    counts = sorted(Counter(requirements.ports).items())
    repeated = [f"{port} ({times} times)" for port, times in counts if times > 1]
    seen = name_few(repeated, SHOWN_PORTS) or "no port twice"
    fix = "Move ports.base, or the port that the recipe names, away from the others."
    return pass_if(not repeated, "FAIL", seen, "every port once", fix)


def ephemeral(facts: Facts, requirements: Requirements) -> Verdict:
    """An outgoing connection can take a port in their range before its process binds it."""
    (low, high), reserved = known(facts, "net.ephemeral"), known(facts, "net.reserved")
    risky = [
        str(port)
        for port in sorted(set(requirements.ports))
        if low <= port <= high and not _is_reserved(port, reserved)
    ]
    ranges = [f"{first}-{last}" for first, last in reserved]
    setting = f"net.ipv4.ip_local_reserved_ports={','.join((*ranges, *risky))}"
    fix = f"Choose ports outside {low}-{high}, or reserve them as root: sysctl -w {setting}"
    seen = f"{name_few(risky, SHOWN_PORTS) or 'none'} in {low}-{high}"
    wanted = "ports that no outgoing connection takes"
    return pass_if(not risky, "WARN", seen, wanted, fix)


def _is_reserved(port: int, ranges: list[list[int]]) -> bool:
    return any(first <= port <= last for first, last in ranges)


def privileged(facts: Facts, requirements: Requirements) -> Verdict:
    first = known(facts, "net.unprivileged")
    low = [str(port) for port in sorted(set(requirements.ports)) if port < first]
    seen = name_few(low, SHOWN_PORTS) or f"none below {first}"
    fix = f"Choose ports from {first} on in the recipe."
    return pass_if(not low, "FAIL", seen, "ports that any user may bind", fix)


def proxy(facts: Facts, requirements: Requirements) -> Verdict:
    """Dynamo's and vLLM's clients use proxies for connections between the hosts, too."""
    environment = {name.lower(): value for name, value in known(facts, "environment").items()}
    proxies = [name for name in PROXIES if environment.get(name)]
    if not proxies:
        return Verdict("PASS", "no proxy", "no proxy, or hosts that are excepted from it")
    control = known_or(facts, "net.control", None) or {}
    address = control.get("address", "127.0.0.1")
    no_proxy = environment.get("no_proxy", "")
    excepted = no_proxy == "*" or address in map(str.strip, no_proxy.split(","))
    seen = f"{', '.join(proxies)}; no_proxy is {no_proxy or 'empty'}"
    fix = (
        f"Set no_proxy to the hosts' addresses ({address}, ...) in the recipe's runtime.env, or"
        " unset the proxies."
    )
    return pass_if(excepted, "WARN", seen, f"no_proxy with {address}", fix)


def etcd(facts: Facts, requirements: Requirements) -> Verdict:
    """The user's own. One that the run starts is waited for at the start."""
    urls = requirements.etcd
    if not urls:
        return skipped("the run starts its own etcd, or needs none")
    problems = known(facts, "net.etcd")
    bad = [f"{url}: {problems[url]}" for url in urls if problems[url]]
    fix = (
        "Start etcd, correct etcd.endpoints in the recipe, or leave them out: the run then starts"
        " its own."
    )
    verdict = "FAIL" if len(bad) == len(urls) else "WARN"
    seen = "; ".join(bad) or ", ".join(urls)
    if bad:
        return Verdict(verdict, seen, "endpoints that are healthy", fix)
    return _etcd_version(known_or(facts, "net.etcd_version", {}), urls)


def _etcd_version(versions: Mapping[str, str], urls: Sequence[str]) -> Verdict:
    """As far as it is told: one that wants a certificate doesn't."""
    told = [(url, versions[url]) for url in urls if versions.get(url)]
    old = [f"{url}: etcd {version}" for url, version in told if not _is_fixed(version)]
    fix = "Upgrade that etcd, or let none but its clients reach it."
    seen = "; ".join(old) or ", ".join(urls)
    return pass_if(not old, "WARN", seen, "etcd that are healthy, without CVE-2026-73500", fix)


def _is_fixed(text: str) -> bool:
    numbers = version_numbers(text)
    line = numbers[:2]
    return line > max(ETCD_FIXED) or (line in ETCD_FIXED and numbers[2:] >= (ETCD_FIXED[line],))


CHECKS: dict[str, CheckFunction] = {
    "net.etcd": etcd,
    "net.route": route,
    "net.ports_free": ports_free,
    "net.port_overlap": overlap,
    "net.ephemeral": ephemeral,
    "net.ports_privileged": privileged,
    "net.proxy": proxy,
}


def control_speed(facts: Facts) -> dict[str, str]:
    """Virtual machines' interfaces have none."""
    interface = known(facts, "net.control")["interface"]
    mb = known(facts, "net.interfaces")[interface]["speed_mb"]
    return {"speed": f"{mb} Mb/s" if count(mb) and mb else "unknown"}


def control_mtu(facts: Facts) -> dict[str, str]:
    interface = known(facts, "net.control")["interface"]
    mtu = known(facts, "net.interfaces")[interface]["mtu"]
    if not count(mtu):
        raise UnknownFact(f"{interface}: the MTU is {mtu}")
    return {"MTU": str(mtu)}

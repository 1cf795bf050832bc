"""Checks of who could come in: public findings of the installed versions, and networks beyond the
control network. docs/threat-model.md has the findings."""

from collections.abc import Mapping

from dsr1.env.checks.host.names import LINK_LOCAL_OR_LOOPBACK
from dsr1.env.checks.host.network import is_bridge_or_tunnel
from dsr1.env.checks.judging import CheckFunction, Verdict, known, known_or, pass_if, skipped
from dsr1.env.checks.requirements import Requirements
from dsr1.env.versions import version_numbers
from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.protocol.facts.fact import Facts


@dataclass(frozen=True, slots=True)
class Advisory:
    """A public finding. `fixed`: the first version that hasn't it; `what` it lets strangers do."""

    package: str
    fixed: tuple[int, ...]
    names: str
    what: str


ADVISORIES = (
    Advisory("vllm", (0, 8, 5), "GHSA-9f8f-2vmf-885j", "read what ranks tell each other"),
    Advisory("vllm", (0, 8, 5), "CVE-2025-32444", "run code, where KV caches go by Mooncake"),
)


def advisories(facts: Facts, requirements: Requirements) -> Verdict:
    installed = known(facts, "software")
    wanted = [one for one in ADVISORIES if one.package in requirements.packages]
    found = [
        f"{one.package} {installed[one.package]}: {one.names} (strangers may {one.what})"
        for one in wanted
        if one.package in installed and version_numbers(installed[one.package]) < one.fixed
    ]
    fix = "Install a newer one, or keep strangers out: `dsr1 prep --firewall`."
    return pass_if(not found, "WARN", "; ".join(found) or "none known", "no public finding", fix)


def networks(facts: Facts, requirements: Requirements) -> Verdict:
    """Dynamo's event plane and sockets of torch listen on every address that a host has."""
    if requirements.hosts < 2:
        return skipped("the plan is of one host")
    control = (known(facts, "net.control") or {}).get("interface")
    kinds = known_or(facts, "net.interfaces", {})
    others = [
        f"{name} {address}"
        for name, addresses in known(facts, "net.addresses").items()
        if name != control and not is_bridge_or_tunnel(name) and not _is_ib(name, kinds)
        for address in addresses
        if not address.startswith(LINK_LOCAL_OR_LOOPBACK)
    ]
    fix = "Keep strangers out of these networks, or close the ports: `dsr1 prep --firewall`."
    seen = ", ".join(others) or "no other network"
    return pass_if(not others, "WARN", seen, "the control network alone", fix)


def _is_ib(name: str, interfaces: Mapping[str, Mapping[str, object]]) -> bool:
    """InfiniBand's is the fabric itself; its type is in linux/if_arp.h."""
    return name.startswith("ib") or interfaces.get(name, {}).get("kind") == 32


CHECKS: dict[str, CheckFunction] = {
    "net.exposed": networks,
    "sw.advisories": advisories,
}

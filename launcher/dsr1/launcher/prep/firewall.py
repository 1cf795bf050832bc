"""What a firewall of a run's hosts is made of: their addresses, as they tell them, and the plan's
ports."""

from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from dsr1.env.prep.decide import Preparation
from dsr1.env.prep.firewall import CHECK, RunPorts, firewall_step
from dsr1.hosts.inventory.access import Access
from dsr1.hosts.protocol.events import Finding
from dsr1.hosts.protocol.facts.fact import Facts, value_of
from dsr1.hosts.protocol.facts.request import FactsRequest
from dsr1.hosts.protocol.prep import HostProbe, PrepSteps
from dsr1.hosts.transport.base import Transport
from dsr1.hosts.transport.parallel import raise_all, run_on_all
from dsr1.launcher.plan.plan import Plan
from dsr1.launcher.prep.hosts import preparation_plan
from dsr1.launcher.recipe.models import Recipe


def decide_firewall(
    transport: Transport,
    recipe: Recipe,
    accesses: Sequence[Access],
    probes: Mapping[str, HostProbe],
) -> dict[str, Preparation]:
    """HostError: a host doesn't tell its addresses, and would be shut out by the others."""
    asked = run_on_all(lambda host: _addresses(transport, host), probes)
    all_of = sorted({one for own in raise_all(asked).values() for one in own})
    ports = run_ports(preparation_plan(recipe, accesses))
    return {host: _prepare(host, probe, all_of, ports) for host, probe in probes.items()}


def _prepare(host: str, probe: HostProbe, addresses: Sequence[str], ports: RunPorts) -> Preparation:
    if "nft" not in probe.tools:
        fix = "Install nftables, or close the ports in the site's own firewall."
        finding = Finding(host, CHECK, "FAIL", "nft is not there", "nft, to set the rules", fix)
        return Preparation(PrepSteps(), (finding,))
    step = firewall_step(probe.session.uid, addresses, ports)
    return Preparation(PrepSteps(commands=(step,)), ())


def _addresses(transport: Transport, host: str) -> tuple[str, ...]:
    """All that a host has: NIXL and NCCL may use others than the control address."""
    return addresses_in(transport.gather_facts(host, FactsRequest()))


def addresses_in(facts: Facts) -> tuple[str, ...]:
    told = value_of(facts, "net.addresses")
    lists = told.values() if isinstance(told, dict) else ()
    return tuple(str(one) for own in lists if isinstance(own, list) for one in own)


def run_ports(plan: Plan) -> RunPorts:
    urls = [*plan.service.frontend_urls, *(worker.url for worker in plan.service.workers)]
    served = {plan.service.port, *(port for url in urls if url and (port := urlsplit(url).port))}
    ports = {port for process in plan.processes for port in process.ports}
    return RunPorts(tuple(sorted(served)), tuple(sorted(ports - served)))

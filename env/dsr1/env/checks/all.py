"""All checks, by id, and what they find on the hosts of a plan."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import TypeVar

from dsr1.env.checks.adapters import counters, ibgda, pci, ports, rails
from dsr1.env.checks.adapters.select import select
from dsr1.env.checks.comparing import (
    CompareFunction,
    EqualOnAll,
    FactsOfHosts,
    hosts_sharing_engines,
    judge_equal,
    judge_together,
)
from dsr1.env.checks.gpu import devices, nvlink, usage
from dsr1.env.checks.gpu import host as gpu_host
from dsr1.env.checks.host import (
    disk,
    exposure,
    kernel,
    names,
    network,
    resources,
    software,
    troubles,
)
from dsr1.env.checks.judging import CheckFunction, judge_host, known, make_finding
from dsr1.env.checks.model import files, memory, parallelism, same, storage
from dsr1.env.checks.requirements import Requirements
from dsr1.env.findings import ORDER
from dsr1.hosts.protocol.events import Finding
from dsr1.hosts.protocol.facts.fact import Facts

CheckT = TypeVar("CheckT")
HOST_CHECKS: dict[str, CheckFunction] = (
    gpu_host.CHECKS
    | usage.CHECKS
    | devices.CHECKS
    | nvlink.CHECKS
    | parallelism.CHECKS
    | memory.CHECKS
    | ports.CHECKS
    | pci.CHECKS
    | counters.CHECKS
    | ibgda.CHECKS
    | resources.CHECKS
    | kernel.CHECKS
    | network.CHECKS
    | exposure.CHECKS
    | software.CHECKS
    | troubles.CHECKS
    | disk.CHECKS
    | files.CHECKS
    | storage.CHECKS
)


def fact_as(name: str, fact: str) -> Callable[[Facts], Mapping[str, str]]:
    return lambda facts: {name: str(known(facts, fact))}


EQUAL: dict[str, EqualOnAll[Facts]] = {
    "gpu.same": EqualOnAll(
        gpu_host.gpu_kinds,
        "FAIL",
        "Use equal hosts: expert parallel ranks wait for the smallest GPU.",
        gpus=True,
    ),
    "gpu.same_driver": EqualOnAll(
        gpu_host.driver_version, "FAIL", "Install the same driver on all hosts.", gpus=True
    ),
    "gpu.same_power": EqualOnAll(
        gpu_host.power_limits,
        "WARN",
        "Set the same limit on all hosts (nvidia-smi -pl WATTS): the slowest GPU sets the pace.",
        gpus=True,
    ),
    "sw.versions": EqualOnAll(
        software.key_versions, "FAIL", "Use the same environment on all hosts."
    ),
    "sw.versions_other": EqualOnAll(
        software.other_versions, "WARN", "Use the same environment on all hosts."
    ),
    "sys.kernel": EqualOnAll(
        fact_as("kernel", "kernel.release"), "WARN", "Boot the same kernel on all hosts."
    ),
    "sys.os": EqualOnAll(
        fact_as("system", "os.name"), "WARN", "Use the same operating system on all hosts."
    ),
    "net.speed": EqualOnAll(
        network.control_speed,
        "WARN",
        "Inspect the cable and the switch port of the control interface.",
    ),
    "net.mtu": EqualOnAll(
        network.control_mtu, "WARN", "Set the same MTU on the control interfaces of all hosts."
    ),
}
EQUAL_ADAPTERS: dict[str, EqualOnAll[Requirements]] = ports.EQUAL
TOGETHER: dict[str, CompareFunction] = names.TOGETHER | same.TOGETHER
IDS = (*HOST_CHECKS, *EQUAL, *EQUAL_ADAPTERS, rails.CHECK, *TOGETHER)
TAKES_TIME = (counters.GROWTH,)
"""These run only for those who name them."""


def run_checks(
    facts_by_host: FactsOfHosts, requirements: Requirements, ids: Collection[str] = IDS
) -> tuple[Finding, ...]:
    """Worst first; within a verdict by check, then host."""
    by_host = {
        host: select(requirements.for_host(host), facts) for host, facts in facts_by_host.items()
    }
    findings = list(_each_host(facts_by_host, by_host, ids))
    # One machine may stand in for several hosts.
    if len(facts_by_host) > 1 and requirements.hosts > 1:
        findings += _between_hosts(facts_by_host, requirements, by_host, ids)
    return tuple(worst_first(findings))


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    return sorted(
        findings, key=lambda finding: (ORDER.index(finding.verdict), finding.check, finding.host)
    )


def _each_host(
    facts_by_host: FactsOfHosts, by_host: Mapping[str, Requirements], ids: Collection[str]
) -> Iterator[Finding]:
    chosen = _chosen(HOST_CHECKS, ids)
    for host, facts in facts_by_host.items():
        for check, judge in chosen:
            yield judge_host(check, judge, host, facts, by_host[host])


def _between_hosts(
    facts_by_host: FactsOfHosts,
    requirements: Requirements,
    by_host: Mapping[str, Requirements],
    ids: Collection[str],
) -> Iterator[Finding]:
    groups = _gpu_groups(requirements, by_host)
    for check, equal in _chosen(EQUAL, ids):
        for hosts in groups if equal.gpus else [list(facts_by_host)]:
            yield from judge_equal(check, equal, {host: facts_by_host[host] for host in hosts})
    if any(of_host.rdma for of_host in by_host.values()):
        for check, equal_adapters in _chosen(EQUAL_ADAPTERS, ids):
            yield from judge_equal(check, equal_adapters, by_host)
        if rails.CHECK in ids:
            verdicts = rails.rails(by_host, facts_by_host)
            yield from (make_finding(host, rails.CHECK, one) for host, one in verdicts.items())
    for check, judge in _chosen(TOGETHER, ids):
        yield from judge_together(check, judge, facts_by_host)


def _chosen(checks: Mapping[str, CheckT], ids: Collection[str]) -> list[tuple[str, CheckT]]:
    return [(check, judge) for check, judge in checks.items() if check in ids]


def _gpu_groups(requirements: Requirements, by_host: Mapping[str, Requirements]) -> list[list[str]]:
    if not any(of_host.gpus for of_host in by_host.values()):
        return []
    return hosts_sharing_engines(by_host, requirements)

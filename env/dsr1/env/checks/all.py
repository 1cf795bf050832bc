"""All checks, by id, and what they find on the hosts of a plan."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

from dsr1.env.checks import (
    disk,
    driver,
    fabric,
    gpu,
    ibgda,
    memory,
    model,
    network,
    nvlink,
    placement,
    software,
    system,
)
from dsr1.env.checks.judging import (
    ORDER,
    EqualOnAll,
    FactsOfHosts,
    Requirements,
    circles,
    judge_across,
    judge_equal,
    judge_host,
    known,
)
from dsr1.env.checks.selection import select
from dsr1.hosts.protocol.events import Finding
from dsr1.hosts.protocol.fact import Facts

HOST_JUDGES = (
    driver.JUDGES
    | gpu.JUDGES
    | nvlink.JUDGES
    | placement.JUDGES
    | memory.JUDGES
    | fabric.JUDGES
    | ibgda.JUDGES
    | system.JUDGES
    | network.JUDGES
    | software.JUDGES
    | disk.JUDGES
    | model.JUDGES
)


def driver_version(facts: Facts) -> dict[str, str]:
    return {"driver": str(known(facts, "nvidia.driver")["version"])}


def gpu_kind(facts: Facts) -> dict[str, str]:
    gpus: list[dict[str, Any]] = known(facts, "gpu.devices")
    kinds = sorted({f"{one['name']} {round((one['memory'] or 0) / gpu.GIB)} GiB" for one in gpus})
    return {"GPUs": ", ".join(kinds) or "none"}


def power_limits(facts: Facts) -> dict[str, str]:
    gpus: list[dict[str, Any]] = known(facts, "gpu.devices")
    return {
        "limit": ", ".join(sorted({f"{one['power_limit'] / 1000:.0f} W" for one in gpus})) or "none"
    }


def one(name: str, fact: str) -> Callable[[Facts], Mapping[str, str]]:
    return lambda facts: {name: str(known(facts, fact))}


EQUAL = {
    "gpu.same": EqualOnAll(
        gpu_kind,
        "FAIL",
        "Expert parallel ranks wait for the smallest GPU: use equal hosts.",
        gpus=True,
    ),
    "gpu.same_driver": EqualOnAll(
        driver_version, "FAIL", "Install the same driver on all hosts.", gpus=True
    ),
    "gpu.same_power": EqualOnAll(
        power_limits,
        "WARN",
        "nvidia-smi -pl WATTS, the same on all: the slowest sets the pace.",
        gpus=True,
    ),
    "sw.versions": EqualOnAll(
        software.key_versions, "FAIL", "Use the same environment on all hosts."
    ),
    "sw.versions_other": EqualOnAll(
        software.other_versions, "WARN", "Use the same environment on all hosts."
    ),
    "sys.kernel": EqualOnAll(
        one("kernel", "kernel.release"), "WARN", "Boot the same kernel on all hosts."
    ),
    "sys.os": EqualOnAll(one("system", "os.name"), "WARN", "Use the same system on all hosts."),
    "net.speed": EqualOnAll(
        network.control_speed,
        "WARN",
        "Look at the cable and the switch port of its control interface.",
    ),
    "net.mtu": EqualOnAll(
        network.control_mtu, "WARN", "Set the same MTU on the control interface of all hosts."
    ),
}
ACROSS: dict[str, Callable[[str, FactsOfHosts], Iterator[Finding]]] = {
    "net.resolve": network.same_names,
    "net.unique": network.unique_addresses,
    **{check: lambda _, site, judge=judge: judge(site) for check, judge in model.ACROSS.items()},  # type: ignore[misc]
}
IDS = (*HOST_JUDGES, *EQUAL, *fabric.EQUAL, *ACROSS)
TAKES_TIME = (fabric.GROWTH,)
"""Looked at only by those who name them."""


def run_checks(
    site: FactsOfHosts, needs: Requirements, ids: Collection[str] = IDS
) -> tuple[Finding, ...]:
    """Worst first; within a verdict by check, then host."""
    several = len(site) > 1 and needs.hosts > 1  # one machine may stand in for several hosts
    own = {host: select(needs.on(host), facts) for host, facts in site.items()}
    found = [*_each_host(site, own, ids), *(_across(site, needs, own, ids) if several else ())]
    return tuple(worst_first(found))


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    return sorted(
        findings, key=lambda finding: (ORDER.index(finding.verdict), finding.check, finding.host)
    )


def _each_host(
    site: FactsOfHosts, own: Mapping[str, Requirements], ids: Collection[str]
) -> Iterator[Finding]:
    chosen = [(check, judge) for check, judge in HOST_JUDGES.items() if check in ids]
    for host, facts in site.items():
        yield from (judge_host(check, judge, host, facts, own[host]) for check, judge in chosen)


def _across(
    site: FactsOfHosts, needs: Requirements, own: Mapping[str, Requirements], ids: Collection[str]
) -> Iterator[Finding]:
    on_gpus = circles(site, needs) if any(needs.gpus for needs in own.values()) else []
    for check, equal in EQUAL.items():
        for hosts in (on_gpus if equal.gpus else [list(site)]) if check in ids else []:
            yield from judge_equal(check, equal, {host: site[host] for host in hosts})
    for check, chosen in fabric.EQUAL.items():
        if check in ids and any(needs.rdma for needs in own.values()):
            yield from judge_equal(check, chosen, own)
    for check, judge in ACROSS.items():
        if check in ids:
            yield from judge_across(check, judge, site)

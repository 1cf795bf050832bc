"""All checks, by id, and what they find on the hosts of a plan."""

from collections.abc import Collection, Iterable, Iterator
from typing import Any

from dsr1.env.checks import fabric, gpu, memory, model, system
from dsr1.env.checks.judging import Needs, Site, judge_equal, judge_host, known
from dsr1.hosts.events import Finding
from dsr1.hosts.facts.fact import Facts

HOST_JUDGES = gpu.JUDGES | memory.JUDGES | fabric.JUDGES | system.JUDGES | model.JUDGES
ORDER = ("FAIL", "UNKNOWN", "WARN", "PASS", "SKIP")


def driver(facts: Facts) -> str:
    return str(known(facts, "nvidia.driver")["version"])


def gpu_kind(facts: Facts) -> str:
    gpus: list[dict[str, Any]] = known(facts, "gpu.devices")
    return ", ".join(sorted({f"{one['name']} {round((one['memory'] or 0) / 2**30)} GiB" for one in gpus})) or "none"


def versions(facts: Facts) -> str:
    return ", ".join(f"{name} {version}" for name, version in sorted(known(facts, "software").items()))


EQUAL = {
    "gpu.same": (gpu_kind, "FAIL", "Expert parallel ranks wait for the smallest GPU: use equal hosts."),
    "gpu.driver": (driver, "FAIL", "Install the same driver on all hosts."),
    "sw.versions": (versions, "FAIL", "Use the same environment on all hosts."),
}
IDS = (*HOST_JUDGES, *EQUAL, *model.ACROSS)


def run_checks(site: Site, needs: Needs, ids: Collection[str] = IDS) -> tuple[Finding, ...]:
    """Worst first; within a verdict by check, then host."""
    found = [*_each_host(site, needs, ids), *_across(site, ids)]
    return tuple(worst_first(found))


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    return sorted(findings, key=lambda finding: (ORDER.index(finding.verdict), finding.check, finding.host))


def _each_host(site: Site, needs: Needs, ids: Collection[str]) -> Iterator[Finding]:
    for check, judge in HOST_JUDGES.items():
        if check in ids:
            yield from (judge_host(check, judge, host, facts, needs) for host, facts in site.items())


def _across(site: Site, ids: Collection[str]) -> Iterator[Finding]:
    if len(site) < 2:
        return
    for check, (read, verdict, fix) in EQUAL.items():
        if check in ids:
            yield from judge_equal(check, read, verdict, fix, site)
    for check, judge in model.ACROSS.items():
        if check in ids:
            yield from judge(site)

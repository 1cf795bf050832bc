"""Checks of NVLink within a host, and of the switches between its GPUs: what DeepEP needs of
them."""

from collections import Counter
from typing import Any

from dsr1.env.checks.gpu import GpuFact, Reported, each_gpu, fail, fold_gpus, gpu_facts, warn
from dsr1.env.checks.judging import (
    CheckFunction,
    Requirements,
    UnknownFact,
    Verdict,
    known,
    known_or,
    on_gpus,
    passed,
)
from dsr1.env.checks.kinds import count
from dsr1.hosts.protocol.fact import Facts

LINKS, SPEED_MB = 18, 26562
FEWER = {"H800": 8, "H100 NVL": 12, "H100 PCIe": 12}  # by names of GPUs
CARDS = ("PCIe", "NVL")  # bridges join two or four of them, where there are any
COMPLETED, IN_PROGRESS, NOT_SUPPORTED = 3, 2, 0
STATES = {1: "not started", IN_PROGRESS: "in progress"}
# Two bits a field of the health mask (nvml.h): 1 is true, and bad.
HEALTH = {
    0: "a degraded bandwidth",
    2: "a route recovery",
    4: "an unhealthy route",
    6: "an access timeout recovery",
}
UNHEALTHY_ROUTE = 4
RESTART = (
    "Restart nvidia-fabricmanager, of the driver's very version; then journalctl -u"
    " nvidia-fabricmanager."
)
RESET = "Reset the GPU; then reboot; then have it looked at."


def fabric_state(gpu: GpuFact) -> Reported:
    """Not supported: there are no switches."""
    fabric = gpu["fabric"]
    state, status = fabric["state"], fabric["status"]
    if state == NOT_SUPPORTED or (state == COMPLETED and status == 0):
        return None
    return fail(f"is {STATES.get(state, f'in state {state}')}, status {status}")


def fabric_health(gpu: GpuFact) -> Reported:
    mask = gpu["fabric"]["health"]
    bad = {shift: word for shift, word in HEALTH.items() if mask >> shift & 3 == 1}
    text = f"has {' and '.join(bad.values())}"
    return (fail(text) if UNHEALTHY_ROUTE in bad else warn(text)) if bad else None


def manager(facts: Facts, needs: Requirements) -> Verdict:
    """In a virtual machine it runs elsewhere: what counts then is that the fabric is complete."""
    unit = known_or(facts, "fabric.manager", {"LoadState": "not-found"})
    states = {GpuFact(gpu)["fabric"]["state"] for gpu in gpu_facts(facts, needs)}
    if unit["LoadState"] == "not-found" and states <= {COMPLETED, NOT_SUPPORTED}:
        return Verdict("PASS", "not on this host, and the fabric is complete", "a complete fabric")
    state, driver = unit.get("ActiveState", "not there"), known(facts, "nvidia.driver")["version"]
    own = known_or(facts, "fabric.manager_version", driver)
    seen = f"{state}, version {own}"
    wanted = f"active, version {driver} (the driver's)"
    verdict = "WARN" if states == {COMPLETED} else "FAIL"
    return passed(state == "active" and own == driver, verdict, seen, wanted, RESTART)


def links(gpu: GpuFact) -> Reported:
    active, wanted = len(_active(gpu)), links_of(gpu)
    bare = active == 0 and str(gpu["name"]).endswith(CARDS)
    return None if active == wanted or bare else fail(f"has {active} active links of {wanted}")


def links_of(gpu: GpuFact) -> int:
    return next((count for name, count in FEWER.items() if name in gpu["name"]), LINKS)


def _active(gpu: GpuFact) -> list[dict[str, Any]]:
    return [link for link in gpu["links"] if link["active"]]


def speed(gpu: GpuFact) -> Reported:
    speeds = {GpuFact(link)["speed"] for link in _active(gpu)}
    slow = sorted(speed for speed in speeds if speed < SPEED_MB)
    return fail(f"has links of {', '.join(map(str, slow))} MB/s") if slow else None


def errors(gpu: GpuFact) -> Reported:
    """Counted since the driver was loaded: they must not grow."""
    sums = Counter[str]()
    for link in _active(gpu):
        if not all(map(count, link["errors"].values())):
            raise UnknownFact(f"errors: {link['problems'] or link['errors']}")
        sums.update(link["errors"])
    found = [f"{name} {number}" for name, number in sums.items() if number]
    grown = gpu["grown"]["links"]
    return warn(f"had {', '.join(found)}, {grown} in the last second") if grown else None


def peers(facts: Facts, needs: Requirements) -> Verdict:
    matrix = GpuFact(known(facts, "gpu.system"))["nvlink"]
    pairs = [(a, b) for a in range(needs.gpus) for b in range(needs.gpus) if a != b]
    apart = [f"{a}-{b}" for a, b in pairs if matrix[a][b] != 0]
    seen = f"{len(pairs) - len(apart)} of {len(pairs)} pairs" + (
        f"; not {', '.join(apart[:8])}" if apart else ""
    )
    verdict = "FAIL" if any("deepep" in backend for backend in needs.backends) else "WARN"
    return passed(not apart, verdict, seen, "every pair of GPUs over NVLink", RESTART)


def topology(facts: Facts, needs: Requirements) -> Verdict:
    """As many links everywhere: what `nvidia-smi topo -m` shows as NV18, where every two GPUs share
    all."""
    active = {
        index: len(_active(GpuFact(gpu))) for index, gpu in enumerate(gpu_facts(facts, needs))
    }
    if not any(active.values()):
        raise UnknownFact("no active link")
    alike = len(set(active.values())) == 1
    seen = (
        f"{min(active.values())} links"
        if alike
        else fold_gpus({n: f"has {many} links" for n, many in active.items()})
    )
    return passed(alike, "WARN", seen, "as many links on every GPU", RESET)


def together(judge: CheckFunction) -> CheckFunction:
    return on_gpus(judge, least=2)


JUDGES: dict[str, CheckFunction] = {
    "nvl.fabric_state": together(
        each_gpu(fabric_state, "a complete fabric", f"{RESTART} In progress: wait 5 min.")
    ),
    "nvl.fabric_health": together(each_gpu(fabric_health, "a healthy fabric", RESET)),
    "nvl.fabricmanager": together(manager),
    "nvl.links": together(each_gpu(links, "all of its links active", RESET)),
    "nvl.speed": together(each_gpu(speed, f"links of {SPEED_MB} MB/s", RESET)),
    "nvl.errors": together(each_gpu(errors, "errors of links that don't grow", RESET)),
    "nvl.p2p": together(peers),
    "nvl.topology": together(topology),
}

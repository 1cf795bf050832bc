"""Checks of NVLink within a host, and of the switches between its GPUs: what DeepEP needs of
them."""

from collections import Counter
from typing import Any

from dsr1.env.checks.gpu.values import (
    GpuProblem,
    NvmlValues,
    each_gpu,
    fail,
    fold_gpus,
    planned_gpus,
    warn,
)
from dsr1.env.checks.judging import (
    CheckFunction,
    UnknownFact,
    Verdict,
    for_gpus,
    known,
    known_or,
    pass_if,
)
from dsr1.env.checks.kinds import count
from dsr1.env.checks.requirements import Requirements
from dsr1.hosts.inventory.names import name_few
from dsr1.hosts.protocol.facts.fact import Facts

LINKS, SPEED_MB = 18, 26562
FEWER_LINKS = {"H800": 8, "H100 NVL": 12, "H100 PCIe": 12}  # by names of GPUs
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
    "Restart nvidia-fabricmanager, of exactly the driver's version; then see journalctl -u"
    " nvidia-fabricmanager."
)
RESET = "Reset the GPU; if that does not help, reboot; then have it inspected."
SHOWN_PAIRS = 8


def fabric_state(gpu: NvmlValues) -> GpuProblem | None:
    """Not supported: there are no switches."""
    fabric = gpu["fabric"]
    state, status = fabric["state"], fabric["status"]
    if state == NOT_SUPPORTED or (state == COMPLETED and status == 0):
        return None
    return fail(f"has fabric registration {STATES.get(state, f'state {state}')}, status {status}")


def fabric_health(gpu: NvmlValues) -> GpuProblem | None:
    mask = gpu["fabric"]["health"]
    bad = {shift: problem for shift, problem in HEALTH.items() if mask >> shift & 3 == 1}
    if not bad:
        return None
    text = f"has {' and '.join(bad.values())}"
    return fail(text) if UNHEALTHY_ROUTE in bad else warn(text)


def fabric_manager(facts: Facts, requirements: Requirements) -> Verdict:
    """In a virtual machine it runs elsewhere: what counts then is that the fabric is complete."""
    unit = known_or(facts, "fabric.manager", {"LoadState": "not-found"})
    states = {gpu["fabric"]["state"] for gpu in planned_gpus(facts, requirements)}
    if unit["LoadState"] == "not-found" and states <= {COMPLETED, NOT_SUPPORTED}:
        return Verdict("PASS", "not on this host, and the fabric is complete", "a complete fabric")
    state = unit.get("ActiveState", "not installed")
    driver = known(facts, "nvidia.driver")["version"]
    version = known_or(facts, "fabric.manager_version", driver)
    return pass_if(
        state == "active" and version == driver,
        "WARN" if states == {COMPLETED} else "FAIL",
        f"{state}, version {version}",
        f"nvidia-fabricmanager active, version {driver} (the driver's)",
        RESTART,
    )


def links(gpu: NvmlValues) -> GpuProblem | None:
    active, wanted = len(_active_links(gpu)), _links_of_model(gpu)
    has_no_bridge = active == 0 and str(gpu["name"]).endswith(CARDS)
    if active == wanted or has_no_bridge:
        return None
    return fail(f"has {active} active links of {wanted}")


def _links_of_model(gpu: NvmlValues) -> int:
    return next((count for name, count in FEWER_LINKS.items() if name in gpu["name"]), LINKS)


def _active_links(gpu: NvmlValues) -> list[dict[str, Any]]:
    return [link for link in gpu["links"] if link["active"]]


def speed(gpu: NvmlValues) -> GpuProblem | None:
    speeds = {NvmlValues(link)["speed"] for link in _active_links(gpu)}
    slow = sorted(speed for speed in speeds if speed < SPEED_MB)
    return fail(f"has links of {', '.join(map(str, slow))} MB/s") if slow else None


def link_errors(gpu: NvmlValues) -> GpuProblem | None:
    """Counted since the driver was loaded: they must not grow."""
    sums = Counter[str]()
    for link in _active_links(gpu):
        if not all(map(count, link["errors"].values())):
            raise UnknownFact(f"errors: {link['problems'] or link['errors']}")
        sums.update(link["errors"])
    counted = [f"{name} {number}" for name, number in sums.items() if number]
    grown = gpu["grown"]["links"]
    return warn(f"had {', '.join(counted)}, {grown} in the last second") if grown else None


def peers(facts: Facts, requirements: Requirements) -> Verdict:
    matrix = NvmlValues(known(facts, "gpu.system"))["nvlink"]
    gpus = range(requirements.gpus)
    pairs = [(one, other) for one in gpus for other in gpus if one != other]
    apart = [f"{one}-{other}" for one, other in pairs if matrix[one][other] != 0]
    seen = f"{len(pairs) - len(apart)} of {len(pairs)} pairs"
    if apart:
        seen += f"; not {name_few(apart, SHOWN_PAIRS)}"
    uses_deepep = any("deepep" in backend for backend in requirements.backends)
    verdict = "FAIL" if uses_deepep else "WARN"
    return pass_if(not apart, verdict, seen, "every pair of GPUs connected by NVLink", RESTART)


def topology(facts: Facts, requirements: Requirements) -> Verdict:
    """As many links everywhere: what `nvidia-smi topo -m` shows as NV18, where every two GPUs share
    all."""
    active = [len(_active_links(gpu)) for gpu in planned_gpus(facts, requirements)]
    if not any(active):
        raise UnknownFact("no NVLink is active")
    alike = len(set(active)) == 1
    seen = f"{active[0]} links on every GPU"
    if not alike:
        seen = fold_gpus({index: f"has {number} links" for index, number in enumerate(active)})
    return pass_if(alike, "WARN", seen, "the same number of links on every GPU", RESET)


def for_several_gpus(judge: CheckFunction) -> CheckFunction:
    return for_gpus(judge, least=2)


CHECKS: dict[str, CheckFunction] = {
    "nvl.fabric_state": for_several_gpus(
        each_gpu(fabric_state, "a complete fabric", f"{RESTART} In progress: wait five minutes.")
    ),
    "nvl.fabric_health": for_several_gpus(each_gpu(fabric_health, "a healthy fabric", RESET)),
    "nvl.fabricmanager": for_several_gpus(fabric_manager),
    "nvl.links": for_several_gpus(each_gpu(links, "all links active", RESET)),
    "nvl.speed": for_several_gpus(each_gpu(speed, f"links of {SPEED_MB} MB/s", RESET)),
    "nvl.errors": for_several_gpus(
        each_gpu(link_errors, "link error counters that do not grow", RESET)
    ),
    "nvl.p2p": for_several_gpus(peers),
    "nvl.topology": for_several_gpus(topology),
}

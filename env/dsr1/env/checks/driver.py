"""Checks of a host's GPUs as a whole: how many, who uses them, the driver, its log, whether CUDA
starts."""

import re
from typing import Any

from dsr1.env.checks.gpu import GIB, GpuFact, fold_gpus, gpu_facts
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
from dsr1.hosts.protocol.fact import Facts

BUSY_BYTES = GIB
RECENT_S = 2 * 3600
HANGS = "did not answer"
# Azure's and NVIDIA Health Validation's list; 68 and 92 count when they repeat, 63 is a remapping
# that went well.
FATAL = frozenset((46, 48, 56, 57, 58, 62, 64, 65, 69, 73, 74, 79, 80, 81, 95, 119, 120))
REPEATED = frozenset((68, 92))
MEANING = {
    31: "an application's bad access",
    45: "an application ended",
    48: "uncorrectable memory error",
    63: "a row remapped",
    64: "row remapping failed",
    74: "NVLink",
    79: "fell off the bus",
    94: "contained memory error",
    95: "uncontained memory error",
    119: "GSP timed out",
    120: "GSP error",
}
CUDA_CODES = {
    100: "no device",
    802: "the NVLink fabric isn't ready",
    803: "driver and library differ",
    999: "unknown",
}
DRIVERS = {
    "cu13": (580, 13000, "FAIL"),
    "cu12": (575, 12090, "WARN"),
}  # and the CUDA that each comes with


def gpu_count(facts: Facts, needs: Requirements) -> Verdict:
    """NVML must see as many as the plan takes, and as the bus has. One that hangs is itself a
    failure."""
    bus, wanted = known(facts, "nvidia.on_bus"), f"{needs.gpus} GPUs by NVML"
    fact = facts.get("gpu.devices")
    if fact is None or fact.value is None:
        return _count_without_nvml(facts, needs, wanted)
    found = len(known(facts, "gpu.devices"))
    fix = (
        "Not in NVML: look for an Xid and reset it. "
        if bus > found
        else "Not on the bus: power-cycle. "
    )
    verdict = "FAIL" if found < needs.gpus else "WARN"
    seen = f"{found} by NVML, {bus} on the PCI bus"
    return passed(
        found >= max(bus, needs.gpus), verdict, seen, wanted, f"{fix}Or give the host fewer ranks."
    )


def _count_without_nvml(facts: Facts, needs: Requirements, wanted: str) -> Verdict:
    """By the driver's own list, or the bus; they can tell that there are too few, not that all is
    well."""
    found = len(known_or(facts, "gpu.kernel", ())) or known(facts, "nvidia.on_bus")
    fact = facts.get("gpu.devices")
    why = fact.problem if fact else "not gathered"
    if found < needs.gpus or HANGS in why:
        fix = (
            "Look at the kernel's log (dmesg) for the driver's errors, or use a host with more"
            " GPUs."
        )
        return Verdict("FAIL", f"NVML: {why}; {found} GPUs by the kernel", wanted, fix)
    raise UnknownFact(f"NVML: {why}; {found} GPUs by the kernel")


def usable_nodes(facts: Facts, needs: Requirements) -> Verdict:
    """In a job that has some of a host's GPUs the others are shut."""
    nodes: dict[str, bool] = known(facts, "nvidia.nodes")
    shut = [name for name, can in nodes.items() if not can]
    seen = f"{len(nodes)} device nodes" + (f"; {', '.join(shut)} can't be opened" if shut else "")
    fix = "Ask Slurm for the GPUs (--gpus-per-node), or give this user access to /dev/nvidia*."
    enough = len(nodes) - len(shut) >= needs.gpus
    return passed(enough, "FAIL", seen, f"{needs.gpus} that can be opened", fix)


def idle(facts: Facts, needs: Requirements) -> Verdict:
    """A process of our own may be a run of ours: a warning, since `launch` will find its ports
    taken anyway."""
    gpus, me = [GpuFact(gpu) for gpu in gpu_facts(facts, needs)], known_or(facts, "user", "")
    people = {one["pid"]: one for one in known(facts, "gpu.processes") if one["alive"]}
    users = {
        index: [people[pid] for pid in gpu["processes"] if pid in people]
        for index, gpu in enumerate(gpus)
    }
    busy = {
        index: f"is used by {', '.join(map(_process, found))}"
        for index, found in users.items()
        if found
    }
    left = {
        index: f"has {gpu['memory_used'] / GIB:.1f} GiB in use {_by_nobody(gpu['processes'])}"
        for index, gpu in enumerate(gpus)
        if index not in busy and gpu["memory_used"] > BUSY_BYTES
    }
    foreign = bool(left) or any(one["user"] != me for found in users.values() for one in found)
    fix = (
        "End it (`dsr1 ps` lists your runs), or wait for it; memory of no process needs a reset of"
        " the GPU."
    )
    return passed(
        not busy | left,
        "FAIL" if foreign else "WARN",
        fold_gpus(busy | left) or "idle",
        "nothing on it",
        fix,
    )


def _process(one: dict[str, Any]) -> str:
    return f"pid {one['pid']} ({one['user']}: {one['command'][:60]})"


def _by_nobody(pids: list[int]) -> str:
    return (
        f"by pid {', '.join(map(str, pids))}, which this user or container can't see"
        if pids
        else "by no process"
    )


def xids(facts: Facts, needs: Requirements) -> Verdict:
    found: list[dict[str, Any]] = known(facts, "kernel.xids")
    numbers = [one["xid"] for one in found if one["ago_s"] is None or one["ago_s"] < RECENT_S]
    fatal = sorted({n for n in numbers if n in FATAL or (n in REPEATED and numbers.count(n) > 1)})
    seen = ", ".join(_xid(one) for one in found[-8:]) or "none since boot"
    fix = (
        "79: reboot. 119, 120: reset the GPU. 48, 63, 64, 94, 95: memory, see gpu.remap. 74:"
        " NVLink, see nvl.links."
    )
    return passed(not found, "FAIL" if fatal else "WARN", seen, "no Xid in the kernel's log", fix)


def _xid(one: dict[str, Any]) -> str:
    meaning = MEANING.get(one["xid"])
    ago = "" if one["ago_s"] is None else f" {one['ago_s'] / 60:.0f} min ago"
    return f"{one['xid']}{f' ({meaning})' if meaning else ''} on {one['pci']}{ago}"


def version(facts: Facts, needs: Requirements) -> Verdict:
    """The packages of the runtime say which CUDA it was built for."""
    driver, packages = known(facts, "nvidia.driver")["version"], known(facts, "software")
    built = next(
        (kind for kind in DRIVERS if any(name.endswith(f"-{kind}") for name in packages)), None
    )
    if built is None:
        raise UnknownFact(
            f"driver {driver}; which CUDA the runtime was built for can't be told by its packages"
        )
    least, cuda, verdict = DRIVERS[built]
    major = int(re.match(r"\d+", driver)[0])  # type: ignore[index]
    wanted = f"{least} or later, for CUDA {built.removeprefix('cu')}"
    fix = (
        "Upgrade the driver, install CUDA's compatibility libraries, or use a runtime of an older"
        " CUDA."
    )
    if major < least and _cuda_of(facts) >= cuda:
        return Verdict("PASS", f"{driver}, with CUDA's compatibility libraries", wanted)
    return passed(major >= least, verdict, driver, wanted, fix)


def _cuda_of(facts: Facts) -> int:
    """The version of the libcuda that NVML finds, 13000 for 13.0; 0: not told."""
    told = known_or(facts, "gpu.system", {}).get("cuda")
    return told if isinstance(told, int) else 0


def cuda(facts: Facts, needs: Requirements) -> Verdict:
    """In a child, as every worker will. One that hangs is itself a failure."""
    fact, wanted = facts.get("gpu.cuda"), f"cuInit 0, {needs.gpus} GPUs"
    if fact is not None and HANGS in fact.problem:
        return Verdict(
            "FAIL",
            f"cuInit {fact.problem}",
            wanted,
            "See the kernel's log for the driver's errors; reboot.",
        )
    told = known(facts, "gpu.cuda")
    code, found = told["code"], told["count"]
    seen = f"{found} GPUs" if code == 0 else f"error {code} ({CUDA_CODES.get(code, 'see cuda.h')})"
    fix = (
        "802: start nvidia-fabricmanager. 803: reboot after a driver update. Else: see the kernel's"
        " log."
    )
    return passed(code == 0 and found >= needs.gpus, "FAIL", seen, wanted, fix)


def confidential(facts: Facts, needs: Requirements) -> Verdict:
    mode = GpuFact(known(facts, "gpu.system"))["confidential"]
    return passed(
        mode == 0,
        "WARN",
        "on" if mode else "off",
        "off",
        "It forbids what P2P and IBGDA need: turn it off.",
    )


JUDGES: dict[str, CheckFunction] = {
    "gpu.count": on_gpus(gpu_count),
    "sys.cgroup_devices": on_gpus(usable_nodes),
    "gpu.idle_procs": on_gpus(idle),
    "gpu.xid": on_gpus(xids),
    "gpu.driver": on_gpus(version),
    "gpu.cuda_init": on_gpus(cuda),
    "gpu.conf_compute": on_gpus(confidential),
}

"""Checks of a host's GPUs together: how many there are, the driver, whether CUDA starts."""

import re
from typing import Any

from dsr1.env.checks.gpu.values import GIB, NvmlValues
from dsr1.env.checks.judging import (
    CheckFunction,
    UnknownFact,
    Verdict,
    for_gpus,
    known,
    known_or,
    pass_if,
)
from dsr1.env.checks.requirements import Requirements
from dsr1.hosts.protocol.facts.fact import Facts

NO_ANSWER = "did not answer"
CUDA_ERRORS = {
    100: "no device",
    802: "the NVLink fabric is not ready",
    803: "the driver and its library differ",
    999: "unknown error",
}
# By the suffix of the runtime's packages: the driver, the CUDA that it comes with, and the verdict.
DRIVERS = {"cu13": (580, 13000, "FAIL"), "cu12": (575, 12090, "WARN")}


def gpu_count(facts: Facts, requirements: Requirements) -> Verdict:
    """NVML must list as many as the plan takes, and as the bus has. One that hangs is itself a
    failure."""
    bus, wanted = known(facts, "nvidia.on_bus"), f"{requirements.gpus} GPUs by NVML"
    fact = facts.get("gpu.devices")
    if fact is None or fact.value is None:
        return _count_without_nvml(facts, requirements, wanted)
    found = len(known(facts, "gpu.devices"))
    cause = "Not on the PCI bus: power-cycle the host."
    if bus > found:
        cause = "On the PCI bus but not in NVML: look for an Xid and reset the GPU."
    return pass_if(
        found >= max(bus, requirements.gpus),
        "FAIL" if found < requirements.gpus else "WARN",
        f"{found} by NVML, {bus} on the PCI bus",
        wanted,
        f"{cause} Or give the host fewer ranks.",
    )


def _count_without_nvml(facts: Facts, requirements: Requirements, wanted: str) -> Verdict:
    """By the driver's own list, or the bus: they can show that there are too few, not that all is
    well."""
    found = len(known_or(facts, "gpu.kernel", ())) or known(facts, "nvidia.on_bus")
    fact = facts.get("gpu.devices")
    problem = fact.problem if fact else "not gathered"
    seen = f"NVML: {problem}; {found} GPUs by the kernel"
    if found >= requirements.gpus and NO_ANSWER not in problem:
        raise UnknownFact(seen)
    fix = "Look for the driver's errors in the kernel's log (dmesg), or use a host with more GPUs."
    return Verdict("FAIL", seen, wanted, fix)


def device_nodes(facts: Facts, requirements: Requirements) -> Verdict:
    """A job that has some of a host's GPUs can't open the others."""
    nodes: dict[str, bool] = known(facts, "nvidia.nodes")
    closed = [name for name, can_open in nodes.items() if not can_open]
    seen = f"{len(nodes)} device nodes"
    if closed:
        seen += f"; {', '.join(closed)} can't be opened"
    wanted = f"{requirements.gpus} device nodes that can be opened"
    fix = "Ask Slurm for the GPUs (--gpus-per-node), or give this user access to /dev/nvidia*."
    return pass_if(len(nodes) - len(closed) >= requirements.gpus, "FAIL", seen, wanted, fix)


def driver_for_cuda(facts: Facts, requirements: Requirements) -> Verdict:
    """The packages of the runtime say which CUDA it was built for."""
    driver, packages = known(facts, "nvidia.driver")["version"], known(facts, "software")
    suffix = _cuda_suffix(packages)
    if suffix is None:
        raise UnknownFact(
            f"driver {driver}; the runtime's packages don't say which CUDA they were built for"
        )
    least, cuda, verdict = DRIVERS[suffix]
    major = int(re.match(r"\d+", driver)[0])  # type: ignore[index]
    wanted = f"driver {least} or later, for CUDA {suffix.removeprefix('cu')}"
    if major < least and _nvml_cuda(facts) >= cuda:
        return Verdict("PASS", f"{driver}, with CUDA's compatibility libraries", wanted)
    fix = (
        "Upgrade the driver, install CUDA's compatibility libraries, or use a runtime for an older"
        " CUDA."
    )
    return pass_if(major >= least, verdict, driver, wanted, fix)


def _cuda_suffix(packages: dict[str, str]) -> str | None:
    for suffix in DRIVERS:
        if any(name.endswith(f"-{suffix}") for name in packages):
            return suffix
    return None


def _nvml_cuda(facts: Facts) -> int:
    """The version of the libcuda that NVML finds, 13000 for 13.0; 0: not known."""
    version = known_or(facts, "gpu.system", {}).get("cuda")
    return version if isinstance(version, int) else 0


def cuda_init(facts: Facts, requirements: Requirements) -> Verdict:
    """In a child, as every worker will do it. One that hangs is itself a failure."""
    fact, wanted = facts.get("gpu.cuda"), f"cuInit without error, and {requirements.gpus} GPUs"
    if fact is not None and NO_ANSWER in fact.problem:
        fix = "Look for the driver's errors in the kernel's log, then reboot."
        return Verdict("FAIL", f"cuInit {fact.problem}", wanted, fix)
    result = known(facts, "gpu.cuda")
    code, found = result["code"], result["count"]
    seen = f"{found} GPUs"
    if code != 0:
        seen = f"cuInit error {code} ({CUDA_ERRORS.get(code, 'see cuda.h')})"
    fix = (
        "802: start nvidia-fabricmanager. 803: reboot after a driver update. Other errors: look at"
        " the kernel's log."
    )
    return pass_if(code == 0 and found >= requirements.gpus, "FAIL", seen, wanted, fix)


def confidential_computing(facts: Facts, requirements: Requirements) -> Verdict:
    mode = NvmlValues(known(facts, "gpu.system"))["confidential"]
    fix = "Turn it off: it forbids the peer-to-peer access that P2P and IBGDA need."
    seen = f"confidential computing {'on' if mode else 'off'}"
    return pass_if(mode == 0, "WARN", seen, "confidential computing off", fix)


def driver_version(facts: Facts) -> dict[str, str]:
    return {"driver": str(known(facts, "nvidia.driver")["version"])}


def gpu_kinds(facts: Facts) -> dict[str, str]:
    gpus: list[dict[str, Any]] = known(facts, "gpu.devices")
    kinds = sorted({f"{gpu['name']} {round((gpu['memory'] or 0) / GIB)} GiB" for gpu in gpus})
    return {"GPUs": ", ".join(kinds) or "none"}


def power_limits(facts: Facts) -> dict[str, str]:
    gpus: list[dict[str, Any]] = known(facts, "gpu.devices")
    limits = sorted({f"{gpu['power_limit'] / 1000:.0f} W" for gpu in gpus})
    return {"limit": ", ".join(limits) or "none"}


CHECKS: dict[str, CheckFunction] = {
    "gpu.count": for_gpus(gpu_count),
    "sys.cgroup_devices": for_gpus(device_nodes),
    "gpu.driver": for_gpus(driver_for_cuda),
    "gpu.cuda_init": for_gpus(cuda_init),
    "gpu.conf_compute": for_gpus(confidential_computing),
}

"""Checks of GPUs, by NVML's facts; the thresholds are NVIDIA's and Azure's (docs/checks.md)."""

from collections.abc import Callable
from typing import Any

from dsr1.env.checks.judging import Judge, Needs, Verdict, known, known_or, passed
from dsr1.hosts.facts.fact import Facts

GIB = 2**30
HOPPER = [9, 0]
HARD_THROTTLE = {0x8: "hardware slowdown", 0x40: "hardware thermal slowdown", 0x80: "power brake"}
BUSY_BYTES = GIB


def gpus_of(facts: Facts) -> list[dict[str, Any]]:
    gpus: list[dict[str, Any]] = known(facts, "gpu.devices")
    return gpus


def on_gpus(judge: Judge) -> Judge:
    """A plan that runs without GPUs has nothing to judge."""
    return lambda facts, needs: judge(facts, needs) if needs.gpus else Verdict("SKIP", "a plan without GPUs", "")


def each_gpu(bad: Callable[[dict[str, Any]], str], verdict: str, wanted: str, fix: str) -> Judge:
    """`bad` says what is wrong with one GPU; empty: nothing, or NVML does not know it here."""

    def judge(facts: Facts, needs: Needs) -> Verdict:
        wrong = [f"GPU {index} {said}" for index, gpu in enumerate(gpus_of(facts)) if (said := bad(gpu))]
        return passed(not wrong, verdict, "; ".join(wrong) or wanted, wanted, fix)

    return on_gpus(judge)


def count(facts: Facts, needs: Needs) -> Verdict:
    """Without NVML the PCI bus alone must tell."""
    bus = known(facts, "nvidia.on_bus")
    gpus = known_or(facts, "gpu.devices", None)
    found = bus if gpus is None else len(gpus)
    seen = f"{'no NVML' if gpus is None else f'{found} by NVML'}, {bus} on the PCI bus"
    fix = "Not in NVML: look for an Xid and reset it. " if bus > found else "Not on the bus: power-cycle. "
    return passed(found >= needs.gpus, "FAIL", seen, f"{needs.gpus} GPUs", f"{fix}Or give the host fewer ranks.")


def usable_nodes(facts: Facts, needs: Needs) -> Verdict:
    nodes: dict[str, bool] = known(facts, "nvidia.nodes")
    shut = [name for name, can in nodes.items() if not can]
    seen = f"{', '.join(shut)} can't be opened" if shut else f"{len(nodes)} device nodes"
    fix = "Ask Slurm for the GPUs (--gpus-per-node), or give this user access to /dev/nvidia*."
    return passed(not shut and len(nodes) >= needs.gpus, "FAIL", seen, f"{needs.gpus} that can be opened", fix)


def model(gpu: dict[str, Any]) -> str:
    capability = gpu["capability"]
    return f"is {gpu['name']}, compute capability {capability}" if capability and capability != HOPPER else ""


def occupied(gpu: dict[str, Any]) -> str:
    if gpu["processes"]:
        return f"is used by pid {', '.join(map(str, gpu['processes']))}"
    used = gpu["memory_used"] or 0
    return f"has {used / GIB:.1f} GiB in use without a process" if used > BUSY_BYTES else ""


def mig(gpu: dict[str, Any]) -> str:
    return f"has MIG {gpu['mig']} (now, after a reset)" if gpu["mig"] and any(gpu["mig"]) else ""


def compute_mode(gpu: dict[str, Any]) -> str:
    return {2: "is PROHIBITED", 3: "is EXCLUSIVE_PROCESS"}.get(gpu["compute_mode"], "")


def persistence(gpu: dict[str, Any]) -> str:
    return "has it off" if gpu["persistence"] == 0 else ""


def ecc(gpu: dict[str, Any]) -> str:
    return f"has ECC {gpu['ecc']}" if gpu["ecc"] and not all(gpu["ecc"]) else ""


def uncorrected(gpu: dict[str, Any]) -> str:
    return f"had {gpu['ecc_uncorrected']}" if gpu["ecc_uncorrected"] else ""


def remapped(gpu: dict[str, Any]) -> str:
    """(correctable, uncorrectable, pending, failure)."""
    _, rows, pending, failure = gpu["remapped"] or (0, 0, 0, 0)
    words = [word for word, bad in (("a failed remapping", failure), ("a pending one", pending)) if bad]
    words += [f"{rows} remapped rows"] if rows > 512 else []
    return f"has {' and '.join(words)}" if words else ""


def throttled(gpu: dict[str, Any]) -> str:
    reasons = [word for bit, word in HARD_THROTTLE.items() if (gpu["throttle"] or 0) & bit]
    return f"is slowed by {', '.join(reasons)}" if reasons else ""


def power(gpu: dict[str, Any]) -> str:
    limit, default = gpu["power_limit"], gpu["power_default"]
    return f"is limited to {limit / 1000:.0f} W" if limit and default and limit < default else ""


def link_width(gpu: dict[str, Any]) -> str:
    width, most = gpu["pcie_width"], gpu["pcie_width_max"]
    return f"has x{width} of x{most}" if width and most and width < most else ""


JUDGES: dict[str, Judge] = {
    "gpu.count": on_gpus(count),
    "sys.cgroup_devices": on_gpus(usable_nodes),
    "gpu.model": each_gpu(model, "FAIL", "Hopper, compute capability 9.0", "The kernels here are Hopper's: use H100s."),
    "gpu.idle_procs": each_gpu(
        occupied, "FAIL", "nothing on it", "End that process or wait for it; memory without a process needs a reset."
    ),
    "gpu.mig": each_gpu(mig, "FAIL", "MIG off", "nvidia-smi -mig 0, then reset the GPU or reboot."),
    "gpu.compute_mode": each_gpu(compute_mode, "FAIL", "compute mode DEFAULT", "nvidia-smi -c 0"),
    "gpu.persistence": each_gpu(persistence, "WARN", "persistence mode on", "nvidia-smi -pm 1"),
    "gpu.ecc_mode": each_gpu(ecc, "WARN", "ECC on", "nvidia-smi -e 1, then reset the GPU."),
    "gpu.ecc_uncorrectable": each_gpu(
        uncorrected, "FAIL", "no uncorrected error", "Reset the GPU; if it returns, have it replaced."
    ),
    "gpu.remap": each_gpu(remapped, "FAIL", "no row remapping due", "Drain and reset the GPU; failed: replace it."),
    "gpu.throttle": each_gpu(throttled, "FAIL", "no hardware slowdown", "Look at its cooling and power."),
    "gpu.power_limit": each_gpu(
        power, "WARN", "its default power limit", "nvidia-smi -pl: one capped GPU slows every expert parallel rank."
    ),
    "gpu.pcie": each_gpu(link_width, "FAIL", "its full PCIe width", "Reseat it, or reboot."),
}

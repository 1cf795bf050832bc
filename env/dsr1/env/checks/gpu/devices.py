"""Checks of each GPU; the thresholds are NVIDIA's, Azure's and Meta's (docs/checks.md)."""

from dsr1.env.checks.gpu.values import (
    GIB,
    GpuProblem,
    NvmlValues,
    each_gpu,
    fail,
    planned_gpus,
    warn,
)
from dsr1.env.checks.judging import CheckFunction, UnknownFact, Verdict, for_gpus, pass_if
from dsr1.env.checks.requirements import Requirements
from dsr1.hosts.protocol.facts.fact import Facts

HOPPER = [9, 0]
COMPUTE_MODES = {
    2: fail("is in compute mode PROHIBITED"),
    3: warn("is in compute mode EXCLUSIVE_PROCESS"),
}
HARD_THROTTLE = {0x8: "hardware slowdown", 0x40: "hardware thermal slowdown", 0x80: "power brake"}
SOFT_THROTTLE = 0x20
MOST_REMAPPED_ROWS = 512
MOST_SRAM_UNCORRECTED = 4
MOST_SRAM_CORRECTED, MOST_DRAM_CORRECTED = 10_000, 20_000_000
HOT_MARGIN_C = 10
RECOVERY = {
    1: "a reset",
    2: "a reboot of its host",
    3: "its peers drained",
    4: "to be drained and reset",
}


def model(gpu: NvmlValues) -> GpuProblem | None:
    name, capability = gpu["name"], gpu["capability"]
    return None if capability == HOPPER else fail(f"is {name}, compute capability {capability}")


def memory_size(facts: Facts, requirements: Requirements) -> Verdict:
    sizes = sorted({round(gpu["memory"] / GIB) for gpu in planned_gpus(facts, requirements)})
    seen = ", ".join(f"{size} GiB" for size in sizes)
    fix = "Leave this host out: every rank is limited to the smallest GPU's memory."
    return pass_if(len(sizes) == 1, "FAIL", seen, "GPUs of one memory size", fix)


def mig(gpu: NvmlValues) -> GpuProblem | None:
    current, pending = gpu["mig"]
    return fail(_switch("MIG", current, pending)) if current or pending else None


def ecc(gpu: NvmlValues) -> GpuProblem | None:
    current, pending = gpu["ecc"]
    return None if current and pending else warn(_switch("ECC", current, pending))


def _switch(feature: str, current: int, pending: int) -> str:
    words = ["on" if value else "off" for value in (current, pending)]
    return f"has {feature} {words[0]} now, {words[1]} after a reset"


def compute_mode(gpu: NvmlValues) -> GpuProblem | None:
    mode = gpu["compute_mode"]
    return COMPUTE_MODES.get(mode, fail(f"is in compute mode {mode}")) if mode else None


def persistence(gpu: NvmlValues) -> GpuProblem | None:
    return None if gpu["persistence"] == 1 else warn("has persistence mode off")


def uncorrected(gpu: NvmlValues) -> GpuProblem | None:
    if count := gpu["ecc_uncorrected"]:
        return fail(f"had {count} uncorrected errors since the driver was loaded")
    if (count := gpu["ecc_sram_uncorrected"]) > MOST_SRAM_UNCORRECTED:
        return fail(f"had {count} uncorrected SRAM errors in its lifetime")
    if gpu["ecc_sram_exceeded"]:
        return fail("had more SRAM errors than NVIDIA's threshold")
    return None


def corrected(gpu: NvmlValues) -> GpuProblem | None:
    sram, dram = gpu["ecc_sram_corrected"], gpu["ecc_dram_corrected"]
    if sram < MOST_SRAM_CORRECTED and dram < MOST_DRAM_CORRECTED:
        return None
    return warn(f"had {sram} corrected errors in its SRAM and {dram} in its memory")


def remapped(gpu: NvmlValues) -> GpuProblem | None:
    """(correctable, uncorrectable, pending, failure)."""
    _, rows, pending, failure = gpu["remapped"]
    problems = []
    if failure:
        problems.append("a failed row remapping")
    if pending:
        problems.append("a pending row remapping")
    if rows > MOST_REMAPPED_ROWS:
        problems.append(f"{rows} remapped rows")
    if problems:
        return fail(f"has {' and '.join(problems)}")
    return warn(f"has remapped rows after uncorrectable errors: {rows}") if rows else None


def recovery(gpu: NvmlValues) -> GpuProblem | None:
    action = gpu["recovery_action"]
    return fail(f"needs {RECOVERY.get(action, f'recovery action {action}')}") if action else None


def throttled(gpu: NvmlValues) -> GpuProblem | None:
    reasons = gpu["throttle"]
    hard = [reason for bit, reason in HARD_THROTTLE.items() if reasons & bit]
    if hard:
        return fail(f"is throttled: {', '.join(hard)}")
    return warn("is throttled: software thermal slowdown") if reasons & SOFT_THROTTLE else None


def temperature(gpu: NvmlValues) -> GpuProblem | None:
    celsius, slowdown = gpu["temperature"], gpu["temperature_slowdown"]
    if celsius <= slowdown - HOT_MARGIN_C:
        return None
    return warn(f"is at {celsius} C and slows down at {slowdown} C")


def power(gpu: NvmlValues) -> GpuProblem | None:
    limit, default = gpu["power_limit"], gpu["power_default"]
    if limit >= default:
        return None
    return warn(f"is limited to {limit / 1000:.0f} W of {default / 1000:.0f} W")


def clocks(gpu: NvmlValues) -> GpuProblem | None:
    target, most = gpu["clock_target"], gpu["clock_max"]
    return warn(f"has its clock set to {target} MHz of {most} MHz") if 0 < target < most else None


def pcie(gpu: NvmlValues) -> GpuProblem | None:
    """An idle link runs at a lower generation."""
    width, widest = gpu["pcie_width"], gpu["pcie_width_max"]
    if width < widest:
        return fail(f"has PCIe width x{width} of x{widest}")
    current, best = gpu["pcie_generation"], gpu["pcie_generation_max"]
    return warn(f"has PCIe generation {current} of {best}") if current < best else None


def replays(gpu: NvmlValues) -> GpuProblem | None:
    count, grown = gpu["pcie_replays"], gpu["grown"]["pcie_replays"]
    return warn(f"had {count} PCIe replays, {grown} in the last second") if grown else None


def inforom(gpu: NvmlValues) -> GpuProblem | None:
    try:
        gpu["inforom"]
    except UnknownFact as error:
        if "orrupt" in str(error):
            return fail("has a corrupted infoROM")
        raise
    return None


def vbios(facts: Facts, requirements: Requirements) -> Verdict:
    versions = sorted({str(gpu["vbios"]) for gpu in planned_gpus(facts, requirements)})
    fix = "Have the GPUs with another version flashed."
    return pass_if(len(versions) == 1, "WARN", ", ".join(versions), "one VBIOS version", fix)


CHECKS: dict[str, CheckFunction] = {
    "gpu.model": each_gpu(
        model,
        "Hopper GPUs, compute capability 9.0",
        "Use H100, H200 or H800: the kernels here are built for Hopper.",
    ),
    "gpu.memory": for_gpus(memory_size),
    "gpu.mig": each_gpu(mig, "MIG off", "nvidia-smi -mig 0, then reset the GPU or reboot."),
    "gpu.compute_mode": each_gpu(compute_mode, "compute mode DEFAULT", "nvidia-smi -c 0"),
    "gpu.persistence": each_gpu(
        persistence, "persistence mode on", "nvidia-smi -pm 1, or start nvidia-persistenced."
    ),
    "gpu.ecc_mode": each_gpu(ecc, "ECC on", "nvidia-smi -e 1, then reset the GPU."),
    "gpu.ecc_uncorrectable": each_gpu(
        uncorrected,
        "no uncorrected memory errors",
        "Reset the GPU; if the errors come back, have it replaced.",
    ),
    "gpu.ecc_correctable": each_gpu(
        corrected, "few corrected memory errors", "Watch the GPU: it may be failing."
    ),
    "gpu.remap": each_gpu(
        remapped,
        "no failed or pending row remapping",
        "Pending: drain and reset the GPU. Failed: have it replaced.",
    ),
    "gpu.recovery_action": each_gpu(
        recovery, "no recovery action due", "Do what NVML asks for, then check again."
    ),
    "gpu.throttle": each_gpu(throttled, "no throttling", "Inspect its cooling and power supply."),
    "gpu.temp": each_gpu(
        temperature,
        f"{HOT_MARGIN_C} C or more below the slowdown temperature",
        "Inspect its cooling.",
    ),
    "gpu.power_limit": each_gpu(
        power,
        "the default power limit",
        "nvidia-smi -pl WATTS: one capped GPU slows every expert parallel rank.",
    ),
    "gpu.app_clocks": each_gpu(
        clocks, "the maximum clock", "nvidia-smi -rgc, then nvidia-smi -rac"
    ),
    "gpu.pcie": each_gpu(
        pcie, "the full PCIe width and generation", "Reseat the GPU, or reboot its host."
    ),
    "gpu.pcie_replay": each_gpu(
        replays, "a PCIe replay counter that does not grow", "Reseat the GPU, or reboot its host."
    ),
    "gpu.vbios": for_gpus(vbios),
    "gpu.inforom": each_gpu(
        inforom, "a valid infoROM", "Have it flashed or replaced (nvidia-smi exits with 14)."
    ),
}

"""Checks of each GPU, by NVML's facts; the thresholds are NVIDIA's, Azure's and Meta's
(docs/checks.md)."""

from collections.abc import Callable, Iterator
from typing import Any

from dsr1.env.checks.judging import (
    NONSENSE,
    ORDER,
    CheckFunction,
    Requirements,
    UnknownFact,
    Verdict,
    known,
    on_gpus,
    passed,
)
from dsr1.env.checks.kinds import GPU_KINDS
from dsr1.hosts.protocol.fact import Facts

GIB = 2**30
HOPPER = [9, 0]
HARD_THROTTLE = {0x8: "hardware slowdown", 0x40: "hardware thermal slowdown", 0x80: "power brake"}
SOFT_THROTTLE = 0x20
ROWS_MOST, SRAM_CORRECTED_MOST, DRAM_CORRECTED_MOST, SRAM_UNCORRECTED_MOST = (
    512,
    10_000,
    20_000_000,
    4,
)
HOT_MARGIN_C = 10
RECOVERY = {
    1: "a reset",
    2: "a reboot of its host",
    3: "a drain of its peers",
    4: "a drain and a reset",
}

Reported = tuple[str, str] | None
"""A verdict and what is wrong with one GPU; None: nothing is."""


class GpuFact:
    """One GPU as NVML told it; what it didn't tell raises Unknown, with NVML's own reason."""

    def __init__(self, told: dict[str, Any]) -> None:
        self._told = told

    def __getitem__(self, name: str) -> Any:
        value = self._told.get(name)
        if value is None:
            raise UnknownFact(f"{name}: {self._told.get('problems', {}).get(name, 'not told')}")
        if name in GPU_KINDS and not GPU_KINDS[name](value):
            raise UnknownFact(f"{name}: makes no sense: {str(value)[:80]}")
        return value


def gpu_facts(facts: Facts, needs: Requirements) -> list[dict[str, Any]]:
    """Those that the plan takes; that there are too few is gpu.count's to say. Unknown: NVML tells
    of none."""
    gpus: list[dict[str, Any]] = known(facts, "gpu.devices")
    if not gpus:
        raise UnknownFact("NVML tells of no GPU")
    return gpus[: needs.gpus]


def fail(text: str) -> Reported:
    return "FAIL", text


def warn(text: str) -> Reported:
    return "WARN", text


def each_gpu(look: Callable[[GpuFact], Reported], wanted: str, fix: str) -> CheckFunction:
    """The worst of all; without any that is bad, one that is not known leaves the check UNKNOWN."""

    def judge(facts: Facts, needs: Requirements) -> Verdict:
        said = [_look(look, gpu) for gpu in gpu_facts(facts, needs)]
        bad = {index: trouble for index, trouble in enumerate(said) if isinstance(trouble, tuple)}
        if bad:
            worst = min((verdict for verdict, _ in bad.values()), key=ORDER.index)
            return Verdict(
                worst, fold_gpus({index: text for index, (_, text) in bad.items()}), wanted, fix
            )
        unknown = {
            index: str(why) for index, why in enumerate(said) if isinstance(why, UnknownFact)
        }
        if unknown:
            raise UnknownFact(fold_gpus(unknown))
        return Verdict("PASS", wanted, wanted)

    return on_gpus(judge)


def _look(look: Callable[[GpuFact], Reported], told: dict[str, Any]) -> Reported | UnknownFact:
    try:
        return look(GpuFact(told))
    except UnknownFact as unknown:
        return unknown
    except NONSENSE as error:
        return UnknownFact(f"makes no sense: {error!r}")


def fold_gpus(texts: dict[int, str]) -> str:
    """`GPU 0-3,7 has ...; GPU 5 is ...`: those that say the same once."""
    same: dict[str, list[int]] = {}
    for index, text in texts.items():
        same.setdefault(text, []).append(index)
    return "; ".join(f"GPU {ranges(indices)} {text}" for text, indices in same.items())


def ranges(numbers: list[int]) -> str:
    """Ascending numbers: `0-3,7`."""
    return ",".join(_ranges(numbers))


def _ranges(numbers: list[int]) -> Iterator[str]:
    first = last = numbers[0]
    for number in [*numbers[1:], -1]:
        if number == last + 1:
            last = number
            continue
        yield str(first) if first == last else f"{first}-{last}"
        first = last = number


def model(gpu: GpuFact) -> Reported:
    name, capability = gpu["name"], gpu["capability"]
    return None if capability == HOPPER else fail(f"is {name}, compute capability {capability}")


def memory_of(facts: Facts, needs: Requirements) -> Verdict:
    sizes = sorted({round(GpuFact(gpu)["memory"] / GIB) for gpu in gpu_facts(facts, needs)})
    seen = ", ".join(f"{size} GiB" for size in sizes)
    return passed(
        len(sizes) == 1,
        "FAIL",
        seen,
        "one size",
        "Leave the host out: every rank gets the least of all.",
    )


def mig(gpu: GpuFact) -> Reported:
    current, pending = gpu["mig"]
    return fail(f"has MIG {current}, after a reset {pending}") if current or pending else None


def compute_mode(gpu: GpuFact) -> Reported:
    mode = gpu["compute_mode"]
    if mode == 0:
        return None
    return (
        warn("is EXCLUSIVE_PROCESS")
        if mode == 3
        else fail({2: "is PROHIBITED"}.get(mode, f"has mode {mode}"))
    )


def persistence(gpu: GpuFact) -> Reported:
    return None if gpu["persistence"] == 1 else warn("has it off")


def ecc(gpu: GpuFact) -> Reported:
    current, pending = gpu["ecc"]
    return None if current and pending else warn(f"has ECC {current}, after a reset {pending}")


def uncorrected(gpu: GpuFact) -> Reported:
    if found := gpu["ecc_uncorrected"]:
        return fail(f"had {found} since the driver was loaded")
    if (found := gpu["ecc_sram_uncorrected"]) > SRAM_UNCORRECTED_MOST:
        return fail(f"had {found} in its SRAM, ever")
    return (
        fail("has more in its SRAM than NVIDIA holds for sound")
        if gpu["ecc_sram_exceeded"]
        else None
    )


def corrected(gpu: GpuFact) -> Reported:
    sram, dram = gpu["ecc_sram_corrected"], gpu["ecc_dram_corrected"]
    good = sram < SRAM_CORRECTED_MOST and dram < DRAM_CORRECTED_MOST
    return None if good else warn(f"had {sram} in its SRAM, {dram} in its memory")


def remapped(gpu: GpuFact) -> Reported:
    """(correctable, uncorrectable, pending, failure)."""
    _, rows, pending, failure = gpu["remapped"]
    words = [
        word for word, bad in (("a failed remapping", failure), ("a pending one", pending)) if bad
    ]
    words += [f"{rows} remapped rows"] if rows > ROWS_MOST else []
    if words:
        return fail(f"has {' and '.join(words)}")
    return warn(f"has {rows} rows remapped after uncorrectable errors") if rows else None


def recovery(gpu: GpuFact) -> Reported:
    action = gpu["recovery_action"]
    return fail(f"wants {RECOVERY.get(action, f'action {action}')}") if action else None


def throttled(gpu: GpuFact) -> Reported:
    reasons = gpu["throttle"]
    hard = [word for bit, word in HARD_THROTTLE.items() if reasons & bit]
    if hard:
        return fail(f"is slowed by {', '.join(hard)}")
    return warn("is slowed by its temperature") if reasons & SOFT_THROTTLE else None


def temperature(gpu: GpuFact) -> Reported:
    celsius, slowdown = gpu["temperature"], gpu["temperature_slowdown"]
    return (
        warn(f"has {celsius} C, slows down at {slowdown}")
        if celsius > slowdown - HOT_MARGIN_C
        else None
    )


def power(gpu: GpuFact) -> Reported:
    limit, default = gpu["power_limit"], gpu["power_default"]
    return (
        warn(f"is limited to {limit / 1000:.0f} W of {default / 1000:.0f}")
        if limit < default
        else None
    )


def clocks(gpu: GpuFact) -> Reported:
    target, most = gpu["clock_target"], gpu["clock_max"]
    return warn(f"is set to {target} MHz of {most}") if 0 < target < most else None


def pcie(gpu: GpuFact) -> Reported:
    """A link that idles runs at a lower generation."""
    width, widest = gpu["pcie_width"], gpu["pcie_width_max"]
    if width < widest:
        return fail(f"has x{width} of x{widest}")
    now, best = gpu["pcie_generation"], gpu["pcie_generation_max"]
    return warn(f"has generation {now} of {best}") if now < best else None


def replays(gpu: GpuFact) -> Reported:
    found, grown = gpu["pcie_replays"], gpu["grown"]["pcie_replays"]
    return warn(f"had {found}, {grown} in the last second") if grown else None


def inforom(gpu: GpuFact) -> Reported:
    try:
        gpu["inforom"]
    except UnknownFact as unknown:
        if "orrupt" in str(unknown):
            return fail("has a corrupted one")
        raise
    return None


def vbios(facts: Facts, needs: Requirements) -> Verdict:
    versions = sorted({str(GpuFact(gpu)["vbios"]) for gpu in gpu_facts(facts, needs)})
    return passed(
        len(versions) == 1, "WARN", ", ".join(versions), "one version", "Have the odd ones flashed."
    )


JUDGES: dict[str, CheckFunction] = {
    "gpu.model": each_gpu(
        model, "Hopper, compute capability 9.0", "The kernels here are Hopper's: use H100s."
    ),
    "gpu.memory": on_gpus(memory_of),
    "gpu.mig": each_gpu(mig, "MIG off", "nvidia-smi -mig 0, then reset the GPU or reboot."),
    "gpu.compute_mode": each_gpu(compute_mode, "compute mode DEFAULT", "nvidia-smi -c 0"),
    "gpu.persistence": each_gpu(
        persistence, "persistence mode on", "nvidia-smi -pm 1, or start nvidia-persistenced."
    ),
    "gpu.ecc_mode": each_gpu(ecc, "ECC on", "nvidia-smi -e 1, then reset the GPU."),
    "gpu.ecc_uncorrectable": each_gpu(
        uncorrected, "no uncorrected error", "Reset the GPU; if it returns, have it replaced."
    ),
    "gpu.ecc_correctable": each_gpu(
        corrected, "few corrected errors", "Watch it: it may be on its way out."
    ),
    "gpu.remap": each_gpu(
        remapped, "no row remapping due", "Pending: drain and reset the GPU. Failed: replace it."
    ),
    "gpu.recovery_action": each_gpu(
        recovery, "no recovery due", "Do what NVML asks for, then check again."
    ),
    "gpu.throttle": each_gpu(throttled, "no slowdown", "Look at its cooling and power supply."),
    "gpu.temp": each_gpu(temperature, "10 C below its slowdown", "Look at its cooling."),
    "gpu.power_limit": each_gpu(
        power,
        "its default power limit",
        "nvidia-smi -pl WATTS: one capped GPU slows every expert parallel rank.",
    ),
    "gpu.app_clocks": each_gpu(clocks, "its full clock", "nvidia-smi -rgc; nvidia-smi -rac"),
    "gpu.pcie": each_gpu(pcie, "its full PCIe width and generation", "Reseat it, or reboot."),
    "gpu.pcie_replay": each_gpu(replays, "PCIe replays that don't grow", "Reseat it, or reboot."),
    "gpu.vbios": on_gpus(vbios),
    "gpu.inforom": each_gpu(
        inforom, "a valid infoROM", "Have it flashed or replaced (nvidia-smi exits with 14)."
    ),
}

"""Why a GPU's clock is held down: NVML's bits of clock event reasons (nvml.h). Pure."""

from dsr1.launcher.metrics.rates import Value

SLOWING = {
    0x04: "power cap",
    0x08: "hardware slowdown",
    0x20: "temperature",
    0x40: "temperature (hardware)",
    0x80: "power brake",
}
"""Not those that slow nothing that is wanted: idle, application clocks, sync boost."""


def slowing(bits: Value) -> tuple[str, ...]:
    return tuple(word for bit, word in SLOWING.items() if int(bits or 0) & bit)

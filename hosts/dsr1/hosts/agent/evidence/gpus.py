"""What the GPUs of this host are like at a failure: memory, errors that can't be corrected, and
whether they are at work. Asked in a child: a call into a sick driver may never return."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from dsr1.hosts.agent.facts.gpu.nvml import GPU, NvmlReader, NvmlReading, open_nvml
from dsr1.hosts.agent.facts.reading.children import ChildResult, begin_in_child
from dsr1.hosts.protocol.evidence import GpuState
from dsr1.hosts.protocol.facts.fact import FactValue

NVML_S = 1.5
DRIVER = Path("/proc/driver/nvidia")
STATE: Mapping[str, NvmlReading] = {
    "processes": GPU["processes"],
    "used_bytes": GPU["memory_used"],
    "total_bytes": GPU["memory"],
    "ecc_uncorrected": GPU["ecc_uncorrected"],
    "busy_percent": ("nvmlDeviceGetUtilizationRates", (), lambda value: value.gpu),
}


def begin_gpus(root: Path = DRIVER) -> Callable[[], ChildResult]:
    """Nothing is asked where there is no driver."""
    if not root.is_dir():
        return lambda: ChildResult([])
    return begin_in_child(ask_states, NVML_S)


def ask_states() -> Iterator[FactValue]:
    nvml = open_nvml()
    for index in range(nvml.nvmlDeviceGetCount()):
        yield describe_state(nvml, index)


def describe_state(nvml: Any, index: int) -> dict[str, FactValue]:
    """A GPU that fell off the bus takes only itself; the reason is told."""
    asking = NvmlReader(nvml)
    try:
        found = asking.table(STATE, nvml.nvmlDeviceGetHandleByIndex(index))
    except nvml.NVMLError as error:
        return {"index": index, "problem": str(error)}
    lost = next((str(why) for why in asking.problems.values() if "lost" in str(why).lower()), "")
    return {"index": index, **found, "problem": lost}


def gpu_states(values: list[Any]) -> tuple[GpuState, ...]:
    return tuple(
        GpuState(
            one["index"],
            tuple(one.get("processes") or ()),
            one.get("used_bytes"),
            one.get("total_bytes"),
            one.get("busy_percent"),
            one.get("ecc_uncorrected"),
            one["problem"],
        )
        for one in values
    )

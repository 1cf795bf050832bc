"""What NVML knows of the GPUs. Runs in a child (see facts/reading/children.py): a call into a sick
driver may never return.

A call that fails leaves None, and its reason among the object's `problems`: "Not Supported" is no
health.
"""

import importlib
import importlib.util
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from ctypes import byref
from functools import partial
from pathlib import Path
from typing import Any

from dsr1.hosts.protocol.facts.fact import FactValue

LINKS, GROWTH_S, INVALID_ARGUMENT = 18, 1.0, 2
RECOVERY_ACTION, LINK_SPEED = (
    230,
    164,
)  # NVML_FI_DEV_GET_GPU_RECOVERY_ACTION, NVML_FI_DEV_NVLINK_GET_SPEED
NVLINK, SLOWDOWN, TARGET_CLOCK = (
    2,
    1,
    1,
)  # NVML_P2P_CAPS_INDEX_, NVML_TEMPERATURE_THRESHOLD_, NVML_CLOCK_ID_
SENSOR, SM_CLOCK = 0, 1  # NVML_TEMPERATURE_GPU, NVML_CLOCK_SM
CORRECTED, UNCORRECTED, VOLATILE, AGGREGATE = 0, 1, 0, 1
SRAM, DRAM = 7, 2  # NVML_MEMORY_LOCATION_
LINK_ERRORS = {"replay": 0, "recovery": 1, "crc_flit": 2, "crc_data": 3}

NvmlReading = tuple[str, tuple[object, ...], Callable[[Any], FactValue]]


def _same(value: Any) -> Any:
    return value.decode(errors="replace") if isinstance(value, bytes) else value


GPU: Mapping[str, NvmlReading] = {
    "name": ("nvmlDeviceGetName", (), _same),
    "uuid": ("nvmlDeviceGetUUID", (), _same),
    "pci": ("nvmlDeviceGetPciInfo", (), lambda value: _same(value.busId)),
    "minor": ("nvmlDeviceGetMinorNumber", (), _same),
    "capability": ("nvmlDeviceGetCudaComputeCapability", (), list),
    "memory": ("nvmlDeviceGetMemoryInfo", (), lambda value: value.total),
    "memory_used": ("nvmlDeviceGetMemoryInfo", (), lambda value: value.used),
    "processes": (
        "nvmlDeviceGetComputeRunningProcesses",
        (),
        lambda value: [process.pid for process in value],
    ),
    "mig": ("nvmlDeviceGetMigMode", (), list),
    "compute_mode": ("nvmlDeviceGetComputeMode", (), _same),
    "persistence": ("nvmlDeviceGetPersistenceMode", (), _same),
    "ecc": ("nvmlDeviceGetEccMode", (), list),
    "ecc_uncorrected": ("nvmlDeviceGetTotalEccErrors", (UNCORRECTED, VOLATILE), _same),
    "ecc_sram_corrected": ("nvmlDeviceGetMemoryErrorCounter", (CORRECTED, VOLATILE, SRAM), _same),
    "ecc_dram_corrected": ("nvmlDeviceGetMemoryErrorCounter", (CORRECTED, VOLATILE, DRAM), _same),
    "ecc_sram_uncorrected": (
        "nvmlDeviceGetMemoryErrorCounter",
        (UNCORRECTED, AGGREGATE, SRAM),
        _same,
    ),
    "remapped": ("nvmlDeviceGetRemappedRows", (), list),
    "throttle": ("nvmlDeviceGetCurrentClocksEventReasons", (), _same),
    "temperature": ("nvmlDeviceGetTemperature", (SENSOR,), _same),
    "temperature_slowdown": ("nvmlDeviceGetTemperatureThreshold", (SLOWDOWN,), _same),
    "power_limit": ("nvmlDeviceGetEnforcedPowerLimit", (), _same),
    "power_default": ("nvmlDeviceGetPowerManagementDefaultLimit", (), _same),
    "clock_target": ("nvmlDeviceGetClock", (SM_CLOCK, TARGET_CLOCK), _same),
    "clock_max": ("nvmlDeviceGetMaxClockInfo", (SM_CLOCK,), _same),
    "pcie_width": ("nvmlDeviceGetCurrPcieLinkWidth", (), _same),
    "pcie_width_max": ("nvmlDeviceGetMaxPcieLinkWidth", (), _same),
    "pcie_generation": ("nvmlDeviceGetCurrPcieLinkGeneration", (), _same),
    "pcie_generation_max": ("nvmlDeviceGetMaxPcieLinkGeneration", (), _same),
    "pcie_replays": ("nvmlDeviceGetPcieReplayCounter", (), _same),
    "vbios": ("nvmlDeviceGetVbiosVersion", (), _same),
    "inforom": ("nvmlDeviceValidateInforom", (), lambda value: "valid"),
}
SYSTEM: Mapping[str, NvmlReading] = {
    "driver": ("nvmlSystemGetDriverVersion", (), _same),
    "nvml": ("nvmlSystemGetNVMLVersion", (), _same),
    "cuda": ("nvmlSystemGetCudaDriverVersion_v2", (), _same),
    "confidential": ("nvmlSystemGetConfComputeState", (), lambda value: value.ccFeature),
}


class NvmlReader:
    """Asks NVML one thing after the other, and keeps why a call failed."""

    def __init__(self, nvml: Any) -> None:
        self._nvml = nvml
        self.problems: dict[str, FactValue] = {}

    def of(self, name: str, ask: Callable[[], FactValue]) -> FactValue:
        """An older library lacks a call; a binding of another version disagrees about its
        arguments."""
        try:
            return ask()
        except (self._nvml.NVMLError, AttributeError, TypeError, ValueError, LookupError) as error:
            self.problems[name] = str(error) or type(error).__name__
            return None

    def table(self, readings: Mapping[str, NvmlReading], *about: object) -> dict[str, FactValue]:
        def ask(call: str, more: tuple[object, ...], read: Callable[[Any], FactValue]) -> FactValue:
            return read(getattr(self._nvml, call)(*about, *more))

        return {name: self.of(name, partial(ask, *reading)) for name, reading in readings.items()}


def ask_nvml() -> Iterator[FactValue]:
    """The system first, then GPU after GPU, at last what grew: what hangs takes nothing from what
    was read before."""
    nvml = open_nvml()
    count = nvml.nvmlDeviceGetCount()
    yield describe_system(nvml, count)
    gpus = []
    for index in range(count):
        gpus.append(describe_gpu(nvml, index))
        yield gpus[-1]
    yield measure_growth(nvml, [count_errors(gpu) for gpu in gpus])


def open_nvml() -> Any:
    nvml = _binding()
    nvml.nvmlInit()
    return nvml


def _binding() -> Any:
    """nvidia-ml-py, or the copy of it that vLLM carries; vLLM itself, which takes seconds, isn't
    imported."""
    try:
        return importlib.import_module("pynvml")
    except ImportError:
        vllm = importlib.util.find_spec("vllm")
        if vllm is None or not vllm.origin:
            raise OSError("neither nvidia-ml-py nor vLLM is in the runtime's Python") from None
        return load_module(Path(vllm.origin).parent / "third_party" / "pynvml.py")


def load_module(file: Path) -> Any:
    spec = importlib.util.spec_from_file_location("pynvml", file)
    if spec is None or spec.loader is None:
        raise OSError(f"{file} is not there")
    module = importlib.util.module_from_spec(spec)
    sys.modules["pynvml"] = module  # its dataclasses and ctypes look themselves up there
    spec.loader.exec_module(module)
    return module


def describe_system(nvml: Any, count: int) -> dict[str, FactValue]:
    asking = NvmlReader(nvml)
    found: dict[str, FactValue] = {"count": count, **asking.table(SYSTEM)}
    found["nvlink"] = asking.of("nvlink", lambda: _pairs(nvml, count))
    return {**found, "problems": asking.problems}


def _pairs(nvml: Any, count: int) -> FactValue:
    """By GPU, the P2P status over NVLink to every GPU: 0 is OK; on the diagonal, None."""
    gpus = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(count)]
    return [
        [None if a is b else nvml.nvmlDeviceGetP2PStatus(a, b, NVLINK) for b in gpus] for a in gpus
    ]


def describe_gpu(nvml: Any, index: int) -> dict[str, FactValue]:
    asking = NvmlReader(nvml)
    try:
        gpu = nvml.nvmlDeviceGetHandleByIndex(index)
    except nvml.NVMLError as error:  # a GPU that fell off the bus takes only itself
        return unknown_gpu(str(error))
    found = asking.table(GPU, gpu)
    found |= {
        "ecc_sram_exceeded": asking.of("ecc_sram_exceeded", lambda: _sram_exceeded(nvml, gpu)),
        "recovery_action": asking.of("recovery_action", lambda: _field(nvml, gpu, RECOVERY_ACTION)),
        "fabric": asking.of("fabric", lambda: _fabric(nvml, gpu)),
        "links": asking.of("links", lambda: _links(nvml, gpu)),
    }
    return {**found, "problems": asking.problems}


def count_errors(gpu: Mapping[str, Any]) -> dict[str, int]:
    """What is counted since the driver was loaded, and says little unless it still grows."""
    errors = [error for link in gpu["links"] or () for error in link.get("errors", {}).values()]
    return {"pcie_replays": gpu["pcie_replays"] or 0, "links": sum(error or 0 for error in errors)}


def measure_growth(
    nvml: Any, before: list[dict[str, int]], wait_s: float = GROWTH_S
) -> list[FactValue]:
    """By GPU, how many more there are a moment later. Nobody waits for counters that are all at
    zero."""
    if not any(any(counted.values()) for counted in before):
        return [{**counted} for counted in before]
    time.sleep(wait_s)
    after = [count_errors(describe_gpu(nvml, index)) for index in range(len(before))]
    return [
        {name: max(0, now[name] - then[name]) for name in then}
        for then, now in zip(before, after, strict=True)
    ]


def unknown_gpu(why: str) -> dict[str, FactValue]:
    names = (*GPU, "ecc_sram_exceeded", "recovery_action", "fabric", "links", "grown")
    return {**dict.fromkeys(names, None), "problems": dict.fromkeys(names, why)}


def _sram_exceeded(nvml: Any, gpu: Any) -> bool:
    status = nvml.c_nvmlEccSramErrorStatus_v1_t()
    nvml.nvmlDeviceGetSramEccErrorStatus(gpu, byref(status))
    return bool(status.bThresholdExceeded)


def _field(nvml: Any, gpu: Any, *field: int) -> int:
    """An unsigned 32 bit value of NVML's long list; each has an error code of its own."""
    (value,) = nvml.nvmlDeviceGetFieldValues(gpu, [field if len(field) > 1 else field[0]])
    if value.nvmlReturn != 0:
        raise nvml.NVMLError(value.nvmlReturn)
    return int(value.value.uiVal)


def _fabric(nvml: Any, gpu: Any) -> dict[str, FactValue]:
    """State 3 is completed; the mask's fields are explained in docs/checks.md."""
    info = nvml.c_nvmlGpuFabricInfoV_t()
    nvml.nvmlDeviceGetGpuFabricInfoV(gpu, byref(info))
    return {"state": info.state, "status": info.status, "health": info.healthMask}


def _links(nvml: Any, gpu: Any) -> FactValue:
    """Those that it has: some Hoppers have fewer, and NVML calls the first that isn't there an
    invalid argument."""
    found: list[FactValue] = []
    for link in range(LINKS):
        try:
            found.append(_link(nvml, gpu, link))
        except nvml.NVMLError as error:
            if not found or error.value != INVALID_ARGUMENT:
                raise
            break
    return found


def _link(nvml: Any, gpu: Any, link: int) -> dict[str, FactValue]:
    """Speed and errors of an active one alone."""
    if not nvml.nvmlDeviceGetNvLinkState(gpu, link):
        return {"active": False}
    asking = NvmlReader(nvml)
    errors = {
        name: asking.of(name, partial(_link_errors, nvml, gpu, link, code))
        for name, code in LINK_ERRORS.items()
    }
    speed = asking.of("speed", lambda: _field(nvml, gpu, LINK_SPEED, link))
    return {"active": True, "speed": speed, "errors": errors, "problems": asking.problems}


def _link_errors(nvml: Any, gpu: Any, link: int, code: int) -> Any:
    """Looked up when it is called, since an old pynvml lacks it."""
    return nvml.nvmlDeviceGetNvLinkErrorCounter(gpu, link, code)

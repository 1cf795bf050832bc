"""Facts of GPUs, by NVML in a child of its own: a call into a sick driver may never return."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

from dsr1.hosts.facts.fact import Reader, Value

NVML_S, KILLED_S = 20.0, 1.0
CHILD = "from dsr1.hosts.facts.gpus import print_gpus; print_gpus()"


def gpu_readers(timeout_s: float = NVML_S) -> Iterator[Reader]:
    yield "gpu.devices", "NVML", lambda: ask_nvml(timeout_s)


def ask_nvml(timeout_s: float, python: str = sys.executable) -> Value:
    """One object a GPU. OSError: NVML is absent, broken or hangs."""
    argv = (python, "-c", f"import sys; sys.path[:0] = {sys.path!r}; {CHILD}")
    pipe = subprocess.PIPE
    child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, start_new_session=True)
    try:
        told, errors = child.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        _give_up(child)
        raise TimeoutError(f"NVML did not answer in {timeout_s:g} s: the driver hangs") from None
    if child.returncode != 0:
        raise OSError((errors.decode(errors="replace").strip().splitlines() or ["NVML's child died"])[-1])
    gpus: Value = json.loads(told)
    return gpus


def _give_up(child: "subprocess.Popen[bytes]") -> None:
    """Within the driver it hears no signal: its end isn't waited for."""
    child.kill()
    for stream in (child.stdout, child.stderr):
        if stream:
            stream.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(KILLED_S)


def print_gpus() -> None:
    """In the child."""
    try:
        import pynvml as nvml
    except ImportError:
        sys.exit("nvidia-ml-py is not in the runtime's Python")
    try:
        nvml.nvmlInit()
        handles = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
        print(json.dumps([describe(nvml, handle) for handle in handles]))
    except nvml.NVMLError as error:
        sys.exit(str(error))


def describe(nvml: Any, gpu: Any) -> dict[str, Value]:
    """One GPU. None is what this NVML, or this GPU, does not know."""

    def ask(call: str, of: Callable[[Any], Value] = lambda told: told) -> Value:
        try:
            return of(getattr(nvml, call)(gpu))
        except (nvml.NVMLError, AttributeError):
            return None

    return {
        "name": ask("nvmlDeviceGetName"),
        "uuid": ask("nvmlDeviceGetUUID"),
        "pci": ask("nvmlDeviceGetPciInfo", lambda told: told.busId),
        "capability": ask("nvmlDeviceGetCudaComputeCapability", list),
        "memory": ask("nvmlDeviceGetMemoryInfo", lambda told: told.total),
        "memory_used": ask("nvmlDeviceGetMemoryInfo", lambda told: told.used),
        "processes": ask("nvmlDeviceGetComputeRunningProcesses", lambda told: [process.pid for process in told]),
        "mig": ask("nvmlDeviceGetMigMode", list),
        "compute_mode": ask("nvmlDeviceGetComputeMode"),
        "persistence": ask("nvmlDeviceGetPersistenceMode"),
        "ecc": ask("nvmlDeviceGetEccMode", list),
        "ecc_uncorrected": _uncorrected(nvml, gpu),
        "remapped": ask("nvmlDeviceGetRemappedRows", list),
        "throttle": ask("nvmlDeviceGetCurrentClocksEventReasons"),
        "power_limit": ask("nvmlDeviceGetEnforcedPowerLimit"),
        "power_default": ask("nvmlDeviceGetPowerManagementDefaultLimit"),
        "pcie_width": ask("nvmlDeviceGetCurrPcieLinkWidth"),
        "pcie_width_max": ask("nvmlDeviceGetMaxPcieLinkWidth"),
    }


def _uncorrected(nvml: Any, gpu: Any) -> Value:
    """Errors since the driver was loaded."""
    try:
        kinds = nvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, nvml.NVML_VOLATILE_ECC
        return int(nvml.nvmlDeviceGetTotalEccErrors(gpu, *kinds))
    except (nvml.NVMLError, AttributeError):
        return None

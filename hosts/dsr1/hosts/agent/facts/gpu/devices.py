"""Facts of GPUs: by NVML, and by what the kernel shows without it; who uses them; whether CUDA
starts."""

import functools
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from dsr1.hosts.agent.facts.gpu.nvml import ask_nvml, unknown_gpu
from dsr1.hosts.agent.facts.reading.children import ChildResult, begin_in_child, begin_value
from dsr1.hosts.protocol.facts.fact import FactValue, Reader

NVML_S, CUDA_S = 20.0, 40.0  # eight GPUs without persistence take cuInit ten seconds and more
FactsWork = Callable[[], Iterable[FactValue]]


def gpu_readers(root: Path, nvml: FactsWork = ask_nvml, timeout_s: float = NVML_S) -> list[Reader]:
    """NVML and CUDA begin here, and are waited for when they are read."""
    wait = functools.cache(begin_in_child(nvml, timeout_s))
    folder = root / "proc/driver/nvidia/gpus"
    return [
        ("gpu.system", "NVML", lambda: system_of(wait())),
        ("gpu.devices", "NVML", lambda: list_gpus(wait())),
        ("gpu.processes", "NVML", lambda: [describe_process(pid) for pid in pids_of(wait())]),
        ("gpu.kernel", str(folder), lambda: _kernel_gpus(folder)),
        ("gpu.cuda", "cuInit, cuDeviceGetCount", begin_value(start_cuda, CUDA_S)),
    ]


def system_of(result: ChildResult) -> FactValue:
    """OSError: NVML is absent, broken or hangs."""
    return {key: value for key, value in result.first().items() if key != "count"}


def list_gpus(result: ChildResult) -> list[Any]:
    """Every GPU that NVML counts, also those that it then gave nothing of."""
    count: int = result.first()["count"]
    gpus, growth = result.values[1 : count + 1], result.values[count + 1 :]
    for gpu, grown in zip(gpus, growth[0] if growth else [], strict=False):
        gpu["grown"] = grown
    unknown = unknown_gpu(result.problem or "NVML gave nothing of it")
    return [*gpus, *[unknown] * (count - len(gpus))]


def pids_of(result: ChildResult) -> list[int]:
    return sorted({pid for gpu in list_gpus(result) for pid in gpu["processes"] or ()})


def describe_process(pid: int) -> FactValue:
    """Who it is; of one that is gone, or in another PID namespace, the pid alone."""
    import psutil

    try:
        process = psutil.Process(pid)
        command = " ".join(process.cmdline()) or process.name()
        return {"pid": pid, "user": process.username(), "command": command[:200], "alive": True}
    except psutil.Error:
        return {"pid": pid, "user": "", "command": "", "alive": False}


def start_cuda() -> FactValue:
    """What every worker does first; it needs the driver, its device nodes and the fabric, not a
    kernel of ours."""
    from ctypes import CDLL, byref, c_int

    cuda = CDLL("libcuda.so.1")
    count = c_int(0)
    code = cuda.cuInit(0) or cuda.cuDeviceGetCount(byref(count))
    return {"code": code, "count": count.value}


def _kernel_gpus(folder: Path) -> list[FactValue]:
    """OSError: there is no such folder, so no driver."""
    return [parse_gpu((gpu / "information").read_text()) for gpu in sorted(folder.iterdir())]


def parse_gpu(text: str) -> dict[str, FactValue]:
    """/proc/driver/nvidia/gpus/BDF/information: `Model: \t NVIDIA H100 80GB HBM3`. ValueError: it
    names no GPU."""
    rows = dict(re.findall(r"^([A-Za-z ]+):[ \t]*(.*?)[ \t]*$", text, re.MULTILINE))
    if "Bus Location" not in rows:
        raise ValueError(f"no GPU in {text[:100]!r}")
    return {
        "name": rows.get("Model"),
        "uuid": rows.get("GPU UUID"),
        "pci": rows["Bus Location"],
        "minor": int(rows["Device Minor"]) if rows.get("Device Minor", "").isdigit() else None,
        "vbios": rows.get("Video BIOS"),
    }

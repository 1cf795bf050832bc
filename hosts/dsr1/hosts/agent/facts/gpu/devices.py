"""Facts of GPUs: by NVML, and by what the kernel shows without it; who uses them; whether CUDA
starts."""

import functools
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from dsr1.hosts.agent.facts.gpu.nvml import ask_nvml, unknown_gpu
from dsr1.hosts.agent.facts.reading.children import begin_in_child, only
from dsr1.hosts.protocol.fact import FactValue, Reader

NVML_S, CUDA_S = 20.0, 40.0  # eight GPUs without persistence take cuInit ten seconds and more
FactsWork = Callable[[], Iterable[FactValue]]


def gpu_readers(root: Path, nvml: FactsWork = ask_nvml, timeout_s: float = NVML_S) -> list[Reader]:
    """NVML and CUDA begin here, and are waited for when they are read."""
    told = functools.cache(begin_in_child(nvml, timeout_s))
    cuda = begin_in_child(start_cuda, CUDA_S)
    folder = root / "proc/driver/nvidia/gpus"
    return [
        ("gpu.system", "NVML", lambda: system_of(told())),
        ("gpu.devices", "NVML", lambda: gpu_reader_values(told())),
        ("gpu.processes", "NVML", lambda: [describe_process(pid) for pid in pids_of(told())]),
        (
            "gpu.kernel",
            str(folder),
            lambda: [parse_gpu(file.read_text()) for file in _information(folder)],
        ),
        ("gpu.cuda", "cuInit, cuDeviceGetCount", lambda: only(cuda())),
    ]


def system_of(told: tuple[list[Any], str]) -> FactValue:
    """OSError: NVML is absent, broken or hangs."""
    system: Any = only(told)
    return {key: value for key, value in system.items() if key != "count"}


def gpu_reader_values(told: tuple[list[Any], str]) -> list[FactValue]:
    """Every GPU that NVML counts, also those that it then told nothing of."""
    system: Any = only(told)
    count, problem = system["count"], told[1] or "not told"
    found, grown = told[0][1 : count + 1], [*(told[0][count + 1 :] or [[]])[0]]
    told_of = [gpu | {"grown": more} for gpu, more in zip(found, grown, strict=False)]
    return [
        *told_of,
        *found[len(told_of) :],
        *(unknown_gpu(problem) for _ in range(count - len(found))),
    ]


def pids_of(told: tuple[list[Any], str]) -> list[int]:
    gpus: list[Any] = gpu_reader_values(told)
    return sorted({pid for gpu in gpus for pid in gpu["processes"] or ()})


def describe_process(pid: int) -> FactValue:
    """Who it is; of one that is gone, or in another PID namespace, the pid alone."""
    import psutil

    try:
        process = psutil.Process(pid)
        words = " ".join(process.cmdline()) or process.name()
        return {"pid": pid, "user": process.username(), "command": words[:200], "alive": True}
    except psutil.Error:
        return {"pid": pid, "user": "", "command": "", "alive": False}


def start_cuda() -> Iterator[FactValue]:
    """What every worker does first; it needs the driver, its device nodes and the fabric, not a
    kernel of ours."""
    from ctypes import CDLL, byref, c_int

    cuda = CDLL("libcuda.so.1")
    count = c_int(0)
    code = cuda.cuInit(0) or cuda.cuDeviceGetCount(byref(count))
    yield {"code": code, "count": count.value}


def _information(folder: Path) -> list[Path]:
    """OSError: there is no such folder, so no driver."""
    return [device / "information" for device in sorted(folder.iterdir())]


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

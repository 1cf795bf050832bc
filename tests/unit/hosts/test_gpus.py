"""GPUs by NVML, where NVML is sick or absent."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from dsr1.hosts.facts.fact import observe
from dsr1.hosts.facts.gpus import ask_nvml, describe


class NVMLError(Exception):
    """As pynvml's."""


def make_python(folder: Path, script: str) -> str:
    """What stands in for the runtime's Python, and for the NVML that it calls."""
    file = folder / "python"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o700)
    return str(file)


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("exec sleep 60", "did not answer in 0.2 s"),
        ("echo 'Driver Not Loaded' >&2; exit 1", "Driver Not Loaded"),
        ("kill -SEGV $$", "child died"),
        ("echo nonsense", "Expecting value"),
    ],
)
def test_a_sick_nvml_is_a_fact_without_value(tmp_path: Path, script: str, problem: str) -> None:
    python = make_python(tmp_path, script)
    fact = observe([("gpu.devices", "NVML", lambda: ask_nvml(0.2 if "sleep" in script else 10, python))])["gpu.devices"]
    assert fact.value is None
    assert problem in fact.problem


def test_what_one_gpu_does_not_support_is_none() -> None:
    def refuse(_: object) -> None:
        raise NVMLError("Not Supported")

    nvml = SimpleNamespace(NVMLError=NVMLError, nvmlDeviceGetName=lambda _: "H100", nvmlDeviceGetUUID=refuse)
    told = describe(nvml, object())
    assert (told["name"], told["uuid"], told["mig"]) == ("H100", None, None)

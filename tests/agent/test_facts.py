"""The agent's facts as a launcher asks for them: in a process of their own, where NVML is sick."""

import sys
from pathlib import Path

import psutil
import pytest

from dsr1.hosts.protocol.facts.request import FactsRequest
from dsr1.hosts.transport.local import LocalTransport

NVMLS = {
    "refuses": (
        "class NVMLError(Exception): pass\ndef nvmlInit(): raise NVMLError('Driver Not Loaded')"
    ),
    "dies": "import os, signal\ndef nvmlInit(): os.kill(os.getpid(), signal.SIGSEGV)",
    "leaves": "def nvmlInit(): raise SystemExit(3)",
    "prints": "def nvmlInit(): print('{}', flush=True); raise OSError('no')",
}


@pytest.mark.parametrize(
    ("nvml", "problem"),
    [
        ("refuses", "Driver Not Loaded"),
        ("dies", "ended with -11"),
        ("leaves", "ended with"),
        ("prints", "no"),
    ],
)
def test_a_sick_nvml_takes_nothing_else_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nvml: str, problem: str
) -> None:
    before = psutil.Process().children()
    (tmp_path / "pynvml.py").write_text(NVMLS[nvml])
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    facts = LocalTransport(tmp_path / "hosts", (sys.executable,)).gather_facts(
        "h", FactsRequest(ports=(8000,), folders=("/tmp",))
    )
    assert facts["gpu.devices"].value is None
    assert problem in facts["gpu.devices"].problem
    assert facts["memory.total"].value
    assert isinstance(facts["net.listening"].value, dict)
    assert set(psutil.Process().children()) <= set(before)

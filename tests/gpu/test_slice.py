"""`make test-gpu`: dsr1-slice on a real Hopper GPU, cold, again, and with caches brought to a host that has none.

DSR1_GPU_PYTHON is a Python with vLLM, DSR1_GPU_MODEL a folder with R1's config.json and a tokenizer, no weights.
The first start compiles: ten minutes.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dsr1.launcher.executor import stop_run
from dsr1.launcher.runs import Run, list_runs

pytestmark = [pytest.mark.gpu, pytest.mark.timeout(1800)]
ROOT = Path(__file__).parents[2]
PYTHON, MODEL = os.environ.get("DSR1_GPU_PYTHON", ""), os.environ.get("DSR1_GPU_MODEL", "")


@pytest.fixture
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The host's JIT caches. Runs that are left are ended."""
    if not PYTHON or not MODEL:
        pytest.skip("no GPU runtime: set DSR1_GPU_PYTHON and DSR1_GPU_MODEL, see tests/gpu/test_slice.py")
    monkeypatch.setenv("DSR1_STATE_DIR", str(tmp_path / "state"))
    yield tmp_path / "caches"
    assert [name for run in list_runs() for name in stop_run(run)] == []


def launch(name: str, caches: Path) -> Run:
    command = (sys.executable, "-m", "dsr1.launcher.cli.main", "launch", "dsr1-slice", "--name", name)
    site = ("--model", MODEL, "--set", f"runtime.python={PYTHON}", "--set", f"runtime.cache_dir={caches}")
    paths = ":".join(
        (*(str(ROOT / part) for part in ("launcher", "hosts", "env", "slurm")), os.environ.get("PYTHONPATH", ""))
    )
    env = os.environ | {"PYTHONPATH": paths}
    done = subprocess.run((*command, *site), env=env, capture_output=True, text=True, check=False, timeout=1500)
    assert done.returncode == 0, done.stdout + done.stderr
    return list_runs()[-1]


def files(caches: Path) -> set[str]:
    return {str(file.relative_to(caches)) for file in caches.rglob("*") if file.is_file() and "/tmp/" not in str(file)}


def used_memory() -> list[int]:
    """MiB on each GPU, by NVML."""
    ask = "import json, pynvml as n; n.nvmlInit(); print(json.dumps([n.nvmlDeviceGetMemoryInfo("
    ask += "n.nvmlDeviceGetHandleByIndex(i)).used >> 20 for i in range(n.nvmlDeviceGetCount())]))"
    told: list[int] = json.loads(subprocess.run((PYTHON, "-c", ask), capture_output=True, check=True).stdout)
    return told


def test_compiled_once_and_never_again(caches: Path) -> None:
    before, after = used_memory(), {}
    for name in ("cold", "second", "fresh"):
        run = launch(name, caches)
        after[name] = run.state().ready_after
        compiled = files(caches)
        assert stop_run(run) == ()
        assert used_memory() == before
        if name == "cold":
            first = compiled
        else:
            assert {name for name in compiled - first if name.endswith((".cubin", ".so"))} == set()
        if name == "second":
            shutil.rmtree(caches)
    print(after)

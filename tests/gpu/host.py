"""This host's GPUs and the environment that drives them, for `make test-gpu`.

DSR1_GPU_PYTHON is a Python with vLLM, and Dynamo for several GPUs; DSR1_GPU_MODEL a folder with
R1's config.json and a tokenizer, no weights.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from dsr1.launcher.run.store import Run, list_runs

ROOT = Path(__file__).parents[2]
PYTHON, MODEL = os.environ.get("DSR1_GPU_PYTHON", ""), os.environ.get("DSR1_GPU_MODEL", "")
Done = subprocess.CompletedProcess[str]


def dsr1(*argv: str) -> Done:
    """The command, as a user runs it."""
    parts = (
        *(str(ROOT / part) for part in ("launcher", "hosts", "env", "slurm")),
        os.environ.get("PYTHONPATH", ""),
    )
    command = (sys.executable, "-m", "dsr1.launcher.cli.main", *argv)
    env = os.environ | {"PYTHONPATH": ":".join(parts)}
    return subprocess.run(
        command, env=env, capture_output=True, text=True, check=False, timeout=1500
    )


@dataclass(frozen=True, slots=True)
class Slice:
    """dsr1-slice on this host, with JIT caches in `caches`."""

    caches: Path

    def launch(self, name: str, *changes: str) -> Run:
        done = dsr1("launch", *self.words(*changes), "--name", name)
        assert done.returncode == 0, done.stdout + done.stderr
        return list_runs()[-1]

    def words(self, *changes: str) -> tuple[str, ...]:
        """The recipe and its options, for any verb that takes one."""
        runtime = (f"runtime.python={PYTHON}", f"runtime.cache_dir={self.caches}")
        sets = (word for change in (*runtime, *changes) for word in ("--set", change))
        return ("dsr1-slice", "--model", MODEL, *sets)


def used_memory() -> list[int]:
    """MiB on each GPU, by NVML."""
    ask = "import json, pynvml as n; n.nvmlInit(); print(json.dumps([n.nvmlDeviceGetMemoryInfo("
    ask += "n.nvmlDeviceGetHandleByIndex(i)).used >> 20 for i in range(n.nvmlDeviceGetCount())]))"
    told: list[int] = json.loads(
        subprocess.run((PYTHON, "-c", ask), capture_output=True, check=True).stdout
    )
    return told

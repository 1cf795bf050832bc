"""This host's GPUs and the environment that drives them, for `make test-gpu`.

DSR1_GPU_PYTHON is a Python with vLLM, and Dynamo for several GPUs; DSR1_GPU_MODEL a folder with
R1's config.json and a tokenizer, no weights. DSR1_GPU_CACHES is a folder for what is compiled, kept
for the next time; default: none is. With CUDA_VISIBLE_DEVICES=0,1 the tests take those two, and the
others of the host may be in use: dsr1 gives out a host's first GPUs. With DSR1_GPU_REHEARSE=8
engines are simulated, as if on so many GPUs, and none is asked for.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from tests.answers import data_of

from dsr1.launcher.run.store import Run, list_runs

ROOT = Path(__file__).parents[2]
REHEARSED = int(os.environ.get("DSR1_GPU_REHEARSE") or 0)
PYTHON, MODEL = os.environ.get("DSR1_GPU_PYTHON", ""), os.environ.get("DSR1_GPU_MODEL", "")
REHEARSAL = ("--rehearse",) if REHEARSED else ()
VISIBLE = "CUDA_VISIBLE_DEVICES"
Done = subprocess.CompletedProcess[str]


def dsr1(*argv: str) -> Done:
    """The command, as a user runs it."""
    parts = (
        *(str(ROOT / part) for part in ("launcher", "hosts", "env", "slurm")),
        os.environ.get("PYTHONPATH", ""),
    )
    command = (sys.executable, "-m", "dsr1.launcher.cli.main", *argv)
    env = os.environ | {"PYTHONPATH": ":".join(parts)}
    env.pop(VISIBLE, None)  # dsr1 names the GPUs of each process, by their number on the host
    return subprocess.run(
        command, env=env, capture_output=True, text=True, check=False, timeout=1500
    )


@dataclass(frozen=True, slots=True)
class Trial:
    """A built-in recipe on this host, with JIT caches in `caches`."""

    caches: Path
    recipe: str = "dsr1-slice"

    def of(self, recipe: str) -> "Trial":
        return replace(self, recipe=recipe)

    def launch(self, name: str, *changes: str) -> Run:
        done = dsr1("launch", *self.words(*changes), *REHEARSAL, "--name", name)
        assert done.returncode == 0, done.stdout + done.stderr
        return list_runs()[-1]

    def words(self, *changes: str) -> tuple[str, ...]:
        """The recipe and its options, for any verb that takes one."""
        runtime = (f"runtime.python={PYTHON}", f"runtime.cache_dir={self.caches}")
        sets = (word for change in (*runtime, *changes) for word in ("--set", change))
        return (self.recipe, "--model", MODEL, *sets)


def kept_caches(folders: pytest.TempPathFactory) -> Path:
    """What all tests of a module compile into."""
    named = os.environ.get("DSR1_GPU_CACHES")
    return Path(named) if named else folders.mktemp("caches")


def answering(run: Run) -> list[int]:
    """The ranks that do. A simulated process counts its own from 0, so they are counted anew."""
    told = dsr1("smoke", run.name, "--json")
    assert told.returncode == 0, told.stderr
    ranks = sorted(answer["rank"] for answer in data_of(told.stdout)["answers"])
    return list(range(len(ranks))) if REHEARSED else ranks


def used_memory() -> list[int]:
    """MiB on each GPU, by NVML; of a simulated one, none."""
    return [0] * REHEARSED or _memory("used")


def total_memory() -> list[int]:
    """MiB of each GPU, by NVML."""
    return _memory("total")


def _memory(field: str) -> list[int]:
    ask = "import json, pynvml as n; n.nvmlInit(); print(json.dumps([n.nvmlDeviceGetMemoryInfo("
    ask += (
        f"n.nvmlDeviceGetHandleByIndex(i)).{field} >> 20 for i in range(n.nvmlDeviceGetCount())]))"
    )
    told: list[int] = json.loads(
        subprocess.run((PYTHON, "-c", ask), capture_output=True, check=True).stdout
    )
    return told[: taken_gpus(len(told))]


def taken_gpus(on_host: int) -> int:
    """How many of them the tests take."""
    named = os.environ.get(VISIBLE)
    if named is None:
        return on_host
    numbers = named.split(",")
    first = [str(number) for number in range(min(len(numbers), on_host))]
    assert numbers == first, f"{VISIBLE}={named}: dsr1 takes a host's first GPUs, {','.join(first)}"
    return len(first)

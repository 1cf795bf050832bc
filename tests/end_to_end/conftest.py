"""Deployments of real processes, each with its own state folder and ports, always ended."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.built import MODEL, ROOT, RUNTIME
from tests.guard import guarded
from tests.packages import ensure_tools
from tests.ports import port_block
from tests.waiting import HANGS_S

from dsr1.launcher.operate.status import stop_any
from dsr1.launcher.run.store import Run, list_runs

Dsr1 = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A state folder of the test's own; whatever was launched in it is ended, also when the test
    process is killed."""
    monkeypatch.setenv("DSR1_STATE_DIR", str(tmp_path))
    with guarded("runs", tmp_path):
        yield tmp_path
        left = [name for run in list_runs() for name in stop_any(run)]
    assert left == []


@pytest.fixture
def dsr1(state: Path) -> Dsr1:
    """The command, as a user runs it."""

    def call(*argv: str, timeout: float = HANGS_S) -> "subprocess.CompletedProcess[str]":
        command = (sys.executable, "-c", "from dsr1.launcher.cli.main import main; main()", *argv)
        env = os.environ | {
            "PYTHONPATH": ":".join(
                str(ROOT / part) for part in ("launcher", "hosts", "env", "slurm")
            )
        }
        return subprocess.run(
            command, capture_output=True, text=True, timeout=timeout, env=env, check=False
        )

    return call


@pytest.fixture
def free_ports() -> Iterator[tuple[int, int]]:
    """For `ports.base` and `frontend.port`."""
    with port_block() as ports:
        yield ports


@pytest.fixture
def site(runtime: None, free_ports: tuple[int, int]) -> tuple[str, ...]:
    """The options that name this machine's runtime and model."""
    base, frontend = free_ports
    ports = ("--set", f"ports.base={base}", "--set", f"frontend.port={frontend}")
    return ("--venv", str(RUNTIME), "--model", str(MODEL), *ports)


@pytest.fixture(scope="session")
def prometheus() -> None:
    if os.geteuid() != 0 and not shutil.which("prometheus"):
        pytest.skip("prometheus isn't installed, and only root can: apt-get install prometheus")
    ensure_tools({"prometheus": "prometheus", "promtool": "prometheus"})


@pytest.fixture
def newest(state: Path) -> Callable[[], Run]:
    return lambda: list_runs()[-1]

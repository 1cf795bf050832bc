"""AIPerf in an environment of its own: its pins contradict dsr1's and every runtime's."""

import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from dsr1.hosts.errors import InputError, LaunchFailed
from dsr1.launcher.benchmark.drivers import AIPERF_VERSION
from dsr1.launcher.locks import locked

INSTALL_S, ASK_S = 1800.0, 120.0
ROOM = "1.2 GB"
READY = "ready"


def aiperf_folder() -> Path:
    """In the user's cache."""
    from platformdirs import user_cache_path

    return user_cache_path("dsr1") / f"aiperf-{AIPERF_VERSION}"


def find_aiperf() -> str:
    """Its command. InputError: it isn't set up."""
    folder = aiperf_folder()
    if not (folder / READY).exists():
        raise InputError(
            f"--driver aiperf: it isn't set up here: `dsr1 bench --setup` makes {folder} ({ROOM})"
        )
    return str(folder / "bin" / "aiperf")


def set_up_aiperf() -> Path:
    """Makes the environment, if it isn't there. LaunchFailed: why it can't be had. What an
    interrupted one left is made anew."""
    folder = aiperf_folder()
    with _locked(folder):
        if not (folder / READY).exists():
            shutil.rmtree(folder, ignore_errors=True)
            _run((sys.executable, "-m", "venv", str(folder)), "its environment", ASK_S)
            python = str(folder / "bin" / "python")
            pip = (python, "-m", "pip", "install", "--quiet", f"aiperf=={AIPERF_VERSION}")
            _run(pip, f"aiperf {AIPERF_VERSION}", INSTALL_S)
            _run((str(folder / "bin" / "aiperf"), "--version"), "its command", ASK_S)
            (folder / READY).touch()
    return folder


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Two of them would write into one environment."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with locked(folder.with_suffix(".lock"), wait=True):
            yield
    except OSError as error:
        raise LaunchFailed(f"{folder}: AIPerf can't be set up: {error.strerror}") from None


def _run(argv: Sequence[str], what: str, timeout_s: float) -> None:
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, timeout=timeout_s, errors="replace", check=False
        )
    except subprocess.TimeoutExpired:
        raise LaunchFailed(f"AIPerf: {what} was not there after {timeout_s:g} s") from None
    if done.returncode:
        raise LaunchFailed(f"AIPerf: {what} can't be had: {why_not(done.stderr + done.stdout)}")


def why_not(said: str) -> str:
    """pip's errors, not its hints."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line for line in lines if line.upper().startswith("ERROR")]
    return " | ".join((errors or lines or ["it said nothing"])[-3:])[:600]

"""Tools that have an environment of their own in the user's cache: their pins contradict dsr1's and
every runtime's."""

import math
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.errors import LaunchFailed
from dsr1.launcher.benchmark.drivers import AIPERF_VERSION
from dsr1.launcher.locks import locked

INSTALL_S, ASK_S = 1800.0, 120.0
READY = "ready"


@dataclass(frozen=True, slots=True)
class OwnTool:
    """`package` of the index; `check`: arguments of its Python with which it shows that it runs;
    `room` that it takes, in words."""

    package: str
    version: str
    check: tuple[str, ...]
    room: str

    @property
    def folder(self) -> Path:
        from platformdirs import user_cache_path

        return user_cache_path("dsr1") / f"{self.package}-{self.version}"

    @property
    def is_ready(self) -> bool:
        return (self.folder / READY).exists()

    def command(self, name: str) -> Path:
        return self.folder / "bin" / name

    def set_up(self) -> Path:
        """Makes the environment, if it isn't there. LaunchFailed: why it can't be had. What an
        interrupted one left is made anew."""
        folder = self.folder
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with locked(folder.with_suffix(".lock"), math.inf):
                if not self.is_ready:
                    self._make(folder)
        except OSError as error:
            raise LaunchFailed(
                f"{folder}: {self.package} can't be set up: {error.strerror}"
            ) from None
        return folder

    def _make(self, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        self._run((sys.executable, "-m", "venv", str(folder)), "its environment", ASK_S)
        python, wanted = str(self.command("python")), f"{self.package}=={self.version}"
        self._run((python, "-m", "pip", "install", "--quiet", wanted), wanted, INSTALL_S)
        self._run((python, *self.check), "its own start", ASK_S)
        (folder / READY).touch()

    def _run(self, argv: Sequence[str], what: str, timeout_s: float) -> None:
        try:
            done = subprocess.run(
                argv,
                capture_output=True,
                text=True,
                timeout=timeout_s,
                errors="replace",
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise LaunchFailed(
                f"{self.package}: {what} was not there after {timeout_s:g} s"
            ) from None
        if done.returncode:
            why = why_not(done.stderr + done.stdout)
            raise LaunchFailed(f"{self.package}: {what} can't be had: {why}")


def why_not(said: str) -> str:
    """pip's errors, not its hints."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line for line in lines if line.upper().startswith("ERROR")]
    return " | ".join((errors or lines or ["it said nothing"])[-3:])[:600]


AIPERF_TOOL = OwnTool("aiperf", AIPERF_VERSION, ("-m", "aiperf", "--version"), "1.2 GB")

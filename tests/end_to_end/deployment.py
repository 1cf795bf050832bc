"""What tests of deployments on this machine ask of them."""

import json
import os
from pathlib import Path

import psutil

from dsr1.launcher.run.store import Run

MOCKER = ("--set", "stack=mocker", "--set", "engines.main={nodes: 2}")
Site = tuple[str, ...]


def pid_of(run: Run, process: str) -> int:
    files = (run.folder / "hosts").glob(f"*/processes/{process}.json")
    found = next(file for file in files if "~" not in file.parts[-3])
    return int(json.loads(found.read_text())["pid"])


def of_run(folder: Path) -> list[int]:
    """Every live process that mentions the run's folder in its command line or environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if (
                str(folder) in " ".join([*process.cmdline(), *process.environ().values()])
                and process.pid != os.getpid()
            ):
                found.append(process.pid)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found

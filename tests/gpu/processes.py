"""The processes of a run on this host, as it recorded them."""

import json
import re

import psutil
from tests.gpu.host import REHEARSED

from dsr1.launcher.run.store import Run


def engine_core(run: Run, rank: int) -> psutil.Process:
    """That of one rank; a simulated engine is one process."""
    mains = [
        psutil.Process(json.loads(file.read_bytes())["pid"])
        for file in sorted((run.folder / "hosts").glob("*/processes/main-*.json"))
    ]
    if REHEARSED:
        return mains[-1]
    named = re.compile(rf"EngineCore_DP{rank}\b")
    family = (child for main in mains for child in main.children(recursive=True))
    (core,) = (child for child in family if named.search(_title(child)))
    return core


def _title(process: psutil.Process) -> str:
    """What it calls itself; nothing of one that has ended: vLLM leaves ten zombies in a run of four
    ranks."""
    try:
        return f"{process.name()} {' '.join(process.cmdline())}"
    except (psutil.ZombieProcess, psutil.NoSuchProcess):
        return ""

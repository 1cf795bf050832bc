"""A tuning rehearsed on this machine: killed in the middle, resumed, and the same front as one that wasn't."""

import json
import subprocess
import sys
from pathlib import Path

import psutil
from tests.answers import data_of
from tests.built import RUNTIME
from tests.end_to_end.conftest import Dsr1
from tests.end_to_end.deployment import of_run
from tests.waiting import HANGS_S, begun, until

from dsr1.launcher.run.store import list_runs

DSR1 = (sys.executable, "-c", "from dsr1.launcher.cli.main import main; main()")
ASKED = (
    *("tune", "dsr1-dep", "--rehearse", "--name", "t", "--predictor", "recorded", "--points", "2"),
    *("--itl", "5s", "--isl", "256", "--osl", "8", "--set", "engines.main.nodes=1"),
    *("--venv", str(RUNTIME)),
)


def talking_to(port: int) -> list[int]:
    """Drivers: who has that address in the command line."""
    processes = psutil.process_iter(["cmdline"])
    return [one.pid for one in processes if f":{port}" in " ".join(one.info["cmdline"] or [])]


def test_killed_in_the_middle_it_goes_on(
    runtime: None, dsr1: Dsr1, state: Path, free_ports: tuple[int, int]
) -> None:
    """What was left running is stopped first, and no point is measured twice."""
    folder, (base, frontend) = state / "tunes" / "t", free_ports
    asked = (*ASKED, "--set", f"ports.base={base}", "--set", f"frontend.port={frontend}")
    with begun((*DSR1, *asked), stdout=subprocess.DEVNULL) as first:
        until(lambda: any(folder.glob("points/*/point.json")), "a first point")
        first.kill()
    assert [run.name for run in list_runs()] == [(folder / "running").read_text()]
    before = {file: file.read_bytes() for file in folder.glob("points/*/point.json")}
    assert len(before) == 1
    resumed = dsr1(*asked, "--resume", "--json", timeout=HANGS_S)
    assert resumed.returncode == 0, resumed.stderr
    assert list_runs() == []
    assert of_run(state / "runs") == []
    until(lambda: not talking_to(frontend), "the end of the driver of what was killed")
    points = {file: file.read_bytes() for file in folder.glob("points/*/point.json")}
    assert {file: points[file] for file in before} == before
    tasks = [json.loads(text)["outcome"]["task"] for text in points.values()]
    assert sorted((one["candidate"], one["concurrency"]) for one in tasks) == EXPECTED
    answer = data_of(resumed.stdout)
    measured = [row for row in answer["rows"] if row["source"] == "measured"]
    assert len(measured) == 2
    assert answer["best"] in measured
    assert all(row["figures"]["tokens_s_gpu"] > 0 for row in measured)


EXPECTED = [("dep8", 16), ("dp8", 16)]
"""What the search asks for, whoever interrupts it: tests/unit/launcher/tuning has more of that."""

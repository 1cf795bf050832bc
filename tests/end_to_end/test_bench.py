"""A simulated deployment under load by the real driver of its runtime, and a server that fails a
third of its requests."""

import contextlib
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import psutil
import pytest
from tests.answers import data_of
from tests.built import MODEL, ROOT, RUNTIME
from tests.end_to_end.conftest import Dsr1
from tests.end_to_end.deployment import MOCKER, Site, of_run
from tests.fakes.completions import BUSY, FINE, CompletionServer, serving
from tests.waiting import HANGS_S, begun, until

from dsr1.hosts.errors import LaunchFailed
from dsr1.hosts.transport.connect import connect_hosts
from dsr1.launcher.benchmark.by_hand import started_by_hand
from dsr1.launcher.benchmark.drivers import BenchTarget, VllmBench
from dsr1.launcher.benchmark.judging import PointRefused
from dsr1.launcher.benchmark.measure import LoadSource, measure
from dsr1.launcher.benchmark.session import open_bench
from dsr1.launcher.benchmark.store import read_results
from dsr1.launcher.benchmark.workload import Workload
from dsr1.launcher.operate.status import run_status
from dsr1.launcher.run.store import Run

DSR1 = (sys.executable, "-c", "from dsr1.launcher.cli.main import main; main()")
LOAD = ("--isl", "32", "--osl", "6", "--concurrency", "2", "--requests", "6")


def test_a_third_of_requests_fails(site: Site) -> None:
    """Which the driver itself calls a success."""
    driver = VllmBench(str(RUNTIME / "bin" / "python"))
    with (
        serving(CompletionServer((FINE, BUSY, FINE))) as server,
        connect_hosts((), sys.executable) as (transport, (here,)),
    ):
        target = BenchTarget(server.url, "tiny", str(MODEL))
        with pytest.raises(PointRefused) as refused:
            measure(LoadSource(transport, here), target, driver, Workload(8, 6, 2, None, 12))
    words = str(refused.value)
    assert "4 of 12 requests failed (33.3%" in words
    assert "4 x Service Unavailable" in words
    assert isinstance(refused.value, LaunchFailed)


STAND_IN = ROOT / "launcher" / "dsr1" / "launcher" / "run" / "stand_in"  # whose tokens are text


def drivers_of(url: str) -> list[int]:
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if "bench" in words and url in words:
            found.append(process.pid)
    return found


def test_a_run_is_measured(dsr1: Dsr1, site: Site, newest: Callable[[], Run], state: Path) -> None:
    """Then interrupted, then the same commands are started by hand beside it."""
    there = (*site, "--model", str(STAND_IN), *MOCKER)
    assert dsr1("launch", "tiny", "--name", "b", *there).returncode == 0
    refused = dsr1("bench", "b", *LOAD, "--isl", "900000000")
    assert refused.returncode == 2, refused.stderr
    measured = dsr1("bench", "b", *LOAD, "--ttft", "20s", "--json")
    assert measured.returncode == 0, measured.stderr
    ((point,),) = [one["points"] for one in data_of(measured.stdout)]
    assert (point["sent"], point["counted"], point["failed"], point["tokens_out"]) == (8, 6, 0, 6)
    assert point["goodput"]["share"] == 1
    assert point["server"]["snapshots"] >= 2
    assert [one.points[0].model_dump(mode="json") for one in read_results(newest())] == [point]
    interrupt(newest(), DSR1)
    assert len(read_results(newest())) == 1
    run = newest()
    with open_bench(run) as bench, started_by_hand(run, bench, print) as copy:
        assert copy.target.url != bench.target.url
        listed = httpx.get(f"{copy.target.url}/v1/models", trust_env=False, timeout=30).json()
        assert [one["id"] for one in listed["data"]] == ["tiny"]
        (folder,) = {one.partition("/hosts/")[0] for one in by_hand_folders()}
    until(lambda: of_run(Path(folder)) == [])
    assert run_status(run).state.phase == "ready"


def by_hand_folders() -> list[str]:
    """That processes of a script by hand stand in."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if "dsr1-by-hand-" in process.cwd():
                found.append(process.cwd())
    return found


def interrupt(run: Run, dsr1: tuple[str, ...]) -> None:
    """By SIGTERM, once the driver is there: code 4, and none is left."""
    url = run.plan().service.url
    command = (*dsr1, "bench", run.name, *LOAD, "--requests", "90000")
    with begun(command, stderr=subprocess.PIPE, text=True) as bench:
        until(lambda: drivers_of(url) != [])
        bench.send_signal(signal.SIGTERM)
        _, said = bench.communicate(timeout=HANGS_S)
    assert bench.returncode == 4
    assert "interrupted: the driver was ended" in said
    until(lambda: drivers_of(url) == [])

"""dsr1-slice as one DEP engine over all GPUs of this host, behind Dynamo's frontend: expert
parallel over NCCL.

The first start compiles, ten minutes; the others find what it compiled.
"""

import json
import re
import time
from pathlib import Path

import psutil
import pytest
from tests.answers import data_of
from tests.gpu.host import Slice, dsr1, used_memory

from dsr1.launcher.operate.status import run_status
from dsr1.launcher.run.stop import stop_run
from dsr1.launcher.run.store import Run

pytestmark = [pytest.mark.gpu, pytest.mark.timeout(2400)]


@pytest.fixture(scope="module")
def caches(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("caches")


@pytest.fixture
def gpus(slice_here: Slice) -> int:
    count = len(used_memory())
    if count < 2:
        pytest.skip(f"{count} GPU here: DEP needs several")
    return count


def over_all(gpus: int, *more: str) -> tuple[str, ...]:
    return ("stack=dynamo", f"engines.main.ranks_per_node={gpus}", *more)


def answering(run: Run) -> list[int]:
    told = dsr1("smoke", run.name, "--json")
    assert told.returncode == 0, told.stderr
    return sorted(answer["rank"] for answer in data_of(told.stdout)["answers"])


def kill_core(run: Run, rank: int) -> None:
    """SIGKILL for the EngineCore of one rank, among the processes that the run recorded."""
    records = [
        json.loads(file.read_bytes())
        for file in (run.folder / "hosts").glob("*/processes/main-*.json")
    ]
    family = [
        child
        for record in records
        for child in psutil.Process(record["pid"]).children(recursive=True)
    ]
    named = re.compile(rf"EngineCore_DP{rank}\b")
    (core,) = (child for child in family if named.search(title(child)))
    core.kill()


def title(process: psutil.Process) -> str:
    """What it calls itself; nothing of one that has ended: vLLM leaves ten zombies in a run of four
    ranks."""
    try:
        return f"{process.name()} {' '.join(process.cmdline())}"
    except (psutil.ZombieProcess, psutil.NoSuchProcess):
        return ""


def wait_for_the_end(run: Run) -> None:
    deadline = time.monotonic() + 120
    while not run.state().ended:
        assert time.monotonic() < deadline, run.state()
        time.sleep(0.2)


def test_every_layout_serves_on_every_rank(slice_here: Slice, gpus: int) -> None:
    idle, told = used_memory(), {}
    for name, layout in (("cold", "per_node"), ("warm", "per_node"), ("each", "per_gpu")):
        run = slice_here.launch(name, *over_all(gpus, f"engines.main.layout={layout}"))
        told[name] = (run.state().ready_after, used_memory())
        assert answering(run) == list(range(gpus))
        assert stop_run(run) == ()
        assert used_memory() == idle
    print(told)


def test_a_killed_rank_ends_all_of_a_balanced_engine(slice_here: Slice, gpus: int) -> None:
    balanced = (
        f"engines.main.eplb={{num_redundant_experts: {gpus}, window_size: 10, step_interval: 20}}"
    )
    idle, run = used_memory(), slice_here.launch("balanced", *over_all(gpus, balanced))
    assert answering(run) == list(range(gpus))
    kill_core(run, gpus - 1)
    wait_for_the_end(run)
    assert run.state().reason.startswith("main-0 ended")
    assert list(run_status(run).alive) == []
    assert used_memory() == idle


def test_a_rank_finds_the_room_that_the_check_says(slice_here: Slice, gpus: int) -> None:
    run = slice_here.launch("room", *over_all(gpus))
    checked = dsr1(
        "check", *slice_here.words(*over_all(gpus)), "--only", "cfg.memory", "--all", "--json"
    )
    logs = "".join(
        file.read_text(errors="replace") for file in (run.folder / "hosts").rglob("*.log")
    )
    assert stop_run(run) == ()
    measured = re.findall(r"Available KV cache memory: ([\d.]+) GiB", logs)
    said = re.findall(r"([\d.]+) GiB for the KV cache", data_of(checked.stdout)[0]["seen"])
    assert float(said[0]) == pytest.approx(min(map(float, measured)), rel=0.1)

"""dsr1-slice as one DEP engine over all GPUs of this host, behind Dynamo's frontend: expert
parallel over NCCL.

The first start compiles, ten minutes; the others find what it compiled.
"""

import re
from pathlib import Path

import pytest
from tests.answers import data_of
from tests.gpu.host import REHEARSED, Trial, answering, dsr1, kept_caches, used_memory
from tests.gpu.processes import engine_core
from tests.waiting import until

from dsr1.launcher.operate.status import run_status
from dsr1.launcher.run.stop import stop_run

pytestmark = [pytest.mark.gpu, pytest.mark.timeout(2400)]


@pytest.fixture(scope="module")
def caches(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return kept_caches(tmp_path_factory)


@pytest.fixture
def gpus(trial: Trial) -> int:
    count = len(used_memory())
    if count < 2:
        pytest.skip(f"{count} GPU here: DEP needs several")
    return count


def over_all(gpus: int, *more: str) -> tuple[str, ...]:
    return ("stack=dynamo", f"engines.main.ranks_per_node={gpus}", *more)


def test_every_layout_serves_on_every_rank(trial: Trial, gpus: int) -> None:
    idle, told = used_memory(), {}
    for name, layout in (("cold", "per_node"), ("warm", "per_node"), ("each", "per_gpu")):
        run = trial.launch(name, *over_all(gpus, f"engines.main.layout={layout}"))
        told[name] = (run.state().ready_after, used_memory())
        assert answering(run) == list(range(gpus))
        assert stop_run(run) == ()
        assert used_memory() == idle
    print(told)


def test_a_killed_rank_ends_all_of_a_balanced_engine(trial: Trial, gpus: int) -> None:
    balanced = (
        f"engines.main.eplb={{num_redundant_experts: {gpus}, window_size: 10, step_interval: 20}}"
    )
    idle, run = used_memory(), trial.launch("balanced", *over_all(gpus, balanced))
    assert answering(run) == list(range(gpus))
    engine_core(run, gpus - 1).kill()
    until(lambda: run.state().ended, "the end of the run")
    named = "main-0" if REHEARSED else f"EngineCore_DP{gpus - 1} of main-0"
    assert run.state().reason.startswith(f"{named} ended")
    assert list(run_status(run).alive) == []
    assert used_memory() == idle


@pytest.mark.skipif(bool(REHEARSED), reason="a simulated engine tells no memory")
def test_a_rank_finds_the_room_that_the_check_says(trial: Trial, gpus: int) -> None:
    run = trial.launch("room", *over_all(gpus))
    checked = dsr1(
        "check", *trial.words(*over_all(gpus)), "--only", "cfg.memory", "--all", "--json"
    )
    logs = "".join(
        file.read_text(errors="replace") for file in (run.folder / "hosts").rglob("*.log")
    )
    assert stop_run(run) == ()
    measured = re.findall(r"Available KV cache memory: ([\d.]+) GiB", logs)
    said = re.findall(r"([\d.]+) GiB for the KV cache", data_of(checked.stdout)[0]["seen"])
    assert float(said[0]) == pytest.approx(min(map(float, measured)), rel=0.1)

"""Real vLLM on the CPU, behind real Dynamo and alone: two DP ranks with expert parallel, and what
happens when one dies."""

import concurrent.futures
import os
import signal
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from tests.answers import data_of
from tests.end_to_end.conftest import Dsr1
from tests.end_to_end.deployment import Site, of_run, pid_of
from tests.waiting import until

from dsr1.launcher.operate.status import run_status
from dsr1.launcher.run.store import Run

pytestmark = [pytest.mark.e2e, pytest.mark.heavy]
EARLY = ("initialising", "connecting")
SPAWN = ("--set", "runtime.env.CPU_START_METHOD=spawn", "--set", "engines.main.nodes=1")
# Whether vLLM takes the command is asked by the others: that costs as much as a rank.
UNASKED = ("--no-check",)


def test_stop_while_it_initialises(
    dsr1: Dsr1, site: Site, state: Path, newest: Callable[[], Run]
) -> None:
    """vLLM ignores SIGTERM while its engine initialises; only SIGKILL of the group ends it. Spawned
    engines import all anew, and so initialise for seconds."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        launched = pool.submit(dsr1, "launch", "tiny", "--name", "early", *site, *UNASKED, *SPAWN)
        until(lambda: (state / "runs" / "early" / "state.json").exists())
        until(lambda: any(row.phase in EARLY for row in newest().state().ranks))
        stopped = dsr1("stop", "early")
        assert (stopped.returncode, launched.result().returncode) == (0, 4)
    assert run_status(newest()).alive == ()
    assert of_run(newest().folder / "hosts") == []


def test_serves_and_ends_whole_when_a_leader_is_killed(
    dsr1: Dsr1, site: Site, newest: Callable[[], Run]
) -> None:
    """Left alone, a headless node never notices that its leader is gone, and SIGKILL of the
    leader's main leaves its EngineCore and Worker as orphans: all must go."""
    launched = dsr1("launch", "tiny", "--name", "v", *site, "--set", "engines.main.layout=headless")
    assert launched.returncode == 0, launched.stderr
    asked = dsr1("smoke", "v", "--json")
    assert asked.returncode == 0, asked.stderr
    told = data_of(asked.stdout)["answers"]
    assert [(answer["rank"], answer["tokens"]) for answer in told] == [(0, 16), (1, 16)]
    run = newest()
    leader = psutil.Process(pid_of(run, "main-0"))
    family = leader.children(recursive=True)
    assert family
    os.kill(leader.pid, signal.SIGKILL)
    until(lambda: run.state().ended)
    assert run.state().reason.startswith("main-0 ended by signal SIGKILL")
    assert list(run_status(run).alive) == []
    assert [process for process in family if process.is_running()] == []
    assert of_run(run.folder / "hosts") == []


def test_vllm_alone_and_its_silent_end(dsr1: Dsr1, site: Site, newest: Callable[[], Run]) -> None:
    """Without Dynamo both mains exit with code 0 when an EngineCore dies: a failure all the same.
    It is named itself, before its main notices; nothing of either rank stays."""
    alone = ("--set", "stack=vllm", "--set", "engines.main.layout=headless")
    launched = dsr1("launch", "tiny", "--name", "a", *site, *alone)
    assert launched.returncode == 0, launched.stderr
    asked = dsr1("smoke", "a")
    assert asked.returncode == 0, asked.stderr
    assert "rank 1 of main-0: " in asked.stdout
    run = newest()
    family = psutil.Process(pid_of(run, "main-1")).children(recursive=True)
    next(process for process in family if "EngineCore" in " ".join(process.cmdline())).kill()
    until(lambda: run.state().ended)
    assert run.state().phase == "failed"
    assert run.state().reason == "EngineCore_DP1 of main-1 ended by signal SIGKILL, unasked"
    assert [process for process in family if process.is_running()] == []
    assert of_run(run.folder / "hosts") == []

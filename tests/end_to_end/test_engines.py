"""Engines that fail alone: what else the deployment has serves on."""

import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import httpx
import psutil
from tests.end_to_end.conftest import Dsr1
from tests.end_to_end.deployment import Site, of_run, pid_of
from tests.end_to_end.load import Load, instance_of
from tests.end_to_end.test_mocker import kill_supervisor
from tests.waiting import until

from dsr1.launcher.lifecycle.changes import WantedChange
from dsr1.launcher.run.record.history import read_history
from dsr1.launcher.run.store import Run
from dsr1.launcher.smoke.readiness import generate_workers

MOCKED = ("--set", "stack=mocker")
REPLICAS = (*MOCKED, "--set", "engines.main={nodes: 1, replicas: 2}")
FRONTENDS = ("--set", "frontend.replicas=2")


def phase_of(run: Run, engine: str) -> str:
    return next(one.state.phase for one in run.state().engines if one.name == engine)


def times(run: Run, phase: str) -> int:
    """How often the second replica has come to that phase: it may be past it in no time."""
    return sum((one.engine, one.what) == ("main-r1", phase) for one in read_history(run))


def has_come(run: Run, phase: str, before: int) -> bool:
    return times(run, phase) > before


def change_of(run: Run) -> WantedChange:
    change = run.wanted_change()
    assert change is not None
    return change


def run_and_lose_supervisor(
    dsr1: Dsr1, run: Run, verb: str, *argv: str, phases: tuple[str, ...] = ("running",)
) -> str:
    """What a verb says whose supervisor dies meanwhile, in one of these phases of its change."""
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(dsr1, verb, run.name, *argv)
        until(lambda: change_of(run).verb == verb and change_of(run).phase in phases)
        kill_supervisor(run)
        return asked.result().stderr


def serves(run: Run, process: str = "") -> bool:
    """With a process, it lives, too: for a moment after its death the state is as it was before."""
    ready = run.state().phase == "ready"
    return ready and (not process or psutil.pid_exists(pid_of(run, process)))


def lists_who_lives(run: Run) -> bool:
    """Every frontend, and none of the dead, whose leases last for some seconds: until then the
    router gives them requests."""
    service = run.plan().service
    listed = (httpx.get(f"{url}/health", trust_env=False).json() for url in service.frontend_urls)
    return all(len(generate_workers(health, service.namespace)) == 2 for health in listed)


def test_a_replica_and_a_frontend_killed_under_load(
    dsr1: Dsr1, site: Site, newest: Callable[[], Run]
) -> None:
    """Or hung. No request of the other replica is lost, and its supervisor may die at any step."""
    again = ("--set", "restart={max: 20, backoff: 1}", "--set", "health.every=15s")
    launched = dsr1("launch", "tiny", "--name", "e", *site, *REPLICAS, *FRONTENDS, *again)
    assert launched.returncode == 0, launched.stderr
    run = newest()
    service, other = run.plan().service, pid_of(run, "main-r0-0")
    with Load(service, instance_of(service, "main-r0-0")) as load:
        os.kill(pid_of(run, "main-r1-0"), signal.SIGKILL)
        until(partial(has_come, run, "ending", 0))
        assert phase_of(run, "main-r0") == "serving"
        until(lambda: serves(run, "main-r1-0"))
        for phase, fault in (("ending", signal.SIGKILL), ("starting", signal.SIGSTOP)):
            reached = times(run, phase)
            os.kill(pid_of(run, "main-r1-0"), fault)
            until(partial(has_come, run, phase, reached))
            kill_supervisor(run)
            assert dsr1("supervise", "e").returncode == 0
            until(lambda: serves(run, "main-r1-0"))
    assert load.failed == []
    assert pid_of(run, "main-r0-0") == other
    hung = [one.why for one in read_history(run) if one.what == "ending"][-1]
    interrupted = "its start was interrupted"  # where its supervisor's end came first
    assert hung.startswith(("rank 0 of engine main-r1 on local1 ", interrupted))
    os.kill(pid_of(run, "frontend-1"), signal.SIGKILL)
    until(lambda: any(one.engine == "frontend-1" for one in read_history(run)))
    assert dsr1("smoke", "e").returncode == 0
    until(lambda: serves(run, "frontend-1"))
    assert pid_of(run, "main-r0-0") == other
    until(lambda: lists_who_lives(run))
    with Load(service) as load:
        assert dsr1("restart", "e", "main-r0").stdout == "main-r0: restarted\n"
    assert load.failed == []
    assert pid_of(run, "main-r0-0") != other
    assert dsr1("smoke", "e").returncode == 0
    assert dsr1("stop", "e").returncode == 0
    assert of_run(run.folder / "hosts") == []


def test_an_engine_without_restarts_left_and_the_last_of_its_role(
    dsr1: Dsr1, site: Site, newest: Callable[[], Run]
) -> None:
    assert dsr1("launch", "tiny", "--name", "l", *site, *REPLICAS).returncode == 0
    run = newest()
    refused = dsr1("drain", "l", "local0")
    assert (refused.returncode, "has frontend" in refused.stderr) == (2, True)
    assert dsr1("restart", "l", "nobody").returncode == 2
    drained = dsr1("drain", "l", "local1")
    assert drained.returncode == 0, drained.stderr
    assert drained.stdout.endswith("local1: nothing of l is on it any more\n")
    assert (phase_of(run, "main-r1"), serves(run)) == ("down", True)
    until(lambda: of_run(run.folder / "hosts" / "local1") == [])
    last = dsr1("restart", "l", "local0")
    assert last.returncode == 0, last.stderr
    resumed = run_and_lose_supervisor(dsr1, run, "restart", "main-r1")
    assert "its supervisor is gone" in resumed
    assert dsr1("supervise", "l").returncode == 0
    until(lambda: phase_of(run, "main-r1") == "serving")
    until(lambda: change_of(run).phase == "done")
    os.kill(pid_of(run, "main-r1-0"), signal.SIGTERM)
    until(lambda: phase_of(run, "main-r1") == "failed")
    assert run.state().phase == "degraded"
    assert "main-r1 is failed: main-r1-0 ended with exit code 0, unasked" in run.state().reason
    nowhere = ("--set", "engines.main.env.PYTHONHOME=/nowhere", "--yes")
    bad = dsr1("update", "l", "tiny", *site, *REPLICAS, *nowhere)
    assert (bad.returncode, "all of it was undone" in bad.stderr) == (4, True), bad.stderr
    assert (phase_of(run, "main-r0"), run.state().phase) == ("serving", "degraded")
    os.kill(pid_of(run, "main-r0-0"), signal.SIGKILL)
    until(lambda: run.state().ended)
    assert (run.state().phase, run.state().exit_code) == ("failed", 4)
    assert run.state().reason.startswith("main-r0-0 ended by signal SIGKILL, unasked")
    assert of_run(run.folder / "hosts") == []


def test_scaled_and_updated_under_load(dsr1: Dsr1, site: Site, newest: Callable[[], Run]) -> None:
    """No request is lost, whatever is wrong with the recipe, and whoever dies meanwhile."""
    assert dsr1("launch", "tiny", "--name", "c", *site, *REPLICAS).returncode == 0
    run = newest()
    for wrong in ("main=0", "main", "nobody=2"):
        assert dsr1("scale", "c", wrong).returncode == 2
    recipe = ("tiny", *site, *MOCKED, "--set", "engines.main={nodes: 1, replicas: 3}", "--yes")
    with Load(run.plan().service) as load:
        assert dsr1("scale", "c", "main=3").stdout == "main-r2: added\n"
        other = pid_of(run, "main-r1-0")
        bad = (*recipe, "--set", "engines.main.env.PYTHONHOME=/nowhere")
        run_and_lose_supervisor(dsr1, run, "update", *bad, phases=("undoing", "failed"))
        assert dsr1("supervise", "c").returncode == 0
        until(lambda: change_of(run).is_over and serves(run))
        assert change_of(run).words.endswith("all of it was undone")
        assert pid_of(run, "main-r1-0") == other
        fewer = (*recipe, "--set", "engines.main={nodes: 1, replicas: 1, max_num_seqs: 8}")
        updated = dsr1("update", "c", *fewer)
        assert (updated.returncode, updated.stderr) == (0, "")
        beside = "main-r1 goes\nmain-r2 goes\nmain-r3 comes\nmain-r0 goes\n"  # its host is free
        assert beside in updated.stdout
    assert load.failed == []
    assert {one.engine for one in run.plan().ranks} == {"main-r3"}
    assert run.recipe().engines["main"].max_num_seqs == 8
    assert serves(run)
    assert dsr1("smoke", "c").returncode == 0
    assert dsr1("stop", "c").returncode == 0
    assert of_run(run.folder / "hosts") == []

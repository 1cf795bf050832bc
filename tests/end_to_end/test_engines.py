"""Engines that fail alone: what else the deployment has serves on."""

import os
import signal
from collections.abc import Callable

from tests.end_to_end.conftest import Dsr1
from tests.end_to_end.deployment import Site, of_run, pid_of, until
from tests.end_to_end.load import Load, instance_of
from tests.end_to_end.test_mocker import kill_supervisor

from dsr1.launcher.run.store import Run

REPLICAS = ("--set", "stack=mocker", "--set", "engines.main={nodes: 1, replicas: 2}")
FRONTENDS = ("--set", "frontend.replicas=2")


def phase_of(run: Run, engine: str) -> str:
    return next(one.state.phase for one in run.state().engines if one.name == engine)


def serves(run: Run) -> bool:
    return run.state().phase == "ready"


def test_a_replica_and_a_frontend_killed_under_load(
    dsr1: Dsr1, site: Site, newest: Callable[[], Run]
) -> None:
    """No request of the other replica is lost, and its supervisor may die at any step."""
    again = ("--set", "restart={max: 20, backoff: 1}")
    launched = dsr1("launch", "tiny", "--name", "e", *site, *REPLICAS, *FRONTENDS, *again)
    assert launched.returncode == 0, launched.stderr
    run = newest()
    service, other = run.plan().service, pid_of(run, "main-r0-0")
    with Load(service, instance_of(service, "main-r0-0")) as load:
        os.kill(pid_of(run, "main-r1-0"), signal.SIGKILL)
        until(lambda: run.state().phase == "degraded")
        assert phase_of(run, "main-r0") == "serving"
        until(lambda: serves(run), 120)
        for phase in ("ending", "starting"):
            os.kill(pid_of(run, "main-r1-0"), signal.SIGKILL)
            until(lambda phase=phase: phase_of(run, "main-r1") == phase)  # type: ignore[misc]
            kill_supervisor(run)
            assert dsr1("supervise", "e").returncode == 0
            until(lambda: serves(run), 120)
    assert (load.failed, load.answered > 20) == ([], True)
    assert pid_of(run, "main-r0-0") == other
    os.kill(pid_of(run, "frontend-1"), signal.SIGKILL)
    until(lambda: run.state().phase == "degraded")
    assert dsr1("smoke", "e").returncode == 0
    until(lambda: serves(run), 120)
    assert pid_of(run, "main-r0-0") == other
    assert dsr1("smoke", "e").returncode == 0
    assert dsr1("stop", "e").returncode == 0
    assert of_run(run.folder / "hosts") == []


def test_an_engine_without_restarts_left_and_the_last_of_its_role(
    dsr1: Dsr1, site: Site, newest: Callable[[], Run]
) -> None:
    assert dsr1("launch", "tiny", "--name", "l", *site, *REPLICAS).returncode == 0
    run = newest()
    os.kill(pid_of(run, "main-r1-0"), signal.SIGTERM)
    until(lambda: phase_of(run, "main-r1") == "failed")
    assert run.state().phase == "degraded"
    assert "main-r1 is failed: main-r1-0 ended with exit code 0, unasked" in run.state().reason
    os.kill(pid_of(run, "main-r0-0"), signal.SIGKILL)
    until(lambda: run.state().ended)
    assert (run.state().phase, run.state().exit_code) == ("failed", 4)
    assert run.state().reason.startswith("main-r0-0 ended by signal SIGKILL, unasked")
    assert of_run(run.folder / "hosts") == []

"""Real vLLM on the CPU behind real Dynamo: two DP ranks with expert parallel, and what happens when one dies."""

import os
import signal
from collections.abc import Callable

import psutil
import pytest
from tests.end_to_end.conftest import Dsr1
from tests.end_to_end.test_mocker import Site, pid_of, until

from dsr1.launcher.executor import alive_processes
from dsr1.launcher.runs import Run

pytestmark = pytest.mark.e2e


def test_serves_and_ends_whole_when_a_main_is_killed(dsr1: Dsr1, site: Site, newest: Callable[[], Run]) -> None:
    """SIGKILL of a worker's main leaves its EngineCore and Worker as orphans; they must go too."""
    launched = dsr1("launch", "tiny", "--name", "v", *site)
    assert launched.returncode == 0, launched.stderr
    answer = dsr1("smoke", "v")
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.split(" -> ")[1].strip()
    run = newest()
    victim = psutil.Process(pid_of(run, "main-1"))
    family = victim.children(recursive=True)
    assert family
    os.kill(victim.pid, signal.SIGKILL)
    until(lambda: run.state().ended, 60)
    assert run.state().reason.startswith("main-1 ended by signal SIGKILL")
    assert alive_processes(run) == []
    assert [process for process in family if process.is_running()] == []

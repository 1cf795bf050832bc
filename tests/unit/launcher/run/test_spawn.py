"""A supervisor whose launch was killed before it had recorded it: whether it may begin."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.waiting import begun

from dsr1.launcher.recipe.load import load_recipe
from dsr1.launcher.run.state import RunState
from dsr1.launcher.run.stop import stop_run
from dsr1.launcher.run.store import Run, new_run

BEGIN = """
import os, sys, time
from pathlib import Path
from dsr1.launcher.run.spawn import take_place
from dsr1.launcher.run.store import Run
begun_by = os.getpid()
if os.fork():
    os._exit(0)
while os.getppid() == begun_by:  # until that one is gone
    time.sleep(0.01)
run = Run(Path(sys.argv[1]))
print(take_place(run), run.supervisor() == os.getpid())
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("DSR1_STATE_DIR", str(tmp_path))
    made = new_run("r1")
    made.claim(load_recipe("dsr1-dep"), "starting")
    return made


def begin_orphaned(run: Run) -> str:
    argv = (sys.executable, "-c", BEGIN, str(run.folder))
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()


def test_it_records_itself_so_that_a_stop_finds_it(run: Run) -> None:
    assert begin_orphaned(run) == "True True"


def test_of_a_run_that_was_stopped_meanwhile_it_starts_nothing(run: Run) -> None:
    """`stop` had found nobody, and has said that nothing of the run is alive."""
    assert stop_run(run) == ()
    assert begin_orphaned(run) == "False False"
    run.save(RunState("failed", time.time()))
    assert begin_orphaned(run) == "False False"


def test_of_a_run_that_another_watches_by_now_it_starts_nothing(run: Run) -> None:
    with begun(("sleep", "600")) as other:
        run.record_supervisor(other.pid)
        assert begin_orphaned(run) == "False False"
        assert run.supervisor() == other.pid

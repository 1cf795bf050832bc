"""What a batch step makes of the run that it is for."""

from pathlib import Path

import pytest

from dsr1.hosts.errors import InputError
from dsr1.launcher.job import AGAIN_RUN, enter_run
from dsr1.launcher.recipe_file import load_recipe
from dsr1.launcher.runs import State, list_runs, new_run
from dsr1.slurm.allocation import Allocation, Place
from dsr1.slurm.handle import Handle

RECIPE = load_recipe("dsr1-dep", ("slurm.nodes=1",))
JOB = Allocation("7", "lab", (Place("node1", 0), Place("node2", 1)))


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSR1_STATE_DIR", str(tmp_path))


def test_a_script_without_a_name_is_a_run_of_its_jobs() -> None:
    run = enter_run("", RECIPE, JOB)
    assert (run.name, run.job(), run.state().phase) == ("dsr1-dep-7", Handle("lab", "7"), "starting")
    assert run.allocation() == JOB


def test_requeued_it_is_the_same_run_and_meets_nothing_of_before() -> None:
    first = enter_run("r", RECIPE, JOB)
    (first.folder / "discovery" / "worker").touch()
    first.save(State("stopped", 1.0, reason="Slurm told the job to end"))
    again = enter_run("r", RECIPE, JOB)
    assert (len(list_runs()), again.state().phase) == (1, "starting")
    assert list((again.folder / "discovery").iterdir()) == []


def test_another_jobs_run_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    other = Allocation("8", "lab", JOB.places)
    enter_run("r", RECIPE, JOB)
    with pytest.raises(InputError, match="it is of job 7"):
        enter_run("r", RECIPE, other)
    monkeypatch.setenv(AGAIN_RUN, "r")  # the job before it has submitted it
    assert enter_run("r", RECIPE, other).job() == Handle("lab", "8")


def test_a_launch_that_hasnt_written_down_its_job_yet() -> None:
    run = new_run("r")
    run.claim(RECIPE, "queued")
    assert enter_run("r", RECIPE, JOB).job() == Handle("lab", "7")

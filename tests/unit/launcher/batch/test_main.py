"""What a batch step makes of the run that it is for."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.waiting import until

from dsr1.hosts.errors import InputError
from dsr1.launcher.batch.main import (
    AGAIN_NUMBER,
    AGAIN_RUN,
    StopSignals,
    enter_run,
    goes_on,
    run_in_job,
    submit_again,
)
from dsr1.launcher.recipe.load import load_recipe
from dsr1.launcher.run.signals import interrupted_if
from dsr1.launcher.run.state import RunState
from dsr1.launcher.run.store import list_runs, new_run
from dsr1.launcher.run.supervision.messages import StopRequested
from dsr1.slurm.allocation import AllocatedHost, Allocation
from dsr1.slurm.handle import JobHandle
from dsr1.slurm.testing.fake import FakeSlurm

RECIPE = load_recipe("dsr1-dep", ("slurm.nodes=1",))
JOB = Allocation("7", "lab", (AllocatedHost("node1", 0), AllocatedHost("node2", 1)))


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSR1_STATE_DIR", str(tmp_path))


def test_a_script_without_a_name_is_a_run_of_its_jobs() -> None:
    run = enter_run("", RECIPE, JOB)
    assert (run.name, run.job(), run.state().phase) == (
        "dsr1-dep-7",
        JobHandle("lab", "7"),
        "starting",
    )
    assert run.allocation() == JOB


def test_requeued_it_is_the_same_run_and_meets_nothing_of_before() -> None:
    first = enter_run("r", RECIPE, JOB)
    (first.folder / "discovery" / "worker").touch()
    first.save(RunState("stopped", 1.0, reason="Slurm told the job to end"))
    again = enter_run("r", RECIPE, JOB)
    assert (len(list_runs()), again.state().phase) == (1, "starting")
    assert list((again.folder / "discovery").iterdir()) == []


def test_another_jobs_run_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    other = Allocation("8", "lab", JOB.places)
    enter_run("r", RECIPE, JOB)
    with pytest.raises(InputError, match="it is of job 7"):
        enter_run("r", RECIPE, other)
    monkeypatch.setenv(AGAIN_RUN, "r")  # the job before it has submitted it
    assert enter_run("r", RECIPE, other).job() == JobHandle("lab", "8")


def test_a_launch_that_hasnt_written_down_its_job_yet() -> None:
    run = new_run("r")
    run.claim(RECIPE, "queued")
    assert enter_run("r", RECIPE, JOB).job() == JobHandle("lab", "7")


def test_its_launch_has_told_the_user_how_its_job_is_called() -> None:
    """A squeue without JSON doesn't say of which cluster."""
    run = new_run("r")
    run.claim(RECIPE, "queued")
    run.save_job(JobHandle("cluster", "7", "dsr1-r-0"))
    assert enter_run("r", RECIPE, JOB).job() == JobHandle("cluster", "7")


@pytest.fixture
def ending() -> Iterator[StopSignals]:
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    yield StopSignals()
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


def test_what_is_asked_to_stop_after_the_warning_isnt_submitted_again(ending: StopSignals) -> None:
    with pytest.raises(StopRequested, match="time limit is near"):
        signal.raise_signal(signal.SIGUSR1)
    assert ending.warned_only
    with pytest.raises(StopRequested, match="asked to stop"):
        signal.raise_signal(signal.SIGINT)
    assert not ending.warned_only


def test_a_file_asks_before_there_is_a_supervisor_that_looks(ending: StopSignals) -> None:
    """As of `stop` while slurmctld is down, and the job still checks its hosts."""
    run = enter_run("r", RECIPE, JOB)
    run.ask_to_stop()
    with pytest.raises(StopRequested, match="asked to stop"), interrupted_if(run.is_asked_to_stop):
        until(lambda: False)
    assert not ending.warned_only


@pytest.mark.parametrize("becomes", ["another's", "gone"])
def test_a_job_whose_name_is_another_runs_by_now_leaves_that_alone(
    ending: StopSignals, becomes: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By `launch --replace`, or `rm`, here while it asks Slurm for its time limit."""
    fake = FakeSlurm(tmp_path / "slurm")
    monkeypatch.setenv("PATH", f"{fake.install()}:{os.environ['PATH']}")
    short = {"state": "RUNNING", "reason": "", "code": 0, "signal": 0, "nodes": 1}
    number = fake.add(short | {"options": {"time": "1"}})
    job = Allocation(number, "fake", (AllocatedHost("node1"),))
    run, other = enter_run("r", RECIPE, job), new_run("other")
    other.claim(RECIPE, "queued")
    other_id = other.run_id()
    take = f"mv {other.folder} {run.folder}" if becomes == "another's" else ":"
    squeue = fake.folder / "bin" / "squeue"
    squeue.write_text(squeue.read_text().replace("\nexec", f"\nrm -r {run.folder}; {take}\nexec"))
    assert run_in_job(run, RECIPE, job, (), ending) == 2
    assert run.folder.exists() == (becomes == "another's")
    if run.folder.exists():
        assert (new_run("r").run_id(), new_run("r").state().phase) == (other_id, "queued")


def test_so_often_and_not_after_a_failure() -> None:
    twice = load_recipe("dsr1-dep", ("slurm.nodes=1", "slurm.resubmit=2"))
    assert [goes_on(RunState("stopped", 1.0), number, twice) for number in (1, 2, 3)] == [
        True,
        True,
        False,
    ]
    assert not goes_on(RunState("failed", 1.0), 1, twice)
    assert not goes_on(RunState("stopped", 1.0), 1, RECIPE)


def test_the_next_job_is_told_of_its_run_and_not_of_this_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeSlurm(tmp_path / "slurm")
    monkeypatch.setenv("PATH", f"{fake.install()}:{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    told = tmp_path / "told"
    run = enter_run("r", RECIPE, JOB)
    run.save_script(f"#!/bin/bash\nenv > {told}.new; mv {told}.new {told}\n")
    monkeypatch.chdir(tmp_path)
    submit_again(run, JOB, 2)
    assert (run.job(), run.state().phase) == (JobHandle("lab", "1"), "queued")
    while not told.exists():
        time.sleep(0.02)
    lines = told.read_text().splitlines()
    assert {f"{AGAIN_RUN}=r", f"{AGAIN_NUMBER}=2", "SLURM_JOB_ID=1"} <= set(lines)

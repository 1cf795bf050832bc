"""Nothing but a run's own job is touched, whatever a site's wrappers say, and every job that came
of a launch has an owner."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dsr1.hosts.errors import HostError, InputError, LaunchFailed
from dsr1.launcher.batch.launch import launch_job
from dsr1.launcher.batch.main import enter_run
from dsr1.launcher.batch.stop import stop_job
from dsr1.launcher.operate.status import run_status, stop_any
from dsr1.launcher.recipe.load import load_recipe
from dsr1.launcher.run.backend import LaunchRequest
from dsr1.launcher.run.folder import SCHEMA_FILE
from dsr1.launcher.run.state import RunState
from dsr1.launcher.run.store import Run, list_runs, new_run
from dsr1.slurm.allocation import AllocatedHost, Allocation
from dsr1.slurm.client import own_user
from dsr1.slurm.handle import JobHandle
from dsr1.slurm.job_queue import Queue
from dsr1.slurm.testing.fake import FakeSlurm

RECIPE = load_recipe("dsr1-dep", ("slurm.nodes=1",))
OTHERS = {
    "state": "RUNNING", "reason": "", "code": 0, "signal": 0, "nodes": 1,
    "options": {"job-name": "somebody-elses"}, "hosts": ["node1"],
}  # fmt: skip
Wrap = Callable[[str], None]


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSlurm:
    """Job 1 is the user's, and no run."""
    made = FakeSlurm(tmp_path / "slurm")
    monkeypatch.setenv("PATH", f"{made.install()}:{os.environ['PATH']}")
    monkeypatch.setenv("DSR1_STATE_DIR", str(tmp_path / "state"))
    made.add(OTHERS)
    made.hold("Priority")
    return made


@pytest.fixture
def wrap(fake: FakeSlurm) -> Wrap:
    """A site's own sbatch: lines of shell in which `real` is the true one. It wraps submissions
    alone, not `--test-only`."""
    program = fake.folder / "bin" / "sbatch"

    def write(lines: str) -> None:
        real = program.with_name("sbatch.real")
        program.rename(real)
        program.write_text(
            f'#!/bin/bash\nreal() {{ {real} "$@"; }}\n'
            f'case "$*" in *--test-only*) real "$@"; exit;; esac\n{lines}\n'
        )
        program.chmod(0o755)

    return write


def launch(name: str = "r") -> None:
    launch_job(LaunchRequest(RECIPE, name, wait=False), (), lambda _: None)


ANSWERS = {
    "a note with another job's number": 'echo "Note: job 1 of yours runs already"; real "$@"',
    "the number alone, whatever is asked": "real --job-name=x \"$@\" | grep -o '[0-9]*'",
    "a good day": 'real "$@"; echo "Have a nice day"',
    "another job's number": 'real "$@" >/dev/null; echo 1',
    "the words of an sbatch without --parsable": 'echo "Submitted batch job $(real "$@")"',
    "nothing": 'real "$@" >/dev/null',
    "number and cluster": 'echo "$(real "$@");fake"',
}


@pytest.mark.parametrize("lines", ANSWERS.values(), ids=ANSWERS)
def test_the_runs_own_job_is_recorded_and_cancelled(
    lines: str, fake: FakeSlurm, wrap: Wrap
) -> None:
    wrap(lines)
    launch()
    (run,) = list_runs()
    assert run.job() == JobHandle("fake", "2")
    assert stop_any(run) == ()
    assert (fake.job("1")["state"], fake.job("2")["state"]) == ("RUNNING", "CANCELLED")


@pytest.mark.parametrize("lines", ['real "$@" >/dev/null; exit 1', 'real "$@"; kill -9 $$'])
def test_a_job_of_an_sbatch_that_failed_is_cancelled_and_leaves_no_run(
    lines: str, fake: FakeSlurm, wrap: Wrap
) -> None:
    wrap(lines)
    with pytest.raises(InputError, match="job 2, submitted all the same, was cancelled"):
        launch()
    assert (fake.job("2")["state"], list_runs()) == ("CANCELLED", [])
    assert fake.job("1")["state"] == "RUNNING"


def test_where_no_job_came_of_it_the_run_says_so_and_stop_clears_it(
    fake: FakeSlurm, wrap: Wrap
) -> None:
    wrap("echo 1")
    with pytest.raises(
        LaunchFailed, match=r"sbatch answered '1', and Slurm knows no job named dsr1-r-"
    ):
        launch()
    (run,) = list_runs()
    assert (run.job(), "sbatch answered '1'" in run_status(run).state.reason) == (None, True)
    assert (stop_any(run), run.state().phase, fake.job("1")["state"]) == ((), "stopped", "RUNNING")


def test_a_job_that_nobody_wrote_down_is_found_by_its_name(fake: FakeSlurm, wrap: Wrap) -> None:
    """As after a launch that was killed between sbatch and its record."""
    launch()
    (run,) = list_runs()
    (run.folder / "job.json").unlink()
    assert run_status(run).state.reason == "job 2 waits (Priority)"
    assert run.job() == JobHandle("fake", "2")
    (run.folder / "job.json").unlink()
    assert (stop_any(run), fake.job("2")["state"]) == ((), "CANCELLED")


def test_a_number_that_is_another_jobs_by_now_is_left_alone(fake: FakeSlurm) -> None:
    """slurmctld has lost its state and counts anew, or the file is another cluster's."""
    launch()
    (run,) = list_runs()
    own = run.job()
    assert own is not None
    run.save_job(JobHandle("fake", "1", own.name))
    assert "Slurm knows nothing of job 1 any more" in run_status_after_a_while(run.name)
    assert stop_job(run) == ()
    assert fake.job("1")["state"] == "RUNNING"
    assert [call for call in fake.calls("scancel") if call.split()[-1] == "1"] == []


def run_status_after_a_while(name: str) -> str:
    """A job may be unknown for a moment; the run is older than that."""
    run = new_run(name)
    run.save(RunState("queued", time.time() - 3600))
    return run_status(run).state.reason


def test_an_sbatch_that_answers_late_leaves_the_next_run_of_the_name_alone(
    fake: FakeSlurm, wrap: Wrap
) -> None:
    """Meanwhile its launch's run was stopped and removed, and another has the name."""
    other, launched = new_run("other"), new_run("r")
    other.claim(RECIPE, "queued")
    run_id = other.run_id()
    wrap(f'real "$@"; rm -r {launched.folder}; mv {other.folder} {launched.folder}')
    with pytest.raises(LaunchFailed, match="r: it was removed while job 2 was submitted"):
        launch()
    assert fake.job("2")["state"] == "CANCELLED"
    assert (launched.run_id(), launched.job(), launched.state().phase) == (run_id, None, "queued")


def test_nor_is_one_of_another_user(fake: FakeSlurm, tmp_path: Path) -> None:
    number = fake.add(OTHERS | {"user": "somebody"})
    Queue(tmp_path / "squeue.json").cancel(JobHandle("fake", number, "somebody-elses"))
    assert (fake.job(number)["state"], fake.calls("scancel")) == ("RUNNING", [])


def test_a_job_whose_launch_took_its_run_back_starts_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DSR1_STATE_DIR", str(tmp_path))
    job = Allocation("7", "lab", (AllocatedHost("node1"),))
    with pytest.raises(InputError, match="this job's run is gone"):
        enter_run("r", RECIPE, job, "0" * 32)
    run = new_run("r")
    run.claim(RECIPE, "queued")
    with pytest.raises(InputError, match="another launch's run by now"):
        enter_run("r", RECIPE, job, "0" * 32)
    assert enter_run("r", RECIPE, job, run.run_id()).job() == JobHandle("lab", "7")


HEARS_ALL = """
import signal
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)
from dsr1.launcher.cli.main import main
main()
"""
"""Also where the tests run in the background, or under nohup: what ignores signals passes that on."""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
@pytest.mark.parametrize("moment", ["in the queue", "during sbatch"])
def test_what_ends_a_launch_takes_its_job_back(
    number: signal.Signals, moment: str, fake: FakeSlurm, wrap: Wrap, tmp_path: Path
) -> None:
    submitted = tmp_path / "submitted"
    pause = "sleep 1" if moment == "during sbatch" else ":"
    wrap(f'real "$@"; touch {submitted}; {pause}')
    words = ["launch", "dsr1-dep", "--slurm", "--nodes", "1", "--name", "r", "--no-check"]
    with subprocess.Popen(
        (sys.executable, "-c", HEARS_ALL, *words),
        stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
        process_group=0,
    ) as child:  # fmt: skip
        while not (submitted.exists() and (moment == "during sbatch" or is_recorded())):
            assert child.poll() is None
            time.sleep(0.02)
        child.send_signal(number)
        _, errors = child.communicate()
    assert (child.returncode, fake.job("2")["state"]) == (4, "CANCELLED"), errors
    assert "interrupted; everything that had been started is gone" in errors
    assert fake.job("1")["state"] == "RUNNING"


def is_recorded() -> bool:
    return any(run.job() for run in list_runs())


def test_an_sbatch_that_hangs_is_no_reason_to_lose_its_job(
    fake: FakeSlurm, wrap: Wrap, tmp_path: Path
) -> None:
    """slurmctld stops to answer just after it took the job: it is found once it answers again."""
    squeue = fake.folder / "bin" / "squeue"
    wrap(
        f'real "$@" >/dev/null; mv {squeue} {squeue}.away; printf "#!/bin/sh\\nexit 1" > {squeue}; chmod +x {squeue}'
    )
    with pytest.raises(LaunchFailed, match="Slurm does not answer"):
        launch()
    (run,) = list_runs()
    with pytest.raises(HostError, match="Slurm does not answer"):
        stop_any(run)
    (fake.folder / "bin" / "squeue.away").replace(squeue)
    assert (stop_any(run), fake.job("2")["state"]) == ((), "CANCELLED")


def test_a_refusal_for_want_of_nodes_names_those_out_of_service(fake: FakeSlurm) -> None:
    fake.refuse("sbatch: error: Requested node configuration is not available")
    with pytest.raises(InputError, match=r"shows nodes and GPUs of each partition$"):
        launch()
    fake.configure(unfit={"node3": ["drained", "bad disk"]})
    with pytest.raises(InputError, match=r"\nout of service: node3 is drained \(bad disk\)$"):
        launch()


def of_a_newer_dsr1(run: Run) -> None:
    """Also its state, whose words may mean something else."""
    (run.folder / SCHEMA_FILE).write_text("99")
    (run.folder / "state.json").write_text('{"mood": "fine"}')


def test_a_job_of_a_newer_dsr1_can_be_stopped(fake: FakeSlurm) -> None:
    launch()
    (run,) = list_runs()
    of_a_newer_dsr1(run)
    assert (stop_any(new_run("r")), fake.job("2")["state"]) == ((), "CANCELLED")


@pytest.mark.parametrize("state", ["RUNNING", "COMPLETED"])
def test_so_can_a_run_of_it_in_an_allocation_which_is_left_alone(
    fake: FakeSlurm, state: str
) -> None:
    number = fake.add(OTHERS | {"state": state, "user": own_user()})
    run = new_run("r")
    run.claim(RECIPE, "starting")
    run.save_allocation(Allocation(number, "fake", (AllocatedHost("node1"),), is_lent=True))
    run.save_job(JobHandle("fake", number))
    of_a_newer_dsr1(run)
    assert stop_any(new_run("r")) == ()
    assert fake.job(number)["state"] == state

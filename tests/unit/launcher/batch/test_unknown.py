"""Runs whose jobs Slurm knows by another name, on another cluster, or no more."""

import os
import time
from pathlib import Path

import pytest

from dsr1.hosts.errors import HostError, InputError
from dsr1.launcher.batch import stop
from dsr1.launcher.batch.launch import launch_job
from dsr1.launcher.operate.removal import remove_run
from dsr1.launcher.operate.status import phases, run_status, stop_any
from dsr1.launcher.recipe.load import load_recipe
from dsr1.launcher.run.backend import LaunchRequest
from dsr1.launcher.run.state import RunState
from dsr1.launcher.run.store import Run, new_run
from dsr1.slurm.allocation import AllocatedHost, Allocation
from dsr1.slurm.client import own_user
from dsr1.slurm.handle import JobHandle
from dsr1.slurm.testing.fake import FakeSlurm

RECIPE = load_recipe("dsr1-dep", ("slurm.nodes=1",))
OTHERS = {
    "state": "RUNNING", "reason": "", "code": 0, "signal": 0, "nodes": 1, "start": 1.0,
    "options": {"job-name": "somebody-elses"}, "hosts": ["node1"],
}  # fmt: skip


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSlurm:
    """Job 1 is the user's, and no run."""
    made = FakeSlurm(tmp_path / "slurm")
    monkeypatch.setenv("PATH", f"{made.install()}:{os.environ['PATH']}")
    monkeypatch.setenv("DSR1_STATE_DIR", str(tmp_path / "state"))
    for name, value in (("STOP_S", 0.1), ("OVER_S", 0.1), ("CANCEL_S", 0.1)):
        monkeypatch.setattr(stop, name, value)
    made.add(OTHERS)
    made.hold("Priority")
    return made


def launch(name: str = "r") -> Run:
    launch_job(LaunchRequest(RECIPE, name, wait=False), (), lambda _: None)
    return new_run(name)


def begun(fake: FakeSlurm, run: Run) -> None:
    """Its job runs, and has written that down; nobody is there to be asked to stop."""
    own = run.job()
    assert own is not None
    fake.change(own.job, state="RUNNING", start=time.time(), pid=2**22 + 1, reason="")
    run.save_allocation(Allocation(own.job, "fake", (AllocatedHost("node1"),), own.name))
    run.save(RunState("ready", 1.0))
    forget(run)


def forget(run: Run) -> None:
    """What squeue said a moment ago."""
    (run.folder.parents[1] / "squeue.json").unlink(missing_ok=True)


def rename(fake: FakeSlurm, run: Run) -> None:
    """As `scontrol update jobname` does."""
    fake.change("2", options=fake.job("2")["options"] | {"job-name": "mine"})
    forget(run)


@pytest.mark.parametrize("json", [True, False])
def test_a_job_that_was_renamed_while_it_waits_is_the_run_s_all_the_same(
    fake: FakeSlurm, json: bool
) -> None:
    fake.configure(json=json)
    run = launch()
    rename(fake, run)
    assert run_status(run).state.reason == "job 2 waits (Priority)"
    forget(run)
    assert (stop_any(run), fake.job("2")["state"]) == ((), "CANCELLED")
    assert fake.job("1")["state"] == "RUNNING"


def test_so_is_one_that_runs_and_is_neither_called_gone_nor_removed(fake: FakeSlurm) -> None:
    run = launch()
    begun(fake, run)
    rename(fake, run)
    assert phases([run]) == {"r": "ready"}
    with pytest.raises(InputError, match="r: is ready: `dsr1 stop r` first"):
        remove_run(run)
    forget(run)
    assert stop_any(run) == ("job 2 is not over yet, see squeue",)
    assert [call.split()[-1] for call in fake.calls("scancel")] == ["2", "2"]
    with pytest.raises(InputError, match="r: is ready: `dsr1 stop r` first"):
        remove_run(run)


def test_so_is_one_that_a_site_s_plugin_renamed_when_it_was_submitted(fake: FakeSlurm) -> None:
    """It is known by its script."""
    sbatch = fake.folder / "bin" / "sbatch"
    sbatch.write_text(sbatch.read_text().replace('"$@"', '"$@" --job-name=of-a-site'))
    run = launch()
    assert phases([run]) == {"r": "queued"}
    (run.folder / "job.json").unlink()  # as after a launch that was killed
    assert (stop_any(run), fake.job("2")["state"]) == ((), "CANCELLED")


@pytest.mark.parametrize("user", [own_user(), "somebody"])
def test_a_number_that_was_given_again_is_no_renamed_job(fake: FakeSlurm, user: str) -> None:
    run = launch()
    begun(fake, run)
    number = fake.add(OTHERS | {"user": user})
    (fake.folder / f"script-{number}").write_text("#!/bin/bash\ntrue\n")
    own = run.job()
    assert own is not None
    run.save_job(JobHandle("fake", number, own.name))
    assert "Slurm knows nothing of job 3 any more" in run_status(run).state.reason
    assert (stop_any(run), fake.job(number)["state"]) == ((), "RUNNING")
    assert not fake.calls("scancel")


def test_nor_is_a_task_of_an_array_whose_number_is_the_array_s(fake: FakeSlurm) -> None:
    """`scancel 2` would end all of it."""
    run = launch()
    begun(fake, run)
    fake.change("2", array=True)
    forget(run)
    assert (phases([run]), stop_any(run)) == ({"r": "failed"}, ())
    assert not fake.calls("scancel")


def test_all_that_slurm_has_forgotten_are_asked_for_once_and_then_no_more(fake: FakeSlurm) -> None:
    runs = [launch(f"r{number}") for number in range(3)]
    for number, run in enumerate(runs):
        begun(fake, run)
        (fake.folder / f"job-{number + 2}.json").unlink()
    before = {tool: len(fake.calls(tool)) for tool in ("scontrol", "squeue")}
    assert set(phases(runs).values()) == {"failed"}
    calls = {tool: len(fake.calls(tool)) - before[tool] for tool in before}
    assert calls == {"scontrol": 1, "squeue": 2}
    forget(runs[0])
    sacct = len(fake.calls("sacct"))
    assert set(phases(runs).values()) == {"failed"}
    assert len(fake.calls("scontrol")) == before["scontrol"] + 1
    assert len(fake.calls("sacct")) == sacct
    assert "Slurm knows nothing of job 2 any more; when last" in run_status(runs[0]).state.reason


def test_one_that_slurm_knows_again_is_no_longer_forgotten(fake: FakeSlurm) -> None:
    """An administrator has given slurmctld its state back."""
    run = launch()
    begun(fake, run)
    job = fake.folder / "job-2.json"
    job.rename(job.with_name("away.json"))
    assert phases([run]) == {"r": "failed"}
    job.with_name("away.json").rename(job)
    forget(run)
    assert phases([run]) == {"r": "ready"}


def test_a_job_that_was_over_and_is_requeued_waits_again(fake: FakeSlurm) -> None:
    run = launch()
    begun(fake, run)
    options = fake.job("2")["options"] | {"requeue": ""}
    fake.change("2", state="FAILED", end=time.time(), options=options)
    forget(run)
    assert phases([run]) == {"r": "failed"}
    fake.change("2", state="PENDING", reason="BeginTime", restarts=1)
    forget(run)
    assert phases([run]) == {"r": "queued"}
    with pytest.raises(InputError, match="r: is queued: `dsr1 stop r` first"):
        remove_run(run)


@pytest.mark.parametrize("said", ["ready", "failed", "stopped"])
def test_what_was_said_before_a_requeue_isn_t_how_it_is_now(fake: FakeSlurm, said: str) -> None:
    """Its job has begun anew, and hasn't entered its run yet."""
    run = launch()
    begun(fake, run)
    run.save(RunState(said, time.time() + 60))  # by a node's clock
    fake.change("2", restarts=1)
    forget(run)
    assert phases([run]) == {"r": "starting"}
    fake.change("2", state="CANCELLED", end=time.time())
    forget(run)
    assert run_status(run).state.reason == "job 2 ended as CANCELLED before it began"


def test_none_is_called_gone_whose_cluster_is_another_one_s(fake: FakeSlurm) -> None:
    """Two clusters share a home: the other's Slurm knows nothing of it."""
    run = launch()
    begun(fake, run)
    job = fake.folder / "job-2.json"
    job.rename(job.with_name("away.json"))
    forget(run)
    fake.configure(cluster="other")
    doubts: list[str] = []
    assert phases([run], doubts.append) == {"r": "ready"}
    assert doubts == [
        "job 2 is of the cluster fake, which isn't asked here; this is what was written last"
    ]
    with pytest.raises(InputError, match="r: is ready: `dsr1 stop r` first"):
        remove_run(run)
    with pytest.raises(HostError, match=r"job 2 is of the cluster fake, .* login node of that one"):
        stop_any(run)
    assert not fake.calls("scancel")
    fake.configure(cluster="fake")
    assert "Slurm knows nothing of job 2 any more" in run_status(run).state.reason


def test_nor_is_one_that_another_cluster_of_a_federation_has_begun(fake: FakeSlurm) -> None:
    run = launch()
    begun(fake, run)
    fake.change("2", state="REVOKED")
    forget(run)
    assert phases([run]) == {"r": "ready"}
    with pytest.raises(HostError, match="job 2 was begun by another cluster of the federation"):
        stop_any(run)


def test_a_stop_ends_its_own_job_though_another_run_takes_the_name_meanwhile(
    fake: FakeSlurm, tmp_path: Path
) -> None:
    """`launch --replace`, as soon as the first run says that it is over."""
    run = launch()
    begun(fake, run)
    second = launch("next")
    scancel = fake.folder / "bin" / "scancel"
    away = f"rm -rf {run.folder}; mv {second.folder} {run.folder}"
    scancel.write_text(
        scancel.read_text().replace("\nexec", f"\n[ -d {second.folder} ] && {away}\nexec")
    )
    assert stop_any(run) == ("job 2 is not over yet, see squeue",)
    assert {call.split()[-1] for call in fake.calls("scancel")} == {"2"}
    assert (fake.job("3")["state"], new_run("r").state().phase) == ("PENDING", "queued")


@pytest.mark.parametrize("state", ["SUSPENDED", "STOPPED"])
def test_a_job_whose_clock_is_stopped_is_cancelled_and_not_asked(
    fake: FakeSlurm, state: str
) -> None:
    """Its supervisor would not hear it, which `stop` waited for."""
    run = launch()
    begun(fake, run)
    fake.change("2", state=state)
    forget(run)
    assert phases([run]) == {"r": "suspended"}
    stop_any(run)
    assert list(fake.calls("scancel")) == ["scancel 2"]


def test_what_a_supervisor_could_not_prove_is_proven_by_its_job_s_end_where_nodes_answer(
    fake: FakeSlurm,
) -> None:
    """Its own steps were ended with it."""
    run, left = launch(), ("node1: its step is lost: x", "node2: its step is lost: x")
    begun(fake, run)
    run.save(RunState("stopped", time.time(), reason="Slurm told the job to end", left=left))
    fake.change("2", state="CANCELLED", end=time.time())
    fake.configure(nodes=["node1"])
    assert stop_any(run) == left  # Slurm says nothing of node2
    fake.configure(unfit={"node2": ["down*", "Not responding"]})
    assert stop_any(run) == left[1:]
    fake.configure(unfit={"node2": ["drained", "bad disk"]})
    assert (stop_any(run), run.state().left) == ((), ())

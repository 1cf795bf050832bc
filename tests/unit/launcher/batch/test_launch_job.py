"""What is refused before a job is submitted, and what is taken back while it waits."""

import os
from pathlib import Path

import pytest

from dsr1.hosts.errors import InputError, LaunchFailed
from dsr1.launcher.batch.jobs import describe_job, last_lines
from dsr1.launcher.batch.launch import launch_job, try_job
from dsr1.launcher.cli.options.common import HostOptions
from dsr1.launcher.cli.options.recipe import RecipeOptions, SlurmOptions
from dsr1.launcher.cli.render import render
from dsr1.launcher.recipe.load import load_recipe
from dsr1.launcher.run.backend import LaunchRequest
from dsr1.launcher.run.state import RunState
from dsr1.launcher.run.store import list_runs, new_run
from dsr1.slurm.handle import JobHandle
from dsr1.slurm.testing.fake import FakeSlurm

RECIPE = load_recipe("dsr1-dep", ("slurm.nodes=1",))
BAD_NAMES = ("a/b", "../x", "a" * 80, "-x", "a b")


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSlurm:
    made = FakeSlurm(tmp_path / "slurm")
    monkeypatch.setenv("PATH", f"{made.install()}:{os.environ['PATH']}")
    monkeypatch.setenv("DSR1_STATE_DIR", str(tmp_path / "state"))
    return made


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_name_that_is_none(name: str, fake: FakeSlurm) -> None:
    with pytest.raises(InputError, match="--name"):
        try_job(RECIPE, name)
    with pytest.raises(InputError, match="--name"):
        render(RecipeOptions(), HostOptions(), SlurmOptions(nodes=1), sbatch=True, name=name)
    assert fake.calls("sbatch") == []


def test_only_trying_refuses_an_output_that_is_nowhere(fake: FakeSlurm) -> None:
    with pytest.raises(InputError, match=r"slurm\.output: /none is no folder"):
        try_job(load_recipe("dsr1-dep", ("slurm.nodes=1", "slurm.output=/none/%j.out")), "r")
    assert "to start at 2030" in try_job(RECIPE, "r")


def test_a_job_that_comes_to_wait_for_ever_is_taken_back(fake: FakeSlurm) -> None:
    fake.hold("Priority")

    def then_it_changes(state: RunState) -> None:
        if "(Priority)" in state.reason:
            fake.change("1", reason="QOSMaxNodePerJobLimit")

    with pytest.raises(
        LaunchFailed, match=r"waits \(QOSMaxNodePerJobLimit\), and for ever: .*; it was taken back"
    ):
        launch_job(LaunchRequest(RECIPE, "r"), (), then_it_changes)
    assert fake.job("1")["state"] == "CANCELLED"
    assert list_runs()[0].state().phase == "stopped"


def test_a_job_that_began_before_it_was_written_down_keeps_its_word(
    fake: FakeSlurm, tmp_path: Path
) -> None:
    """The program stands for a quick slurmctld: when sbatch returns the job has entered its run."""
    sbatch, handle = tmp_path / "slurm" / "bin" / "sbatch", '{"cluster": "lab", "job": "1"}'
    begin = f"printf '%s' {handle!r} > {tmp_path}/state/runs/r/job.json"
    sbatch.write_text(
        sbatch.read_text().replace("\nexec", f"\n[ -d {tmp_path}/state/runs/r ] && {begin}\nexec")
    )
    fake.hold("Priority")
    launch_job(LaunchRequest(RECIPE, "r", wait=False), (), lambda _: None)
    assert list_runs()[0].job() == JobHandle("lab", "1")


def test_what_a_user_sets_for_sbatch_doesnt_win_over_the_recipe(
    fake: FakeSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sbatch = tmp_path / "slurm" / "bin" / "sbatch"
    sbatch.write_text(sbatch.read_text().replace("\nexec", f"\nenv > {tmp_path}/told\nexec"))
    for name in (
        "SBATCH_REQUEUE",
        "SBATCH_WAIT",
        "SBATCH_ACCOUNT",
        "SLURM_JOB_NODELIST_HET_GROUP_0",
    ):
        monkeypatch.setenv(name, "1")
    fake.hold("Priority")
    launch_job(LaunchRequest(RECIPE, "r", wait=False), (), lambda _: None)
    told = [
        line
        for line in (tmp_path / "told").read_text().splitlines()
        if line.startswith(("SBATCH", "SLURM"))
    ]
    assert (told, os.environ["SBATCH_WAIT"]) == (["SBATCH_ACCOUNT=1"], "1")


def test_a_handle_of_another_cluster_is_not_answered_by_this_ones_job(fake: FakeSlurm) -> None:
    fake.add(
        {
            "state": "PENDING",
            "reason": "Priority",
            "code": 0,
            "signal": 0,
            "nodes": 1,
            "options": {},
        }
    )
    assert "job 1 waits (Priority)" in describe_job(JobHandle("fake", "1"))
    assert "Slurm here is of the cluster fake" in describe_job(JobHandle("other", "1"))


def test_a_job_of_another_user_is_not_called_a_run_of_ours_though_it_waits(fake: FakeSlurm) -> None:
    fake.add(
        {
            "user": "root-x",
            "state": "PENDING",
            "reason": "",
            "code": 0,
            "signal": 0,
            "nodes": 1,
            "options": {},
        }
    )
    told = describe_job(JobHandle("fake", "1"))
    assert "job 1 of root-x (PENDING) is no run that is kept in" in told
    assert "appears" not in told


def test_the_last_lines_of_a_jobs_own_output_are_told(fake: FakeSlurm, tmp_path: Path) -> None:
    run = new_run("r")
    run.claim(RECIPE, "queued")
    assert last_lines(run) == []
    run.save_job(JobHandle("fake", "1", "r"))
    file = tmp_path / "state" / "jobs" / "r-1.out"
    file.parent.mkdir()
    file.write_bytes(b"x" * 9000 + b"\none\nmodule: command not found\n\xff\n")
    lines = last_lines(run)
    assert lines[1:] == ["one", "module: command not found", "\ufffd"]
    assert len(lines[0]) < 8192


def test_a_job_that_never_came_to_dsr1_says_why(fake: FakeSlurm) -> None:
    """A `module` that isn't there, and nobody else to say so; nor is the shared folder to blame."""
    recipe = load_recipe("dsr1-dep", ("slurm.nodes=1", "slurm.setup=['set -e', 'modul load x']"))
    with pytest.raises(LaunchFailed) as failed:
        launch_job(LaunchRequest(recipe, "r"), (), lambda _: None)
    assert "; the job said last: " in str(failed.value)
    assert "modul: command not found" in str(failed.value)
    assert "DSR1_STATE_DIR" not in str(failed.value)


def test_what_a_partition_allows_is_told_in_words(fake: FakeSlurm) -> None:
    fake.configure(most_time="1-00:00:00")
    recipe = load_recipe("dsr1-dep", ("slurm.nodes=9",))
    with pytest.raises(InputError, match=r"fewer nodes .*: gpu has 1 node, and allows a job 1-00"):
        launch_job(LaunchRequest(recipe, "r", wait=False), (), lambda _: None)


def test_a_limit_that_was_granted_without_being_asked_for(fake: FakeSlurm) -> None:
    """A partition's default of a minute, and a deployment that stops two before its end."""
    fake.configure(default_time="1:00")
    fake.hold("Priority")
    with pytest.raises(InputError, match=r"was granted 60 s \(partition gpu, its default"):
        launch_job(LaunchRequest(RECIPE, "r", wait=False), (), lambda _: None)
    assert (fake.job("1")["state"], list_runs()) == ("CANCELLED", [])
    recipe = load_recipe("dsr1-dep", ("slurm.nodes=1", "slurm.warn=30"))
    run = launch_job(LaunchRequest(recipe, "r", wait=False), (), lambda _: None)
    assert run.job() is not None

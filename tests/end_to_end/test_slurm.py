"""Jobs on the Slurm that dsr1 brings for tests: what is refused, what waits, and one deployment
from launch to stop."""

import os
import subprocess
import time
from pathlib import Path

import pytest
from tests.answers import data_of, phases_of
from tests.end_to_end.conftest import Dsr1
from tests.end_to_end.deployment import Site, of_run

from dsr1.slurm.testing.fake import FakeSlurm

ONE = ("--set", "stack=mocker", "--set", "engines.main={nodes: 1}")
RUNNING = {"state": "RUNNING", "reason": "", "code": 0, "signal": 0, "nodes": 1, "hosts": ["node1"]}
DEP = ("launch", "dsr1-dep", "--slurm")


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSlurm:
    made = FakeSlurm(tmp_path / "slurm", nodes=("node1", "node2"))
    monkeypatch.setenv("PATH", f"{made.install()}:{os.environ['PATH']}")
    return made


@pytest.fixture
def name() -> str:
    """No other's on this machine: what Slurm's nodes run is in their /tmp, by the run's name, and
    here all nodes are this machine."""
    return f"job-{os.getpid()}"


def told(dsr1: Dsr1, run: str) -> dict[str, object]:
    answer: dict[str, object] = data_of(dsr1("status", run, "--json").stdout)
    return answer


@pytest.mark.e2e
def test_from_launch_to_stop(
    dsr1: Dsr1, site: Site, fake: FakeSlurm, state: Path, name: str
) -> None:
    launched = dsr1("launch", "tiny", "--slurm", "--no-check", "--name", name, *site, *ONE)
    assert launched.returncode == 0, launched.stderr
    assert told(dsr1, "slurm://fake/1")["phase"] == "ready"
    assert "frontend" in dsr1("logs", name).stdout
    assert dsr1("smoke", name).returncode == 0
    assert "nothing of it is alive" in dsr1("stop", name).stdout
    assert (told(dsr1, name)["phase"], fake.job("1")["state"]) == ("stopped", "COMPLETED")
    assert of_run(state / "runs" / name / "hosts") == []
    assert "S starting" in dsr1("timeline", name).stdout
    assert dsr1("report", name, "--to", str(state / "f.html")).returncode == 0
    text = (state / "f.html").read_text()
    for part in ("slurm://fake/1", "passed: 1 rank", "# tiny.yaml:", "# --set", "# --venv"):
        assert part in text, part


@pytest.mark.e2e
def test_inside_of_an_allocation_that_stays(
    dsr1: Dsr1, site: Site, fake: FakeSlurm, state: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a shell of salloc's: its node, its options for steps, and its end."""
    fake.configure(srun_options=["--network=site"])
    options = {"job-name": "interactive", "time": "1:00:00"}
    job = fake.add({**RUNNING, "options": options, "start": time.time(), "pid": os.getpid()})
    monkeypatch.setenv("SLURM_JOB_ID", job)
    monkeypatch.setenv("SLURM_JOB_NODELIST", "node1")
    own = ("--name", name, "--set", "slurm.srun=['--network=site']", *site, *ONE)
    planned = dsr1("launch", "tiny", "--dry-run", "--no-check", *own)
    assert (planned.returncode, list(state.glob("tmp*"))) == (0, []), planned.stderr
    launched = dsr1("launch", "tiny", "--no-check", *own)
    assert launched.returncode == 0, launched.stderr
    assert f"inside of Slurm's job {job}: launched on its nodes, node1, until" in launched.stderr
    seen = told(dsr1, f"slurm://fake/{job}")
    assert (seen["phase"], seen["supervised"], bool(seen["url"])) == ("ready", True, True)
    assert dsr1("smoke", name).returncode == 0
    assert "nothing of it is alive" in dsr1("stop", name).stdout
    assert (told(dsr1, name)["phase"], fake.job(job)["state"]) == ("stopped", "RUNNING")
    assert of_run(state / "runs" / name / "hosts") == []
    assert (fake.calls("scancel"), fake.calls("sbatch")) == ([], [])
    fake.change(job, options=options | {"time": "1:30"})
    refused(dsr1("launch", "tiny", *own, "--replace"), "ends in", "slurm.warn, 120 s, before that")
    fake.change(job, state="COMPLETED")
    refused(
        dsr1("launch", "tiny", *own, "--replace"), "that job is COMPLETED; `unset SLURM_JOB_ID`"
    )


def refused(done: "subprocess.CompletedProcess[str]", *words: str) -> None:
    assert (done.returncode, "Traceback" in done.stderr) == (2, False), done.stderr
    assert [word for word in words if word not in done.stderr] == []


def test_sbatchs_own_words_and_what_to_do(dsr1: Dsr1, fake: FakeSlurm) -> None:
    refused(
        dsr1(*DEP, "--nodes", "2", "--partition", "nope"),
        "Invalid partition name",
        "`sinfo -s` lists",
    )
    fake.refuse("Invalid account or account/partition combination specified")
    refused(
        dsr1(*DEP, "--nodes", "2", "--account", "x;id"), "Invalid account", "sacctmgr show assoc"
    )
    assert fake.jobs() == []


def test_what_sbatch_would_take_and_never_run(dsr1: Dsr1, fake: FakeSlurm) -> None:
    refused(
        dsr1(*DEP, "--nodes", "9", "--name", "big"),
        "would wait for ever (PartitionNodeLimit)",
        "fewer nodes",
    )
    assert fake.job("1")["state"] == "CANCELLED"
    assert dsr1("status", "big").returncode == 5


def test_options_that_contradict(dsr1: Dsr1, fake: FakeSlurm) -> None:
    refused(dsr1(*DEP), "slurm.nodes", "say how many")
    refused(dsr1(*DEP, "--nodes", "2", "--time", "4h"), "slurm.time: '4h'")
    refused(dsr1(*DEP, "--nodes", "2", "--hosts", "a,b"), "Slurm chooses the hosts")
    refused(dsr1("launch", "dsr1-dep", "--no-wait"), "go with --slurm")
    refused(
        dsr1(*DEP, "--nodes", "2", "--set", "slurm.output=/none/%j.out"),
        "slurm.output: /none is no folder",
    )
    assert fake.calls("sbatch") == []


def test_no_slurm_here(dsr1: Dsr1, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    refused(dsr1(*DEP, "--nodes", "2"), "no Slurm on this machine", "--hosts")


def test_test_only_submits_nothing(dsr1: Dsr1, fake: FakeSlurm) -> None:
    assert "to start at 2030" in dsr1(*DEP, "--nodes", "2", "--test-only").stdout
    assert fake.jobs() == []


@pytest.mark.parametrize("version", ["22.05", "24.11"])
def test_while_they_wait_one_question_for_all_runs(
    version: str, dsr1: Dsr1, fake: FakeSlurm
) -> None:
    fake.configure(version=version, held="Resources")
    for name in ("a", "b"):
        submitted = dsr1(*DEP, "--nodes", "2", "--no-wait", "--name", name)
        assert (submitted.returncode, "slurm://fake/" in submitted.stdout) == (
            0,
            True,
        ), submitted.stderr
    fake.change("1", start=1795553638)
    asked = len(fake.calls("squeue"))
    assert phases_of(dsr1("ps", "--json").stdout) == {"a": "queued", "b": "queued"}
    assert len(fake.calls("squeue")) <= asked + 1
    early = dsr1("logs", "a")
    assert (
        early.returncode,
        "queued, and has no processes. job 1 waits (Resources)" in early.stderr,
    ) == (4, True)
    fake.change("2", state="CANCELLED")
    assert dsr1("stop", "a").returncode == 0
    assert (told(dsr1, "a")["phase"], told(dsr1, "b")["phase"]) == ("stopped", "stopped")
    assert (fake.job("1")["state"], dsr1("status", "a").returncode) == ("CANCELLED", 7)


def test_jobs_that_are_no_run_here(dsr1: Dsr1, fake: FakeSlurm) -> None:
    fake.hold("Priority")
    assert (
        subprocess.run(("sbatch",), input="#!/bin/bash\n", text=True, check=False).returncode == 0
    )
    waits, gone = dsr1("status", "slurm://fake/1"), dsr1("stop", "slurm://fake/77")
    assert (waits.returncode, gone.returncode) == (5, 5)
    assert "job 1 waits (Priority)" in waits.stderr
    assert "Slurm knows nothing of job 77" in gone.stderr

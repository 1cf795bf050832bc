"""Runs in an allocation that is their user's: its job is never taken for theirs."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from dsr1.hosts.errors import LaunchFailed
from dsr1.launcher.operate.backends import backend_name
from dsr1.launcher.run.folder import ALLOCATION
from dsr1.launcher.run.store import Run, new_run
from dsr1.slurm.allocation import Allocation
from dsr1.slurm.handle import JobHandle

LENT = Allocation("51", "lab", (), is_lent=True)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("DSR1_STATE_DIR", str(tmp_path))
    run = new_run("r")
    run.folder.mkdir(parents=True)
    return run


def test_it_lives_there_before_its_job_is_written_down_and_after(run: Run) -> None:
    run.save_allocation(LENT)
    assert backend_name(run) == "allocation"
    run.save_job(JobHandle("lab", "51"))
    assert backend_name(run) == "allocation"


@pytest.mark.parametrize("text", ["", "{", json.dumps(asdict(LENT) | {"newer": 1})])
def test_an_allocation_that_cant_be_read_is_nobodys_own_job(run: Run, text: str) -> None:
    run.save_job(JobHandle("lab", "51"))
    (run.folder / ALLOCATION).write_text(text)
    with pytest.raises(LaunchFailed, match="whether job 51 is the run's own"):
        backend_name(run)

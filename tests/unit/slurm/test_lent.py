"""When a deployment in somebody's allocation has to end."""

import os
import queue as queues
from pathlib import Path

import pytest
from tests.waiting import HANGS_S

from dsr1.slurm.allocation import AllocatedHost, Allocation
from dsr1.slurm.job_queue import Queue
from dsr1.slurm.lent import ASK_S, end_of_allocation, next_look_s, watch_allocation
from dsr1.slurm.states import JobInfo
from dsr1.slurm.testing.fake import FakeSlurm

RUNS = JobInfo("7", "RUNNING", end=1000.0)


@pytest.mark.parametrize(
    ("info", "now", "why"),
    [
        (RUNS, 100.0, ""),
        (RUNS, 879.9, ""),
        (RUNS, 880.0, "the time limit of its allocation, job 7, is near"),
        (JobInfo("7", "RUNNING"), 1e9, ""),
        (JobInfo("7", "SUSPENDED", end=1000.0), 100.0, ""),
        (JobInfo("7", "CANCELLED", end=50.0), 100.0, "its allocation, job 7, has ended"),
        (None, 100.0, "its allocation, job 7, has ended"),
    ],
)
def test_why_it_ends(info: JobInfo | None, now: float, why: str) -> None:
    assert end_of_allocation(info, "7", 120, now) == why


def test_it_is_asked_again_when_the_end_is_near_and_now_and_then() -> None:
    assert [next_look_s(RUNS, 120, now) for now in (0.0, 860.0, 879.9)] == [ASK_S, 20.0, 1.0]
    assert next_look_s(None, 120, 0.0) == ASK_S


def test_a_supervisor_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeSlurm(tmp_path / "slurm")
    monkeypatch.setenv("PATH", f"{fake.install()}:{os.environ['PATH']}")
    job = {"state": "COMPLETED", "reason": "", "code": 0, "signal": 0, "nodes": 1, "options": {}}
    lent = Allocation(fake.add(job), "fake", (AllocatedHost("node1"),), is_lent=True)
    told: queues.Queue[str] = queues.Queue()
    watch_allocation(Queue(tmp_path / "squeue.json"), lent, 120, told.put)
    assert told.get(timeout=HANGS_S) == "its allocation, job 1, has ended"

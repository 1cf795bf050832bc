"""What a run's own word and Slurm's make together."""

from dataclasses import replace

import pytest

from dsr1.launcher.batch.status import conclude, conclude_lent
from dsr1.launcher.run.state import RunState
from dsr1.slurm.states import JobInfo

READY, QUEUED, STOPPED = (
    RunState("ready", 100.0),
    RunState("queued", 100.0),
    RunState("stopped", 100.0, reason="asked to stop"),
)


def concluded(state: RunState, info: JobInfo | None, now: float = 110.0) -> tuple[str, str, int]:
    seen = conclude(state, "7", info, now)
    return seen.phase, seen.reason, seen.exit_code


def test_while_it_waits() -> None:
    phase, reason, _ = concluded(QUEUED, JobInfo("7", "PENDING", "Resources", start=1795553638.0))
    assert phase == "queued"
    assert reason.startswith("job 7 waits (Resources); expected to start 2026-11-2")


def test_what_can_never_start_says_why() -> None:
    reason = concluded(QUEUED, JobInfo("7", "PENDING", "PartitionNodeLimit"))[1]
    assert "for ever: the partition has fewer nodes" in reason


def test_a_job_just_submitted_may_not_be_known_yet() -> None:
    assert concluded(QUEUED, None)[0] == "queued"
    assert concluded(QUEUED, None, now=900.0)[0] == "failed"


def test_between_grant_and_the_supervisors_first_word() -> None:
    assert concluded(QUEUED, JobInfo("7", "RUNNING"))[0] == "starting"
    assert concluded(READY, JobInfo("7", "RUNNING"))[0] == "ready"


def test_a_job_whose_clock_is_stopped_serves_nobody() -> None:
    phase, reason, code = concluded(READY, JobInfo("7", "SUSPENDED"))
    assert (phase, code) == ("suspended", 0)
    assert reason == "job 7 is SUSPENDED; `scontrol resume 7` lets it go on"
    assert concluded(QUEUED, JobInfo("7", "SUSPENDED"))[0] == "starting"
    assert concluded(READY, JobInfo("7", "STOPPED"))[1] == (
        "job 7 is STOPPED by a signal; `scancel --full --signal=CONT 7` lets it go on, if it lives"
    )


def test_a_supervisor_that_nothing_is_heard_of_may_write_elsewhere() -> None:
    assert concluded(QUEUED, JobInfo("7", "RUNNING", start=100.0))[1] == ""
    phase, reason, _ = concluded(QUEUED, JobInfo("7", "RUNNING", start=100.0), now=200.0)
    assert (phase, "DSR1_STATE_DIR" in reason) == ("starting", True)
    assert "DSR1_STATE_DIR" in concluded(QUEUED, JobInfo("7", "FAILED", code=2))[1]
    assert "DSR1_STATE_DIR" not in concluded(READY, JobInfo("7", "FAILED", code=2))[1]


def test_the_jobs_own_last_words_come_before_a_suspicion() -> None:
    failed = JobInfo("7", "FAILED", code=127)
    told = conclude(QUEUED, "7", failed, 110.0, "modul: command not found").reason
    assert told.endswith("; the job said last: modul: command not found")


def test_the_end_of_a_lent_allocation_is_not_the_runs_failure() -> None:
    over = JobInfo("7", "COMPLETED", end=100.0)
    lost = RunState("failed", 101.0, reason="node1: its step is lost", exit_code=4)
    before = RunState("failed", 50.0, reason="main-1 ended, unasked", exit_code=4)
    for state, info, phase, reason in (
        (READY, JobInfo("7", "RUNNING"), "ready", ""),
        (READY, JobInfo("7", "SUSPENDED"), "suspended", "job 7 is SUSPENDED; `scontrol resume 7`"),
        (READY, None, "ready", ""),
        (READY, over, "stopped", "its allocation, job 7, has ended (COMPLETED)"),
        (lost, over, "stopped", "its allocation, job 7, has ended (COMPLETED)"),
        (before, over, "failed", "main-1 ended, unasked"),
        (STOPPED, over, "stopped", "asked to stop"),
    ):
        seen = conclude_lent(state, info, 110.0)
        assert (seen.phase, seen.reason.startswith(reason)) == (phase, True)


def test_a_job_that_may_be_requeued_isn_t_over_before_slurm_says_so() -> None:
    """Its ranks saw the first signal of a requeue before its supervisor did: that is no failure."""
    failed = RunState("failed", 100.0, reason="main-1 ended by signal SIGTERM, unasked")
    ending = JobInfo("7", "COMPLETING", may_requeue=True)
    assert concluded(failed, ending)[:2] == ("stopping", failed.reason)
    assert concluded(failed, replace(ending, may_requeue=False))[0] == "failed"
    assert concluded(failed, replace(ending, state="FAILED"))[0] == "failed"
    assert concluded(failed, replace(ending, state="PENDING"))[0] == "queued"


def test_a_requeued_job_waits_again() -> None:
    assert concluded(READY, JobInfo("7", "PENDING", "BeginTime"))[0] == "queued"


@pytest.mark.parametrize(
    ("info", "phase", "code"),
    [
        (JobInfo("7", "FAILED", signal=9), "failed", 137),
        (JobInfo("7", "FAILED", code=5), "failed", 5),
        (JobInfo("7", "NODE_FAIL"), "failed", 4),
        (JobInfo("7", "TIMEOUT"), "failed", 4),
        (JobInfo("7", "CANCELLED"), "stopped", 0),
        (None, "failed", 4),
    ],
)
def test_a_supervisor_that_left_no_word(info: JobInfo | None, phase: str, code: int) -> None:
    seen, reason, exit_code = concluded(READY, info)
    assert (seen, exit_code) == (phase, code)
    assert "while ready" in reason or "when last heard of" in reason


def test_a_job_that_was_taken_back_says_so_in_few_words() -> None:
    queued = RunState("queued", 100.0)
    reason = "job 7 ended as CANCELLED before it began"
    assert concluded(queued, JobInfo("7", "CANCELLED")) == ("stopped", reason, 0)
    once = conclude(queued, "7", JobInfo("7", "CANCELLED"), 110.0)
    assert conclude(once, "7", JobInfo("7", "CANCELLED"), 120.0) == once


def test_a_supervisors_own_word_stands() -> None:
    failed = RunState("failed", 100.0, reason="main-1 ended with exit code 7, unasked", exit_code=4)
    assert conclude(failed, "7", JobInfo("7", "FAILED", code=4), 110.0) is failed
    assert concluded(STOPPED, JobInfo("7", "COMPLETED")) == ("stopped", "asked to stop", 0)


@pytest.mark.parametrize("state", [READY, STOPPED])
def test_slurms_word_is_said_once_however_often_it_is_asked(state: RunState) -> None:
    once = conclude(state, "7", JobInfo("7", "CANCELLED"), 110.0)
    assert conclude(once, "7", JobInfo("7", "CANCELLED", "other words", signal=15), 120.0) == once


def test_but_slurm_knows_why_it_was_told_to_end() -> None:
    lost = RunState("failed", 100.0, reason="main-0 ended with exit code 0, unasked", exit_code=4)
    phase, reason, code = concluded(STOPPED, JobInfo("7", "NODE_FAIL"))
    assert (phase, code) == ("failed", 4)
    assert reason == "job 7 ended as NODE_FAIL, exit code 0; its supervisor: asked to stop"
    assert concluded(lost, JobInfo("7", "PREEMPTED"))[0] == "stopped"

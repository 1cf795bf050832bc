"""What Slurm says of jobs: captures of 22.05, accounting lines, and nonsense."""

from pathlib import Path

import pytest

from dsr1.slurm.states import JobInfo, parse_sacct, parse_squeue

DATA = Path(__file__).parents[2] / "data" / "slurm"


def test_a_running_job_and_two_that_wait() -> None:
    jobs = parse_squeue((DATA / "22.05" / "squeue.json").read_text())
    assert jobs["1"] == JobInfo(
        "1",
        "RUNNING",
        start=1795553638.0,
        user="launch",
        nodes="node[1-2]",
        cluster="lab",
        name="wrap",
        end=1796158438.0,
        limit_s=7 * 86400,
        partition="gpu",
        restarts=0,
        may_requeue=True,
    )
    assert (jobs["2"].state, jobs["2"].reason, jobs["2"].start) == (
        "PENDING",
        "Priority",
        1796158438.0,
    )
    assert (jobs["3"].reason, jobs["3"].start, jobs["3"].waits) == (
        "PartitionNodeLimit",
        None,
        True,
    )


def test_the_exit_code_is_a_wait_status_in_22_05() -> None:
    jobs = parse_squeue((DATA / "22.05" / "squeue-ended.json").read_text())
    assert (jobs["1"].state, jobs["1"].code, jobs["1"].signal, jobs["1"].over) == (
        "FAILED",
        3,
        0,
        True,
    )


def test_24_11_has_lists_and_numbers_that_may_not_be_set() -> None:
    jobs = parse_squeue((DATA / "24.11" / "squeue.json").read_text())
    assert (jobs["1"].state, jobs["1"].code, jobs["1"].signal, jobs["1"].over) == (
        "FAILED",
        3,
        0,
        True,
    )
    assert (jobs["2"].state, jobs["2"].code, jobs["2"].signal) == ("FAILED", 0, 9)
    assert (jobs["5"].state, jobs["5"].nodes, jobs["5"].cluster) == ("RUNNING", "n1", "lab")
    assert (jobs["6"].state, jobs["6"].reason, jobs["6"].start) == ("PENDING", "Resources", None)


@pytest.mark.parametrize(
    "reason",
    [
        "PartitionNodeLimit",
        "QOSMaxNodePerJobLimit",
        "QOSMaxWallDurationPerJobLimit",
        "QOSMaxGRESPerJob",
        "QOSMaxCpuPerNode",
        "AssocMaxWallDurationPerJobLimit",
        "AssocMaxCpuMinutesPerJobLimit",
        "QOSMinGRES",
        "QOSMinCpuNotSatisfied",
    ],
)
def test_reasons_to_wait_for_ever(reason: str) -> None:
    assert JobInfo("1", "PENDING", reason).hopeless
    assert not JobInfo("1", "RUNNING", reason).hopeless


@pytest.mark.parametrize(
    "reason",
    [
        "",
        "Priority",
        "QOSMaxJobsPerUserLimit",
        "QOSMaxGRESPerUser",
        "QOSGrpNodeLimit",
        "AssocMaxJobsLimit",
        "AssocGrpGRES",
    ],
)
def test_reasons_that_pass(reason: str) -> None:
    assert not JobInfo("1", "PENDING", reason).hopeless


def test_flags_that_say_what_comes_are_the_state() -> None:
    told = '{"jobs": [{"job_id": 1, "job_state": %s}]}'
    for states, state in (
        ('["NODE_FAIL", "REQUEUED"]', "REQUEUED"),
        ('["PENDING", "COMPLETING"]', "COMPLETING"),
        ('["RUNNING", "EXPEDITING"]', "RUNNING"),
        ('["POWER_UP_NODE"]', "POWER_UP_NODE"),
    ):
        info = parse_squeue(told % states)["1"]
        assert (info.state, info.over) == (state, False)


def test_lines_where_there_is_no_json() -> None:
    (info,) = parse_squeue(
        "7|N/A|RUNNING|None|2026-11-24T10:00:00|N/A|1-02:00:00|gpu|launch|node[1-2]|a|b\n"
    ).values()
    assert (info.job, info.state, info.reason, info.user, info.nodes) == (
        "7",
        "RUNNING",
        "",
        "launch",
        "node[1-2]",
    )
    assert info.name == "a|b"
    assert (info.start is not None, info.end, info.limit_s, info.partition) == (
        True,
        None,
        26 * 3600,
        "gpu",
    )
    assert (info.restarts, info.in_array) == (None, False)
    assert parse_squeue("8|3|RUNNING||N/A|N/A||gpu|launch||a\n")["8"].in_array
    assert parse_squeue("") == {}


@pytest.mark.parametrize("text", ["[]", "{}", '{"jobs": null}', "slurm_load_jobs error: down"])
def test_what_is_no_answer_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_squeue(text)


def test_accounting_lines() -> None:
    jobs = parse_sacct(
        "7|NODE_FAIL|1:0|None|launch|node[1-2]|lab|Unknown|a|b\n"
        "7|FAILED|4:0|NonZeroExitCode|launch|node[1-2]|lab|Unknown|a|b\n"
        "8|CANCELLED by 2000|0:15|None|launch|None assigned|lab|2026-11-24T10:00:00|x\n"
    )
    assert (jobs["7"].state, jobs["7"].code, jobs["7"].reason) == ("FAILED", 4, "NonZeroExitCode")
    assert (jobs["8"].state, jobs["8"].signal, jobs["8"].nodes) == ("CANCELLED", 15, "")
    assert (jobs["7"].name, jobs["8"].name) == ("a|b", "x")
    assert (jobs["7"].end, jobs["8"].end is not None) == (None, True)


def test_an_accounting_line_that_is_none_is_an_error() -> None:
    with pytest.raises(ValueError, match="sacct"):
        parse_sacct("sacct: error: whatever\n")

"""Every labelled failure: the right host, rank and cause, and the line that shows it."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.launcher.triage.cases import ADDRESSES, CASES, Case, ended, evidence_of, kernel

from dsr1.hosts.protocol.evidence import HostEvidence, ProcessLog, ProcessRanks
from dsr1.hosts.protocol.log_scan import UNREAD
from dsr1.launcher.triage.judge import Cause, find_cause
from dsr1.launcher.triage.render import render_cause
from dsr1.launcher.triage.rules import load_rules


def judged(case: Case, folder: Path) -> Cause:
    cause = find_cause(evidence_of(case, folder), load_rules(), ADDRESSES)
    assert cause is not None, "no cause was found"
    return cause


def test_there_are_many_and_each_has_its_name() -> None:
    names = {case.name for case in CASES}
    assert len(names) == len(CASES) >= 40


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_labelled_failure(case: Case, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cause = judged(case, tmp_path)
    with capsys.disabled():
        print(f"\n  {case.name}: {next(render_cause(replace(cause, victims=())))[:150]}", end=" ")
    assert (cause.sign.host, cause.sign.rank, cause.sign.rule) == case.blamed
    assert case.shown in cause.sign.text


def test_who_was_asked_to_end_is_blamed_and_not_what_it_took_along(tmp_path: Path) -> None:
    asked = next(
        case for case in CASES if case.name.startswith("somebody sent SIGTERM to a main, ")
    )
    cause = judged(asked, tmp_path)
    assert cause.sign.component == "main"
    assert cause.sign.what.endswith("shut down as if by SIGTERM, and not by dsr1")
    assert not cause.certain


def test_a_tie_is_told_as_one(tmp_path: Path) -> None:
    tie = next(case for case in CASES if "not certain" in case.name)
    cause = judged(tie, tmp_path)
    assert not cause.certain
    assert cause.runner_up is not None
    assert cause.runner_up.rank == 1


def test_a_log_that_was_not_read_hides_neither_engine_nor_rank_and_its_rank_is_not_silent() -> None:
    logs = (ProcessLog(ProcessRanks("main-1", "decode", (1,)), UNREAD),)
    died = HostEvidence("node2", late=True, logs=logs, deaths=(ended(1, "EngineCore", -9),))
    cause = find_cause({"node2": died}, load_rules(), {})
    assert cause is not None
    assert (cause.sign.engine, cause.sign.rank) == ("decode", 1)
    assert find_cause({"node2": HostEvidence("node2", logs=logs)}, load_rules(), {}) is None


@pytest.mark.parametrize(("at", "rule"), [(0.2, "kernel.segfault"), (-60.0, "process.died")])
def test_a_crash_that_the_kernel_tells_of_is_ours_if_one_of_ours_ended_then(
    at: float, rule: str
) -> None:
    line = kernel("pt_main_thread[77]: segfault at 0 ip 00007f error 4 in libc.so.6", at)
    host = HostEvidence("node1", deaths=(ended(0, "Worker", 1),), kernel=(line,))
    cause = find_cause({"node1": host}, load_rules(), {})
    assert cause is not None
    assert cause.sign.rule == rule

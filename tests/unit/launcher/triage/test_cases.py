"""Every labelled failure: the right host, rank and cause, and the line that shows it."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.launcher.triage.cases import ADDRESSES, CASES, Case, evidence_of

from dsr1.launcher.triage.judge import Cause, find_cause
from dsr1.launcher.triage.render import render_cause
from dsr1.launcher.triage.table import load_rules


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


def test_a_tie_is_told_as_one(tmp_path: Path) -> None:
    tie = next(case for case in CASES if "not certain" in case.name)
    cause = judged(tie, tmp_path)
    assert not cause.certain
    assert cause.runner_up is not None
    assert cause.runner_up.rank == 1

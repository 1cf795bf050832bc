"""A rank's verdict from look to look: hung, busy, garbled, gone, and well again."""

from dataclasses import replace

import pytest

from dsr1.launcher.health.counters import RankCounters
from dsr1.launcher.health.judge import RankRecord, Sample, judge
from dsr1.launcher.health.verdicts import (
    ERROR,
    FAILED,
    GARBLED,
    HEALTHY,
    MUTE,
    SICK,
    STALLED,
    SUSPECT,
    UNLISTED,
    WAITS,
    RankHealth,
)

NEW = RankRecord(RankHealth("a", 0, "n1", "a-0"))
LOOK_S, PATIENCE = 10.0, 3
IDLE, BUSY = RankCounters((1.0,), 0, 1.0), RankCounters((1.0,), 4, 1.0)
WELL = Sample(0, well=True, listed=True, counters=IDLE)


def step(tokens: float, pending: int = 4) -> RankCounters:
    return RankCounters((tokens,), pending, tokens)


def after(*samples: Sample, of: RankRecord = NEW) -> RankRecord:
    for number, sample in enumerate(samples):
        of = judge(of, replace(sample, time=100.0 + number), PATIENCE, LOOK_S)
    return of


HUNG = Sample(0, well=True, listed=True, counters=BUSY)
BAD = {
    STALLED: HUNG,
    WAITS: Sample(0, well=True, counters=IDLE, waits_s=12.0),
    SICK: Sample(0, well=False, sick="HTTP 503 generate: notready", counters=IDLE),
    MUTE: Sample(0, problem="no answer within 5 s"),
    ERROR: Sample(0, well=True, counters=IDLE, error="HTTP 500"),
    UNLISTED: Sample(0, well=True, counters=IDLE, listed=False),
}


@pytest.mark.parametrize("kind", BAD)
def test_as_many_bad_looks_in_a_row_as_patience_are_a_failure(kind: str) -> None:
    begun = after(Sample(0, well=True, listed=True, counters=BUSY if kind == STALLED else IDLE))
    verdicts = [after(*[BAD[kind]] * n, of=begun).health for n in range(1, PATIENCE + 1)]
    assert [one.verdict for one in verdicts] == [SUSPECT, SUSPECT, FAILED]
    assert {one.kind for one in verdicts} == {kind}
    assert {one.since for one in verdicts} == {100.0}, "since it first seemed unwell"


@pytest.mark.parametrize("kind", BAD)
def test_a_good_look_between_begins_anew(kind: str) -> None:
    begun = after(Sample(0, well=True, listed=True, counters=BUSY if kind == STALLED else IDLE))
    good = Sample(0, well=True, listed=True, counters=step(9), answered=True)
    found = after(BAD[kind], BAD[kind], good, of=begun)
    assert found.health == NEW.health


def test_a_busy_rank_is_not_hung() -> None:
    """Whatever its /health says, and however long a question waits behind other work."""
    samples = [
        Sample(0, well=False, sick="canary", counters=step(n), waits_s=10.0 * n, error="HTTP 503")
        for n in range(1, 9)
    ]
    assert after(WELL, *samples).health.verdict == HEALTHY


def test_errors_count_where_nothing_else_is_done() -> None:
    moved = [Sample(0, well=True, counters=step(n, pending=0), error="HTTP 500") for n in (2, 3, 4)]
    assert after(WELL, *moved).health.verdict == FAILED, "Dynamo's own canary moves its counters"


def test_work_that_has_just_come_is_no_standstill() -> None:
    assert after(WELL, HUNG).health.verdict == HEALTHY


def test_a_simulator_never_says_that_it_is_well() -> None:
    assert after(*[Sample(0, well=False, sick="notready")] * 5).health.verdict == HEALTHY


def test_a_rank_that_was_never_listed_is_not_missed() -> None:
    assert after(*[Sample(0, well=True, listed=False)] * 5).health.verdict == HEALTHY


def test_garbled_twice_is_a_failure() -> None:
    wrong = Sample(0, well=True, counters=IDLE, answered=True, garbled="answers '!!'")
    between = Sample(0, well=True, counters=IDLE)
    one = after(WELL, wrong, between, between)
    assert (one.health.verdict, one.health.kind) == (SUSPECT, GARBLED)
    assert after(wrong, of=one).health.verdict == FAILED
    right = Sample(0, well=True, counters=IDLE, answered=True)
    assert after(right, wrong, of=one).health.verdict == SUSPECT


def test_what_can_not_be_read_changes_nothing() -> None:
    """An agent that is out of reach for a while."""
    begun = after(WELL, BAD[ERROR])
    assert after(Sample(0), Sample(0), of=begun).bad == 1


def test_a_question_that_waits_again_is_no_answer() -> None:
    begun = after(WELL, BAD[ERROR])
    assert after(Sample(0, well=True, counters=IDLE, waits_s=1.0), of=begun).bad == 1


def test_a_health_that_says_unwell_of_who_answers_is_not_believed() -> None:
    answers = Sample(0, well=False, sick="HTTP 503", counters=step(9, 0), answered=True)
    begun = after(WELL, BAD[SICK], answers)
    assert after(*[BAD[SICK]] * 5, of=begun).health.verdict == HEALTHY
    assert after(WELL, BAD[SICK], of=begun).health.verdict == SUSPECT

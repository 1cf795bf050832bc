"""What follows for a deployment from the health of its ranks."""

from dsr1.launcher.health.verdicts import (
    DEGRADED,
    FAILED,
    MUTE,
    READY,
    STALLED,
    SUSPECT,
    HealthReport,
    RankHealth,
    unwell_lines,
)
from dsr1.launcher.run.supervision.verdict import end_of

WELL = tuple(RankHealth("a", rank, "n1", "a-0") for rank in range(5))
OTHER = RankHealth("b", 0, "n2", "b-0")
NO_PROGRESS = "makes no progress"


def ill(rank: int, verdict: str = SUSPECT) -> RankHealth:
    return RankHealth("a", rank, "n1", "a-0", verdict, STALLED, NO_PROGRESS, 5.0)


def test_all_well() -> None:
    report = HealthReport((*WELL, OTHER))
    assert (report.phase, report.ailing, report.failed_engines) == (READY, (), ())
    assert list(unwell_lines(report)) == []
    assert end_of(report) is None


def test_a_suspect_degrades_and_ends_nothing() -> None:
    report = HealthReport((ill(0), *WELL[1:], OTHER))
    assert report.phase == DEGRADED
    assert end_of(report) is None
    assert list(unwell_lines(report)) == [
        "suspect: rank 0 of engine a on n1 makes no progress",
        "still serving: b",
    ]


def test_a_failure_names_its_ranks() -> None:
    report = HealthReport((*(ill(rank, FAILED) for rank in range(5)), OTHER))
    assert report.failed_engines == ("a",)
    words = str(end_of(report))
    assert words.startswith("rank 0 of engine a on n1 makes no progress; rank 1 of engine a")
    assert words.endswith("; so do 2 more")


def test_a_frontend_is_no_engine_that_serves() -> None:
    hung = RankHealth("frontend-0", 0, "n1", "frontend-0", FAILED, MUTE, "can't be asked", 5.0)
    report = HealthReport((*WELL, hung))
    assert str(end_of(report)) == "frontend-0 on n1 can't be asked"
    assert list(unwell_lines(report))[-1] == "still serving: a"

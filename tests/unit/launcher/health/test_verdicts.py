"""What follows for a deployment from the health of its ranks."""

from dsr1.launcher.health.verdicts import (
    DEGRADED,
    FAILED,
    READY,
    SUSPECT,
    HealthReport,
    RankHealth,
    describe,
)
from dsr1.launcher.run.supervision.verdict import end_of

WELL = tuple(RankHealth("a", rank, "n1", "a-0") for rank in range(5))
OTHER = RankHealth("b", 0, "n2", "b-0")
STALLED = "makes no progress"


def ill(rank: int, verdict: str = SUSPECT) -> RankHealth:
    return RankHealth("a", rank, "n1", "a-0", verdict, STALLED, 5.0)


def test_all_well() -> None:
    report = HealthReport((*WELL, OTHER))
    assert (report.phase, report.ailing, report.failed_engines) == (READY, (), ())
    assert list(describe(report)) == []
    assert end_of(report) is None


def test_a_suspect_degrades_and_ends_nothing() -> None:
    report = HealthReport((ill(0), *WELL[1:], OTHER))
    assert report.phase == DEGRADED
    assert end_of(report) is None
    assert list(describe(report)) == [
        "suspect: rank 0 of engine a on n1 makes no progress",
        "still serving: b",
    ]


def test_a_failure_names_its_ranks() -> None:
    report = HealthReport((*(ill(rank, FAILED) for rank in range(5)), OTHER))
    assert report.failed_engines == ("a",)
    words = str(end_of(report))
    assert words.startswith("rank 0 of engine a on n1 makes no progress; rank 1 of engine a")
    assert words.endswith("; so do 2 more")

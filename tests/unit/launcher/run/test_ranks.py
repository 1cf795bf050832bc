"""Rows of ranks: who moves, who doesn't go back, and who is late."""

from dsr1.hosts.protocol.events import Progress
from dsr1.launcher.commands.phases import PHASES
from dsr1.launcher.run.ranks import RankRow, advance, all_ready, overdue, phase_limits

TABLE = tuple(RankRow("main", rank, "a", "main-0", "starting", 0.0) for rank in (0, 1))


def test_a_line_without_rank_moves_all_of_its_process() -> None:
    moved = advance(TABLE, Progress("main-0", "importing"), 1.0)
    assert [row.said for row in moved] == ["importing", "importing"]
    assert advance(TABLE, Progress("other", "importing"), 1.0) == TABLE


def test_a_rank_moves_alone_and_never_back() -> None:
    moved = advance(TABLE, Progress("main-0", "loading", 1, 3, 163), 1.0)
    assert [row.said for row in moved] == ["starting", "loading 3/163"]
    assert advance(moved, Progress("main-0", "importing", 1), 2.0)[1].said == "loading 3/163"


def test_every_phase_before_ready_has_a_limit() -> None:
    assert set(phase_limits(1, 2, 3)) == set(PHASES[:-1])


def test_the_late_rank_is_named_and_progress_gives_it_more_time() -> None:
    limits = phase_limits(1000, 10, 1000)
    stuck = advance(TABLE, Progress("main-0", "loading", 1, 3, 163), 5.0)
    assert overdue(stuck, limits, 14.0) == ""
    assert (
        "rank 1 of engine main on a (main-0) has been loading 3/163 for more than 10 s"
        in overdue(stuck, limits, 16.0)
    )
    assert (
        overdue(advance(stuck, Progress("main-0", "loading", 1, 4, 163), 15.0), limits, 16.0) == ""
    )
    assert overdue(all_ready(stuck, 5.0), limits, 1e9) == ""

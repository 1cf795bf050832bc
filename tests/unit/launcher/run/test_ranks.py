"""Rows of ranks: who moves, who doesn't go back, and who is late."""

from dsr1.hosts.protocol.events import Progress
from dsr1.launcher.commands.phases import PHASES
from dsr1.launcher.run.ranks import Moment, RankRow, advance, all_ready, overdue, phase_limits

TABLE = tuple(RankRow("main", rank, "a", "main-0", "starting", 0.0) for rank in (0, 1))


def at(seconds: float) -> Moment:
    """The clock on the wall stands wherever it likes."""
    return Moment(-1e6, seconds)


def test_a_line_without_rank_moves_all_of_its_process() -> None:
    moved = advance(TABLE, Progress("main-0", "importing"), at(1.0))
    assert [row.said for row in moved] == ["importing", "importing"]
    assert advance(TABLE, Progress("other", "importing"), at(1.0)) == TABLE


def test_a_rank_that_speaks_moves_alone_and_never_back() -> None:
    both = advance(TABLE, Progress("main-0", "initialising", 0), at(1.0))
    moved = advance(both, Progress("main-0", "loading", 1, 3, 163), at(1.0))
    assert [row.said for row in moved] == ["initialising", "loading 3/163"]
    assert advance(moved, Progress("main-0", "importing", 1), at(2.0))[1].said == "loading 3/163"


def test_a_silent_rank_shows_the_phase_of_its_process() -> None:
    """As vLLM 0.23 logged a start of four ranks: rank 0 alone spoke from its initialising to its
    profiling, 247 s long."""
    table = TABLE
    for second, phase in enumerate(("initialising", "loading", "compiling", "profiling")):
        table = advance(table, Progress("main-0", phase, 0), at(600.0 * second))
        assert [row.phase for row in table] == [phase, phase]
        assert overdue(table, phase_limits(600, 600, 600), 600.0 * second + 599) == ""
    table = advance(table, Progress("main-0", "profiling", 1), at(2000.0))
    table = advance(table, Progress("main-0", "warming up", 0), at(2001.0))
    assert [row.phase for row in table] == ["warming up", "profiling"]


def test_a_process_is_judged_by_the_last_of_its_ranks_that_moved() -> None:
    limits = phase_limits(10, 10, 10)
    table = advance(TABLE, Progress("main-0", "loading", 0, 1, 9), at(1.0))
    table = advance(table, Progress("main-0", "loading", 1, 1, 9), at(9.0))
    assert overdue(table, limits, 18.0) == ""
    assert "rank 1" in overdue(table, limits, 19.5)


def test_the_least_advanced_process_is_named() -> None:
    other = RankRow("main", 2, "b", "main-1", "starting", 0.0)
    ahead = advance(TABLE, Progress("main-0", "loading", None, 3, 9), at(0.0))
    assert "(main-1) has been starting" in overdue((*ahead, other), phase_limits(1, 1, 1), 5.0)


def test_every_phase_before_ready_has_a_limit() -> None:
    assert set(phase_limits(1, 2, 3)) == set(PHASES[:-1])


def test_the_late_rank_is_named_and_progress_gives_it_more_time() -> None:
    limits = phase_limits(1000, 10, 1000)
    stuck = advance(TABLE, Progress("main-0", "loading", 1, 3, 163), at(5.0))
    assert overdue(stuck, limits, 14.0) == ""
    assert (
        "rank 1 of engine main on a (main-0) has been loading 3/163 for more than 10 s"
        in overdue(stuck, limits, 16.0)
    )
    more = advance(stuck, Progress("main-0", "loading", 1, 4, 163), at(15.0))
    assert overdue(more, limits, 16.0) == ""
    assert overdue(all_ready(stuck, at(5.0)), limits, 1e9) == ""

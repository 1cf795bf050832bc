"""What is measured next: a pure function of what was measured."""

import random
from collections.abc import Callable

import pytest

from dsr1.launcher.tuning.goal import Figures, TuneGoal, meets
from dsr1.launcher.tuning.result.answer import pareto
from dsr1.launcher.tuning.search import (
    Done,
    Outcome,
    Sweep,
    Task,
    decide_next,
    merged,
    next_load,
    share_points,
    winner,
)

GOAL = TuneGoal(4000, 1000, ttft_ms=None, itl_ms=50)
FREE = TuneGoal(4000, 1000)
World = Callable[[Task], Outcome]


def figures(load: int, knee: int = 40, scale: float = 1.0) -> Figures:
    """More at once gives more until the knee, and every token takes longer."""
    itl = 10 + load
    return Figures(load, 100, itl, scale * min(load, knee), 1000 / itl, scale)


def world(scales: dict[str, float]) -> World:
    return lambda task: Outcome(
        task, figures(task.concurrency, scale=scales.get(task.candidate, 1))
    )


def played(sweeps: list[Sweep], of: World, goal: TuneGoal, points: int) -> list[Outcome]:
    """Until it is done."""
    outcomes: list[Outcome] = []
    while isinstance(task := decide_next(sweeps, outcomes, goal, points), Task):
        outcomes.append(of(task))
        assert len(outcomes) <= points
    return outcomes


def swept(start: int, goal: TuneGoal, most: int = 40) -> list[int]:
    known: dict[int, Figures | None] = {}
    while load := next_load(known, start, goal):
        assert load not in known
        known[load] = figures(load)
        assert len(known) < most
    return list(known)


def test_a_sweep_closes_in_on_the_highest_load_within_the_limits() -> None:
    """ITL is 10 + load: 40 is the last that meets 50."""
    loads = swept(8, GOAL)
    assert loads[:4] == [8, 16, 32, 64]
    good = max(load for load in loads if meets(GOAL, figures(load)))
    assert 40 / 1.25 <= good <= 40


@pytest.mark.parametrize("start", [1, 2, 7, 40, 41, 500, 10_000])
def test_wherever_it_begins(start: int) -> None:
    good = max(load for load in swept(start, GOAL) if meets(GOAL, figures(load)))
    assert 40 / 1.3 <= good <= 40


def test_without_limits_it_ends_on_the_plateau_and_has_a_look_below() -> None:
    assert swept(64, FREE) == [64, 128, 16, 4]
    assert swept(16, FREE) == [16, 32, 64, 128]


def test_limits_that_nothing_meets_end_at_one() -> None:
    assert swept(16, TuneGoal(4000, 1000, itl_ms=1)) == [16, 8, 4, 2, 1]


def test_a_load_that_failed_met_nothing() -> None:
    assert next_load({16: None}, 16, FREE) == 8
    assert next_load({16: figures(16), 32: None}, 16, FREE) == 23


SWEEPS = [
    Sweep("a", 8, ("a + x", "a + y", "a + z")),
    Sweep("b", 8, ("b + x", "b + y")),
    Sweep("c", 8),
    Sweep("d", 8),
]


def test_twelve_points_are_grouped_by_launch() -> None:
    outcomes = played(SWEEPS, world({"b": 2.0, "b + x": 3.0}), GOAL, 12)
    order = [one.task.candidate for one in outcomes]
    launches = [name for at, name in enumerate(order) if at == 0 or order[at - 1] != name]
    assert launches[:2] == ["a", "b"]
    assert "b + x" in order
    assert outcomes[-1].task.repeat == 2
    assert outcomes[-1].task.candidate == "b + x"
    assert len(outcomes) == 12
    tasks = [one.task for one in outcomes]
    assert len(set(tasks)) == len(tasks)


@pytest.mark.parametrize(
    ("points", "measured"),
    [*((few, few) for few in (1, 2, 3, 4, 5, 8, 12)), (20, 19), (60, 29)],
)
def test_any_number_of_points(points: int, measured: int) -> None:
    """All of them, until nothing is left that would tell more."""
    share = share_points(points)
    assert share.sweeps + share.knobs + share.repeats == points
    assert len(played(SWEEPS, world({}), GOAL, points)) == measured


@pytest.mark.parametrize("points", [3, 7, 12])
def test_the_next_is_the_same_whenever_it_is_asked(points: int) -> None:
    """It goes on after any interruption: from what was measured alone."""
    outcomes = played(SWEEPS, world({"b": 2.0}), GOAL, points)
    for count in range(len(outcomes)):
        assert decide_next(SWEEPS, outcomes[:count], GOAL, points) == outcomes[count].task


def test_what_does_not_start_is_left_alone() -> None:
    def of(task: Task) -> Outcome:
        lost = task.candidate == "a"
        return Outcome(
            task, None if lost else figures(task.concurrency), "no" if lost else "", lost
        )

    outcomes = played(SWEEPS, of, GOAL, 12)
    assert [one.task.candidate for one in outcomes].count("a") == 1
    assert winner(outcomes, GOAL) is not None


def test_where_nothing_starts_it_gives_up() -> None:
    outcomes = [Outcome(Task(name, 8), None, "no GPU", lost=True) for name in "abc"]
    done = decide_next(SWEEPS, outcomes, GOAL, 12)
    assert done == Done("3 deployments didn't start, the last: no GPU")


def test_repeats_are_taken_together() -> None:
    first = Outcome(Task("a", 8), Figures(8, 10, 10, 100, 100))
    again = Outcome(Task("a", 8, 1), Figures(8, 30, 10, 50, 100))
    (one,) = merged([first, again])
    assert one.figures is not None
    assert (one.figures.ttft_ms, one.figures.tokens_s_gpu) == (20, 75)
    assert one.figures.notes == ("2 times, 100 % apart",)


def test_a_front_has_what_nothing_beats() -> None:
    rows = [Figures(1, 0, 0, gpu, user) for gpu, user in ((1, 9), (5, 5), (4, 4), (9, 1), (1, 9))]
    assert [(one.tokens_s_gpu, one.tokens_s_user) for one in pareto(rows)] == [
        (1, 9),
        (5, 5),
        (9, 1),
    ]
    rng = random.Random(0)
    many = [Figures(1, 0, 0, rng.random(), rng.random()) for _ in range(300)]
    front = pareto(many)
    for one in front:
        assert not any(
            two.tokens_s_gpu > one.tokens_s_gpu and two.tokens_s_user > one.tokens_s_user
            for two in many
        )
    assert pareto([]) == []

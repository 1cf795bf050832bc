"""How often a run may be started again."""

from dsr1.launcher.run.supervision.restarts import RestartBudget


def test_in_all() -> None:
    budget = RestartBudget(2)
    assert [budget.take(now) for now in (0.0, 1e6, 2e6)] == [True, True, False]


def test_none_at_all() -> None:
    assert not RestartBudget(0, within_s=1.0).take(0.0)


def test_health_earns_each_back_by_itself() -> None:
    budget = RestartBudget(2, within_s=3600.0)
    taken = [budget.take(now) for now in (0.0, 3000.0, 3599.0, 3600.0, 3601.0, 6600.0)]
    assert taken == [True, True, False, True, False, True]


def test_a_refusal_costs_nothing() -> None:
    """One that asks again and again gets its next restart no later."""
    budget = RestartBudget(1, within_s=10.0)
    assert [budget.take(float(now)) for now in range(12)] == [True, *[False] * 9, True, False]


def test_those_of_a_supervisor_before_count() -> None:
    """When they were taken nobody knows any more: they count as taken now."""
    budget = RestartBudget(1, 60.0, [100.0])
    assert [budget.take(now) for now in (100.0, 159.0, 160.0)] == [False, False, True]

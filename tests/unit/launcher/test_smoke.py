"""Who answered, from a worker's own counters, and what answers must be."""

import pytest

from dsr1.launcher.plan import Service, Worker
from dsr1.launcher.serving import Answer
from dsr1.launcher.smoke import finished, smoke_problem, worker_id

METRICS = """# TYPE vllm:request_success_total counter
vllm:request_success_total{engine="0",finished_reason="stop",worker_id="f479e0c2dca26933"} 1.0
vllm:request_success_total{engine="0",finished_reason="length",worker_id="f479e0c2dca26933"} 2.0
vllm:request_success_total{engine="1",finished_reason="length",worker_id="f479e0c2dca26933"} 4.0
"""
SERVICE = Service("h", 8000, "m", 1, (Worker("main-0", (0, 1), "http://h:1/metrics"),))


def test_counters_by_rank() -> None:
    assert worker_id(METRICS) == 17616358544966314291
    assert finished(METRICS) == {0: 3, 1: 4}


def test_a_worker_without_a_name_is_refused() -> None:
    with pytest.raises(ValueError, match="worker_id"):
        worker_id("")


@pytest.mark.parametrize(
    ("answers", "problem"),
    [
        ([("a", 1), ("a", 1)], ""),
        ([("a", 1)], "1 answered, 2 are wanted"),
        ([("a", 1), ("b", 1)], "the greedy answers differ"),
        ([("", 0), ("", 0)], "one answered without a single token"),
    ],
)
def test_answers_are_judged(answers: list[tuple[str, int]], problem: str) -> None:
    given = [Answer(7, rank, text, tokens) for rank, (text, tokens) in enumerate(answers)]
    assert smoke_problem(SERVICE, given) == problem

"""From requests to a point, or to why they make none."""

from dataclasses import replace

import pytest

from dsr1.hosts.protocol.jobs.orders import EMPTY_ANSWER, SentRequests
from dsr1.launcher.benchmark.judging import (
    SHORT,
    PointRefused,
    count_failures,
    goodput,
    judge_requests,
    make_window,
    quantiles_ms,
    refuse_failures,
    throughput,
)
from dsr1.launcher.benchmark.point import Sla
from dsr1.launcher.benchmark.workload import Workload

LOAD = Workload(8, 11, 2, None, 4)


def sent(count: int = 4, **columns: tuple[object, ...]) -> SentRequests:
    """One each second, of two seconds: the first token after one, ten more within the other."""
    plain = SentRequests(
        tuple(float(n) for n in range(count)),
        (1.0,) * count,
        (2.0,) * count,
        (8,) * count,
        (11,) * count,
        ("",) * count,
    )
    return replace(plain, **columns)  # type: ignore[arg-type]


def test_latencies() -> None:
    rows = judge_requests(sent(), LOAD)
    assert [row.gap_s for row in rows] == [0.1] * 4
    times = quantiles_ms([0.1, 0.2, 0.3, 0.4, 0.5])
    assert times is not None
    assert (times.mean, times.p50, times.p90, times.least, times.most) == (300, 300, 460, 100, 500)
    assert quantiles_ms([]) is None


def test_one_token_has_no_gap() -> None:
    (row,) = judge_requests(sent(1, tokens_out=(1,)), Workload(8, 1, 1, None, 1))
    assert (row.gap_s, row.failure) == (None, "")


def test_throughput_without_edges() -> None:
    """All that was answered, over all of the time."""
    rows = judge_requests(sent(), LOAD)
    window = make_window(rows, LOAD)
    assert (window.begin_s, window.end_s) == (0.0, 5.0)
    rates = throughput(rows, window)
    assert rates.requests == pytest.approx(4 / 5)
    assert rates.tokens_out == pytest.approx(44 / 5)
    assert rates.tokens_in == pytest.approx(32 / 5)


def test_throughput_between_warmup_and_cooldown() -> None:
    """The window is that of the two in the middle; of the others what falls into it counts: they
    are answered by the same deployment."""
    load = replace(LOAD, requests=2, warmup=1, cooldown=1)
    rows = judge_requests(sent(), load)
    window = make_window(rows, load)
    assert (window.begin_s, window.end_s, len(window.counted)) == (1.0, 4.0, 2)
    rates = throughput(rows, window)
    assert rates.tokens_out == pytest.approx((11 + 11 + 11 + 0) / 3)
    assert rates.requests == pytest.approx(3 / 3)


def test_order_is_that_of_the_starts() -> None:
    load = replace(LOAD, requests=3, warmup=1)
    rows = judge_requests(sent(start_s=(3.0, 0.0, 1.0, 2.0)), load)
    assert make_window(rows, load).begin_s == 1.0


def test_a_share_of_failures_is_no_result() -> None:
    errors = ("Service Unavailable", "", EMPTY_ANSWER, "Service Unavailable")
    rows = judge_requests(sent(error=errors, tokens_out=(0, 11, 0, 0)), LOAD)
    failures = count_failures(rows)
    assert failures == {"Service Unavailable": 2, EMPTY_ANSWER: 1}
    with pytest.raises(PointRefused) as refused:
        refuse_failures(failures, 4, 0.01, "vllm")
    assert str(refused.value) == (
        "vllm: no result: 3 of 4 requests failed (75.0%; at most 1.0% may, --max-errors):"
        " 2 x Service Unavailable; 1 x an empty answer"
    )
    refuse_failures(failures, 4, 0.75, "vllm")
    refuse_failures({}, 4, 0.0, "vllm")


def test_the_threshold_is_a_share() -> None:
    refuse_failures({"x": 1}, 100, 0.01, "vllm")
    with pytest.raises(PointRefused):
        refuse_failures({"x": 1}, 99, 0.01, "vllm")
    with pytest.raises(PointRefused):
        refuse_failures({"x": 1}, 10**6, 0.0, "vllm")


def test_a_cut_answer_has_failed() -> None:
    """No driver sees it: the stream ended, with fewer tokens than ignore_eos would give."""
    rows = judge_requests(sent(tokens_out=(11, 10, 11, 0)), LOAD)
    assert count_failures(rows) == {SHORT: 1, EMPTY_ANSWER: 1}


def test_requests_that_nobody_knows_of_have_failed() -> None:
    (words,) = count_failures(judge_requests(sent(), LOAD), 2)
    assert "nothing is known of it" in words


def test_numbers_in_errors_are_no_kinds_of_their_own() -> None:
    errors = tuple(f"Cannot connect to 10.0.0.1:{9000 + n} at 0x7f{n}" for n in range(4))
    assert len(count_failures(judge_requests(sent(error=errors), LOAD))) == 1


def test_nothing_to_count() -> None:
    load = replace(LOAD, requests=2, warmup=2)
    rows = judge_requests(sent(error=("", "", "x", "x")), load)
    with pytest.raises(PointRefused, match="between warm-up and cool-down"):
        make_window(rows, load)
    with pytest.raises(PointRefused):
        make_window([], LOAD)


def test_goodput() -> None:
    rows = judge_requests(sent(first_s=(0.5, 1.0, 1.5, 1.0)), LOAD)
    window = make_window(rows, LOAD)
    good = goodput(window, Sla(ttft_s=1.0))
    assert good is not None
    assert (good.share, good.requests_s, good.limits) == (0.75, 3 / 5, {"ttft_ms": 1000})
    assert goodput(window, None) is None
    assert goodput(window, Sla()) is None
    strict = goodput(window, Sla(1.0, 0.12, 1.9))
    assert strict is not None
    assert strict.share == 0

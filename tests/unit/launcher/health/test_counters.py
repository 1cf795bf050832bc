"""Progress and work of each rank, from metrics of real workers."""

from pathlib import Path

from dsr1.launcher.health.counters import KEPT, RankCounters, read_counters

DATA = Path(__file__).parents[3] / "data"
REAL = (DATA / "h200-x4" / "disagg-metrics.txt").read_text()
DECODE = REAL[REAL.index('dynamo_component="backend"') :]
SIMULATED = """\
dynamo_component_inflight_requests{dynamo_component="backend",dynamo_endpoint="generate"} 2
dynamo_component_inflight_requests{dynamo_component="backend",dynamo_endpoint="kv_query"} 9
dynamo_component_response_bytes_total{dynamo_component="backend",dynamo_endpoint="generate"} 70
"""


def rank(running: int, tokens: int, waiting: int = 0, deferred: int = 0, cache: float = 0) -> str:
    label = 'engine="3",model_name="a \\"b\\" {c}"'
    return (
        f"vllm:num_requests_running{{{label}}} {running}.0\n"
        f'vllm:num_requests_waiting_by_reason{{{label},reason="capacity"}} {waiting}.0\n'
        f'vllm:num_requests_waiting_by_reason{{{label},reason="deferred"}} {deferred}.0\n'
        f"vllm:num_requests_waiting{{{label}}} {waiting + deferred}.0\n"
        f"vllm:generation_tokens_total{{{label}}} {tokens}.0\n"
        f"vllm:kv_cache_usage_perc{{{label}}} {cache}\n"
    )


def counters(**values: float) -> RankCounters:
    found = read_counters(rank(**values), 3)  # type: ignore[arg-type]
    assert found is not None
    return found


def test_real_workers_tell_of_their_ranks() -> None:
    zero, one = read_counters(DECODE, 0), read_counters(DECODE, 1)
    assert zero is not None
    assert one is not None
    assert (zero.pending, zero.tokens, one.tokens) == (0, 27198 + 26544, 27486 + 26804)
    assert read_counters(DECODE, 2) is None


def test_a_simulated_rank_at_work_gets_on() -> None:
    """It counts no tokens: whoever looked twice in the middle of a request took it for stalled."""
    text = (DATA / "dynamo-1.6.1" / "mocker-metrics.txt").read_text()
    one_more = 'inter_token_latency_seconds_count{engine="1",model_name="tiny-model"} 13'
    assert f"{one_more}3\n" in text
    before, after = (
        read_counters(page, 1) for page in (text, text.replace(one_more, one_more + "1"))
    )
    assert before is not None
    assert after is not None
    assert before.moving != after.moving


def test_what_is_kept_is_all_that_is_read() -> None:
    kept = "".join(line for line in REAL.splitlines(True) if line.startswith(KEPT))
    assert len(kept.splitlines()) < 60
    assert read_counters(kept, 0) == read_counters(REAL, 0)


def test_a_chunk_of_a_prefill_is_progress() -> None:
    before, after = counters(running=1, tokens=5), counters(running=1, tokens=5, cache=0.25)
    assert before.moving != after.moving
    assert counters(running=1, tokens=5) == before


def test_what_waits_for_a_cache_from_elsewhere_is_no_work() -> None:
    assert counters(running=0, tokens=5, waiting=2).pending == 2
    assert counters(running=0, tokens=5, deferred=2).pending == 0


def test_what_is_no_number_is_no_progress() -> None:
    first, again = (read_counters(rank(1, 5, cache=float("nan")), 3) for _ in range(2))
    assert first == again
    assert read_counters(rank(1, 5).replace(" 1.0", " inf"), 3) is None


def test_a_simulator_is_read_as_a_whole() -> None:
    assert read_counters(SIMULATED, 1) == RankCounters((70.0,), 2)


def test_what_is_no_metrics_tells_nothing() -> None:
    assert read_counters("", 0) is None
    assert read_counters("vllm:num_requests_running{" + "x" * 10**6 + "} 1\n", 0) is None
    assert read_counters("<html>nginx</html>\nvllm:num_requests_running{} x\n", 0) is None

"""What a worker's own metrics say of each of its ranks: whether it has work, and whether it gets on
with it. Pure.

Read from vLLM 0.31 and Dynamo 1.6: a prefill in chunks moves no token counter until its end, but
the share of the KV cache in use at every step. A simulated rank counts no tokens, but the times
between them. Values that vLLM's engine hasn't sent stay as they were, so those of a rank that hangs
don't move, whatever arrives.
"""

from collections.abc import Mapping

from dsr1.hosts.dataclass import dataclass
from dsr1.launcher.health.page import parse_page

MOVING = (
    "vllm:iteration_tokens_total_count",
    "vllm:generation_tokens_total",
    "vllm:prompt_tokens_total",
    "vllm:inter_token_latency_seconds_count",
    "vllm:kv_cache_usage_perc",
    "vllm:num_requests_running",
    "vllm:num_requests_waiting",
)
RUNNING, WAITING = "vllm:num_requests_running", "vllm:num_requests_waiting_by_reason"
TOKENS = ("vllm:generation_tokens_total", "vllm:prompt_tokens_total")
SENT, IN_FLIGHT = "dynamo_component_response_bytes_total", "dynamo_component_inflight_requests"
KEPT = (*(f"{name}{{" for name in (*MOVING, WAITING, SENT, IN_FLIGHT)),)
"""The beginnings of all lines that are read here."""


@dataclass(frozen=True, slots=True)
class RankCounters:
    """`moving`: as long as this stays the same the rank does nothing. `pending`: requests that it
    computes, or could. `tokens`: all that it has read and written."""

    moving: tuple[float, ...] = ()
    pending: int = 0
    tokens: float = 0.0


Lines = Mapping[tuple[str, str, str], float]  # by name, rank and reason or endpoint


def read_counters(metrics: str, rank: int) -> RankCounters | None:
    """Of a rank by its global number, or, where ranks aren't told apart (a simulator), of the whole
    worker. None: they aren't there."""
    lines = _lines(metrics)
    if (RUNNING, str(rank), "") in lines:
        return _of_rank(lines, str(rank))
    if (SENT, "", "generate") not in lines:
        return None
    sent = lines[SENT, "", "generate"]
    return RankCounters((sent,), int(lines.get((IN_FLIGHT, "", "generate"), 0)), 0.0)


def _of_rank(lines: Lines, rank: str) -> RankCounters:
    """What waits for a KV cache from elsewhere isn't held up by this rank."""
    waiting = lines.get((WAITING, rank, "capacity"), 0)
    return RankCounters(
        tuple(lines.get((name, rank, ""), 0.0) for name in MOVING),
        int(lines[RUNNING, rank, ""] + waiting),
        sum(lines.get((name, rank, ""), 0.0) for name in TOKENS),
    )


def _lines(metrics: str) -> Lines:
    found: dict[tuple[str, str, str], float] = {}
    for line in parse_page(metrics):
        labels = line.labels
        which = "" if "engine" in labels else labels.get("dynamo_endpoint", "")
        found[line.name, labels.get("engine", ""), labels.get("reason", which)] = line.value
    return found

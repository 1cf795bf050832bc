"""What a worker's own metrics say of each of its ranks: whether it has work, and whether it gets on
with it. Pure.

Read from vLLM 0.31 and Dynamo 1.6: a prefill in chunks moves no token counter until its end, but
the share of the KV cache in use at every step. Values that vLLM's engine hasn't sent stay as they
were, so those of a rank that hangs don't move, whatever arrives.
"""

import contextlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

_LINE = re.compile(r"^([a-z0-9_:]+)\{(.*)\} (\S+)$")
LONGEST_LINE = 4096
_LABEL = re.compile(r'(\w+)="([^"]*)"')
MOVING = (
    "vllm:iteration_tokens_total_count",
    "vllm:generation_tokens_total",
    "vllm:prompt_tokens_total",
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
    """Without what is no line of metrics, and what is no number (NaN is never the same)."""
    found: dict[tuple[str, str, str], float] = {}
    for line in metrics.splitlines():
        read = _LINE.match(line) if len(line) < LONGEST_LINE else None
        if read and (value := _number(read[3])) is not None:
            labels: dict[str, str] = dict(_LABEL.findall(read[2]))
            which = "" if "engine" in labels else labels.get("dynamo_endpoint", "")
            found[read[1], labels.get("engine", ""), labels.get("reason", which)] = value
    return found


def _number(text: str) -> float | None:
    with contextlib.suppress(ValueError):
        return value if math.isfinite(value := float(text)) else None
    return None

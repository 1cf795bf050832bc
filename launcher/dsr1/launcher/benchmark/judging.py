"""From single requests to a point, or to why they make none. Pure."""

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.errors import LaunchFailed
from dsr1.hosts.protocol.jobs.orders import EMPTY_ANSWER, SentRequests
from dsr1.launcher.benchmark.point import Goodput, Quantiles, Sla
from dsr1.launcher.benchmark.workload import Workload

SHORT = "a shorter answer than was asked for"
LEAST_GAP_S = 1e-4
_NUMBERS = re.compile(r"0x[0-9a-fA-F]+|\d{4,}")


class PointRefused(LaunchFailed):
    """Too many requests failed for this to be a result."""


@dataclass(frozen=True, slots=True)
class RequestTimes:
    """One request. Seconds; `failure` is empty where it was answered in full."""

    start_s: float
    first_s: float
    whole_s: float
    tokens_in: int
    tokens_out: int
    failure: str

    @property
    def end_s(self) -> float:
        return self.start_s + self.whole_s

    @property
    def is_bunched(self) -> bool:
        """Whether several tokens came at once: faster than any engine makes them."""
        return self.gap_s is not None and self.gap_s < LEAST_GAP_S

    @property
    def gap_s(self) -> float | None:
        """Between its tokens, in the mean. None: it has none."""
        if self.tokens_out < 2:
            return None
        return max(0.0, self.whole_s - self.first_s) / (self.tokens_out - 1)


def judge_requests(sent: SentRequests, workload: Workload) -> list[RequestTimes]:
    """In the order of their starts. An answer counts when it is whole: a stream that ends early
    is no error for a driver."""
    columns = (sent.start_s, sent.first_s, sent.whole_s, sent.tokens_in, sent.tokens_out)
    failures = [
        _failure(error, tokens, workload.answer_length(number))
        for number, (tokens, error) in enumerate(zip(sent.tokens_out, sent.error, strict=True))
    ]
    rows = [RequestTimes(*row) for row in zip(*columns, failures, strict=True)]
    return sorted(rows, key=lambda row: row.start_s)


def _failure(error: str, tokens: int, asked: int) -> str:
    if error:
        return _NUMBERS.sub("N", error)
    if not tokens:
        return EMPTY_ANSWER
    return SHORT if tokens < asked else ""


def count_failures(rows: Sequence[RequestTimes], missing: int = 0) -> dict[str, int]:
    """By kind, the most frequent first; `missing`: requests that the driver says nothing of."""
    found = Counter(row.failure for row in rows if row.failure)
    if missing > 0:
        found["not sent, or nothing is known of it"] = missing
    return dict(found.most_common())


def refuse_failures(failures: Mapping[str, int], sent: int, most_share: float, name: str) -> None:
    """PointRefused: more than that share of what was to be sent has failed."""
    failed = sum(failures.values())
    if failed and failed > most_share * sent:
        kinds = "; ".join(f"{count} x {kind}" for kind, count in failures.items())
        words = (
            f"{name}: no result: {failed} of {sent} requests failed ({failed / sent:.1%}; at most"
            f" {most_share:.1%} may, --max-errors): {kinds}"
        )
        raise PointRefused(words)


@dataclass(frozen=True, slots=True)
class Window:
    """The time that is counted, by the driver's clock, and which requests are."""

    begin_s: float
    end_s: float
    counted: tuple[RequestTimes, ...]

    @property
    def seconds(self) -> float:
        return max(self.end_s - self.begin_s, 1e-6)


def make_window(rows: Sequence[RequestTimes], workload: Workload) -> Window:
    """Of those between warm-up and cool-down, in the order of their starts, that were answered."""
    inner = rows[workload.warmup : len(rows) - workload.cooldown]
    good = tuple(row for row in inner if not row.failure)
    if not good:
        raise PointRefused("no result: no request between warm-up and cool-down was answered")
    return Window(min(row.start_s for row in good), max(row.end_s for row in good), good)


@dataclass(frozen=True, slots=True)
class Throughput:
    """A second, over the window."""

    requests: float
    tokens_in: float
    tokens_out: float


def throughput(rows: Sequence[RequestTimes], window: Window) -> Throughput:
    """Of all requests, as far as they fall into it: those of warm-up and cool-down share the
    deployment with the counted ones. Tokens come evenly between the first and the last."""
    shares = [(row, _share(row, window)) for row in rows if not row.failure]
    return Throughput(
        sum(window.begin_s < row.end_s <= window.end_s for row, _ in shares) / window.seconds,
        sum(row.tokens_in for row, _ in shares if _read_in(row, window)) / window.seconds,
        sum(row.tokens_out * share for row, share in shares) / window.seconds,
    )


def _read_in(row: RequestTimes, window: Window) -> bool:
    return window.begin_s < row.start_s + row.first_s <= window.end_s


def _share(row: RequestTimes, window: Window) -> float:
    """Of its tokens that come within the window."""
    first, last = row.start_s + row.first_s, row.end_s
    if last <= first:
        return 1.0 if window.begin_s <= last <= window.end_s else 0.0
    within = min(last, window.end_s) - max(first, window.begin_s)
    return max(0.0, within) / (last - first)


def quantiles_ms(seconds: Sequence[float]) -> Quantiles | None:
    """Linear between two values, as numpy's. None: of nothing."""
    if not seconds:
        return None
    known = sorted(value * 1000 for value in seconds)
    parts = [_quantile(known, part) for part in (0.5, 0.9, 0.95, 0.99)]
    mean = math.fsum(known) / len(known)
    values = [round(value, 4) for value in (mean, *parts, known[0], known[-1])]
    names = ("mean", "p50", "p90", "p95", "p99", "least", "most")
    return Quantiles(**dict(zip(names, values, strict=True)))


def _quantile(known: Sequence[float], part: float) -> float:
    place = part * (len(known) - 1)
    below = math.floor(place)
    above = min(below + 1, len(known) - 1)
    return known[below] + (known[above] - known[below]) * (place - below)


def goodput(window: Window, sla: Sla | None) -> Goodput | None:
    """A request without a gap between tokens meets any."""
    if sla is None or not sla.limits:
        return None
    good = sum(all(_meets(row, sla)) for row in window.counted)
    share = good / len(window.counted)
    return Goodput(limits=sla.limits, requests_s=good / window.seconds, share=share)


def _meets(row: RequestTimes, sla: Sla) -> Iterator[bool]:
    yield sla.ttft_s is None or row.first_s <= sla.ttft_s
    yield sla.itl_s is None or (row.gap_s or 0.0) <= sla.itl_s
    yield sla.e2e_s is None or row.whole_s <= sla.e2e_s

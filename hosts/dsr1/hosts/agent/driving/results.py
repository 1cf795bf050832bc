"""What each load driver writes, in one form: vLLM's detailed result, AIPerf's records."""

import json
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.protocol.jobs.orders import (
    AIPERF,
    AIPERF_RESULTS,
    EMPTY_ANSWER,
    VLLM_BENCH,
    VLLM_RESULT,
    SentRequests,
)

AIPERF_RECORDS = f"{AIPERF_RESULTS}/profile_export.jsonl"
MOST_WORDS = 160
UNCOUNTED = "an answer without the server's count of tokens"
_BAR = re.compile(r"(\d+)/\d+ \[")
# What an exception of Python's, or of AIPerf's, calls an answer in which nothing was.
_EMPTY_WORDS = ("InvalidInferenceResultError", "Never received a valid chunk")


@dataclass(frozen=True, slots=True)
class SentRequest:
    """A row of SentRequests."""

    start_s: float
    first_s: float
    whole_s: float
    tokens_in: int
    tokens_out: int
    error: str


def as_columns(rows: "list[SentRequest]") -> SentRequests:
    """To the microsecond: floats of full length would be half of what travels."""
    return SentRequests(
        tuple(round(row.start_s, 6) for row in rows),
        tuple(round(row.first_s, 6) for row in rows),
        tuple(round(row.whole_s, 6) for row in rows),
        tuple(row.tokens_in for row in rows),
        tuple(row.tokens_out for row in rows),
        tuple(row.error for row in rows),
    )


class DriverResults(ABC):
    """In the driver's folder. `began`: as in DriveResult, once it was read."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.began = 0.0

    @abstractmethod
    def count(self, said: str) -> int:
        """Requests that are over, while it runs; `said`: the ends of its output and errors."""

    @abstractmethod
    def read(self) -> SentRequests:
        """OSError, ValueError, KeyError, TypeError: there is none, or of another form."""


class VllmResults(DriverResults):
    def count(self, said: str) -> int:
        bars = _BAR.findall(said)
        return int(bars[-1]) if bars else 0

    def read(self) -> SentRequests:
        plain = json.loads((self._folder / VLLM_RESULT).read_bytes())
        names = ("start_times", "ttfts", "latencies", "input_lens", "output_lens")
        texts = zip(plain["errors"], plain["generated_texts"], strict=True)
        errors = [_vllm_error(error, text) for error, text in texts]
        columns = [map(_number, plain[name]) for name in names]
        rows = [SentRequest(*row) for row in zip(*columns, errors)]  # noqa: B905
        if rows:  # its clock is the monotonic one, which is every process's
            self.began = _by_the_wall(min(row.start_s for row in rows))
        return as_columns(rows)


def _by_the_wall(moment: float) -> float:
    return time.time() - (time.perf_counter() - moment)


def _number(value: Any) -> Any:
    if not isinstance(value, (int, float)):
        raise TypeError(f"{value!r} is no number")
    return value


def _vllm_error(error: str, text: str) -> str:
    """Of a traceback its last line."""
    if error:
        return say_error(error.strip().splitlines()[-1])
    return "" if text else EMPTY_ANSWER


def say_error(words: str) -> str:
    return EMPTY_ANSWER if any(one in words for one in _EMPTY_WORDS) else words[:MOST_WORDS]


class AiperfResults(DriverResults):
    def count(self, said: str) -> int:
        try:
            with (self._folder / AIPERF_RECORDS).open("rb") as file:
                return sum(1 for _ in file)
        except OSError:
            return 0

    def read(self) -> SentRequests:
        with (self._folder / AIPERF_RECORDS).open("rb") as file:
            plain = [json.loads(line) for line in file]
        plain.sort(key=lambda one: (one["metadata"]["session_num"], one["metadata"]["turn_index"]))
        rows = [_aiperf_row(one) for one in plain]
        self.began = min((row.start_s for row in rows), default=0.0)
        return as_columns(rows)


def _aiperf_row(plain: Mapping[str, Any]) -> SentRequest:
    told, metrics = plain["metadata"], plain["metrics"]
    start, error = told["request_start_ns"] / 1e9, _aiperf_error(plain.get("error"))
    whole = (told["request_end_ns"] - told["request_start_ns"]) / 1e9
    if error:
        return SentRequest(start, 0.0, whole, 0, 0, error)
    if not metrics.keys() >= {*_AIPERF_TOKENS}:
        return SentRequest(start, 0.0, whole, 0, 0, UNCOUNTED)
    tokens = [int(metrics[name]["value"]) for name in _AIPERF_TOKENS]
    first, last = (_seconds(metrics[name]) for name in _AIPERF_TIMES)
    return SentRequest(start, first, last, tokens[0], tokens[1], "")


_AIPERF_TOKENS = ("input_sequence_length", "output_sequence_length")
_AIPERF_TIMES = ("time_to_first_token", "request_latency")
_UNITS = {"s": 1.0, "sec": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}


def _seconds(metric: Mapping[str, Any]) -> float:
    return float(metric["value"]) * _UNITS[metric["unit"]]


def _aiperf_error(error: Mapping[str, Any] | None) -> str:
    if not error:
        return ""
    code, kind = error.get("code"), str(error.get("type") or "")
    words = str(error.get("message") or "")
    if code:
        return say_error(f"HTTP {code} {kind}".strip())
    return say_error(words if kind and kind in words else f"{kind}: {words}".strip(": "))


RESULTS: Mapping[str, type[DriverResults]] = {
    VLLM_BENCH: VllmResults,
    AIPERF: AiperfResults,
}

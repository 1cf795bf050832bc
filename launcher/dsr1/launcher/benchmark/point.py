"""What was measured of a deployment under one load, and how it is written down."""

from collections.abc import Mapping
from pathlib import PurePath

from pydantic import BaseModel, ConfigDict

from dsr1.hosts.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Sla:
    """What a request must meet to be good, in seconds. `itl_s`: the mean gap between its tokens."""

    ttft_s: float | None = None
    itl_s: float | None = None
    e2e_s: float | None = None

    @property
    def limits(self) -> dict[str, float]:
        """Those that are set, in milliseconds."""
        named = {"ttft_ms": self.ttft_s, "itl_ms": self.itl_s, "e2e_ms": self.e2e_s}
        return {name: value * 1000 for name, value in named.items() if value is not None}


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")  # a later dsr1 may know more


class Quantiles(_Part):
    """Of all counted requests."""

    mean: float
    p50: float
    p90: float
    p95: float
    p99: float
    least: float
    most: float


class Goodput(_Part):
    """Requests that met all of `limits` (in ms): a second, and of all that were counted."""

    limits: dict[str, float]
    requests_s: float
    share: float


class ServerWindow(_Part):
    """What the servers said of themselves between the beginning and the end of the driver.
    `kv_usage`, `running` and `waiting`: the highest that was seen; the rest was counted. None:
    nobody tells."""

    snapshots: int
    kv_usage: float | None = None
    running: float | None = None
    waiting: float | None = None
    preemptions: float | None = None
    prompt_tokens: float | None = None
    generated_tokens: float | None = None
    prefix_hits: float | None = None
    mean_queue_s: float | None = None
    nixl_failed: float | None = None
    gpu_power_w: float | None = None


class WorkloadShown(_Part):
    """A workload as it was asked for. `file`: its kind and path."""

    isl: int
    osl: int
    concurrency: int | None
    rate: float | None
    requests: int
    warmup: int
    cooldown: int
    seed: int
    file: str = ""

    @property
    def requests_are(self) -> str:
        """`ISL 4000 / OSL 1000`, or `trace conversation.jsonl`."""
        kind, _, path = self.file.partition(" ")
        return f"{kind} {PurePath(path).name}" if kind else f"ISL {self.isl} / OSL {self.osl}"

    @property
    def words(self) -> str:
        """And how many at once or a second."""
        rate = f", {self.rate:g} requests/s" if self.rate else ""
        at_once = f", {self.concurrency} at once" if self.concurrency else ""
        return f"{self.requests_are}{rate}{at_once}"


class BenchPoint(_Part):
    """One load, measured. Times of requests in ms, tokens as the server counted them. `sent` and
    `failures` are of all requests, all else of those that are counted, over the `seconds` between
    the first of them and the end of the last. `gpus` 0: engines on CPUs, or simulated."""

    driver: str
    driver_version: str
    model: str
    url: str
    source: str
    source_cpus: tuple[int, ...]
    at: str
    workload: WorkloadShown
    gpus: int
    seconds: float
    sent: int
    counted: int
    failed: int
    failures: dict[str, int]
    tokens_in: float
    tokens_out: float
    ttft_ms: Quantiles
    itl_ms: Quantiles | None
    e2e_ms: Quantiles
    requests_s: float
    output_tokens_s: float
    total_tokens_s: float
    output_tokens_s_gpu: float | None
    total_tokens_s_gpu: float | None
    output_tokens_s_user: float | None
    goodput: Goodput | None = None
    server: ServerWindow | None = None
    notes: tuple[str, ...] = ()


METRICS: Mapping[str, tuple[str, str]] = {
    "output_tokens_s": ("output tokens/s", "more"),
    "total_tokens_s": ("total tokens/s", "more"),
    "output_tokens_s_gpu": ("output tokens/s/GPU", "more"),
    "output_tokens_s_user": ("output tokens/s/user", "more"),
    "requests_s": ("requests/s", "more"),
    "ttft_ms.p50": ("TTFT p50, ms", "less"),
    "ttft_ms.p99": ("TTFT p99, ms", "less"),
    "itl_ms.p50": ("ITL p50, ms", "less"),
    "itl_ms.p99": ("ITL p99, ms", "less"),
    "e2e_ms.p50": ("E2E p50, ms", "less"),
    "e2e_ms.p99": ("E2E p99, ms", "less"),
}
"""What points are compared by: how each is called, and which is better."""


def metric_of(point: BenchPoint, name: str) -> float | None:
    """By a name of METRICS. None: this point has it not."""
    value: object = point
    for part in name.split("."):
        value = getattr(value, part, None)
    return value if isinstance(value, float) else None

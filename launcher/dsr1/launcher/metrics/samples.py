"""All that is known of a deployment at one moment. None stands for what a server doesn't tell."""

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.protocol.facts.devices import GpuGauges, RdmaCounters


@dataclass(frozen=True, slots=True)
class Histogram:
    """`bounds` of its buckets in seconds but for the last, infinite one; `counts` are cumulative,
    one more than bounds."""

    bounds: tuple[float, ...] = ()
    counts: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class RankSample:
    """`kv_usage` is of 1. Tokens, transfers, preemptions and `_s` (seconds) are counted since the
    rank began. `waiting` for room, `deferred` for a transfer or an adapter. `dropped_events` and
    `hit`, `looked_up` (tokens of prompts) are of the prefix cache."""

    engine: str
    rank: int
    host: str
    process: str
    role: str = "aggregated"
    running: float | None = None
    waiting: float | None = None
    deferred: float | None = None
    kv_usage: float | None = None
    preemptions: float | None = None
    prompt_tokens: float | None = None
    generated_tokens: float | None = None
    queue_s: float | None = None
    queued: float | None = None
    looked_up: float | None = None
    hit: float | None = None
    nixl_s: float | None = None
    nixl_transfers: float | None = None
    nixl_bytes: float | None = None
    nixl_failed: float | None = None
    nixl_expired: float | None = None
    dropped_events: float | None = None


@dataclass(frozen=True, slots=True)
class FrontendSample:
    """A server that clients talk to. `failed` requests are those that didn't end in success;
    `hit_sum` of `hit_count` is the router's rate of prefix hits."""

    process: str
    host: str
    requests: float | None = None
    failed: float | None = None
    inflight: float | None = None
    queued: float | None = None
    input_tokens: float | None = None
    output_tokens: float | None = None
    router_queue: float | None = None
    hit_sum: float | None = None
    hit_count: float | None = None
    ttft: Histogram = Histogram()
    itl: Histogram = Histogram()


@dataclass(frozen=True, slots=True)
class GpuSample:
    host: str
    gpu: str
    gauges: GpuGauges


@dataclass(frozen=True, slots=True)
class PortSample:
    """Of an RDMA adapter."""

    host: str
    port: str
    counters: RdmaCounters


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`time`: seconds since the epoch, for people; `at`: the reader's monotonic clock, for rates.
    `unread`: hosts whose agent wasn't heard."""

    time: float
    at: float
    ranks: tuple[RankSample, ...] = ()
    frontends: tuple[FrontendSample, ...] = ()
    gpus: tuple[GpuSample, ...] = ()
    ports: tuple[PortSample, ...] = ()
    unread: tuple[str, ...] = ()

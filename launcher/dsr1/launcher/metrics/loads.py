"""The load of a deployment, of its engines and of its hosts.

Rates are a second, times in seconds, shares of 1; None: nobody tells.
"""

from dsr1.hosts.dataclass import dataclass
from dsr1.launcher.health.verdicts import HEALTHY
from dsr1.launcher.metrics.rates import Value


@dataclass(frozen=True, slots=True)
class Load:
    """Of ranks taken together. `imbalance`: requests of the busiest rank by the mean's."""

    running: Value
    waiting: Value
    deferred: Value
    kv_usage: Value
    tokens_in: Value
    tokens_out: Value
    preemptions: Value
    prefix_hits: Value
    nixl_bytes: Value
    nixl_failed: Value
    imbalance: Value


@dataclass(frozen=True, slots=True)
class EngineLoad:
    """`unwell`: ranks that are suspect or have failed."""

    engine: str
    role: str
    ranks: int
    unwell: int
    load: Load


@dataclass(frozen=True, slots=True)
class RankLoad:
    engine: str
    rank: int
    verdict: str
    running: Value
    waiting: Value
    kv_usage: Value


@dataclass(frozen=True, slots=True)
class HostLoad:
    """`ranks` in their order. `throttled`: why a GPU of it is slowed down. `link_errors`: what
    NVLink and RDMA ports have counted since the oldest reading that is shown, of ten minutes."""

    host: str
    heard: bool
    ranks: tuple[RankLoad, ...]
    load: Load
    gpus: int
    memory_usage: Value
    power_w: Value
    temperature_c: Value
    throttled: tuple[str, ...]
    link_errors: Value

    @property
    def unwell(self) -> int:
        return sum(rank.verdict != HEALTHY for rank in self.ranks)


@dataclass(frozen=True, slots=True)
class ServiceLoad:
    """As clients see it. `out_per_user`: tokens a second of one request. `prefill_load` and
    `decode_load`: requests a rank of such engines has."""

    requests: Value
    failed: Value
    inflight: Value
    queued: Value
    tokens_in: Value
    tokens_out: Value
    out_per_gpu: Value
    out_per_user: Value
    ttft_p50: Value
    ttft_p95: Value
    itl_p50: Value
    itl_p95: Value
    router_hits: Value
    prefill_load: Value
    decode_load: Value


@dataclass(frozen=True, slots=True)
class Trend:
    """One value for each of the last snapshots, oldest first."""

    tokens_out: tuple[Value, ...]
    waiting: tuple[Value, ...]
    kv_usage: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class DeploymentView:
    """`time`: of its newest snapshot, in seconds since the epoch. Engines and hosts: the worst
    first."""

    time: float
    service: ServiceLoad
    load: Load
    engines: tuple[EngineLoad, ...]
    hosts: tuple[HostLoad, ...]
    trend: Trend

"""What a deployment does now, as people ask for it: the whole, engine by engine, host by host.
Pure."""

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace

from dsr1.launcher.health.verdicts import HEALTHY, RankHealth
from dsr1.launcher.metrics.loads import (
    DeploymentView,
    EngineLoad,
    HostLoad,
    Load,
    RankLoad,
    ServiceLoad,
    Trend,
)
from dsr1.launcher.metrics.rates import (
    Growth,
    Value,
    most,
    quantile,
    share,
    sum_known,
    window,
)
from dsr1.launcher.metrics.samples import GpuSample, PortSample, RankSample, Snapshot

RATE_S, LATENCY_S = 15.0, 65.0
"""Rates are of about the last two snapshots, latencies of the last minute."""
PREFILL, DECODE = "prefill", "decode"


def make_view(
    snapshots: Sequence[Snapshot],
    ailing: Sequence[RankHealth] = (),
    engine: str = "",
    host: str = "",
) -> DeploymentView:
    """Of at least one snapshot, oldest first; with `engine` or `host` of that alone."""
    kept = [_only(one, engine, host) for one in snapshots]
    newest = kept[-1]
    growth, slow = _growth(kept, RATE_S), _growth(kept, LATENCY_S)
    verdicts = {(row.engine, row.rank): row.verdict for row in ailing}
    load = _load(newest.ranks, growth)
    whole = _growth(kept, math.inf)
    rows = [_host(newest, name, verdicts, growth, whole) for name in _host_names(newest)]
    if host:
        rows = [row for row in rows if row.host == host]
    return DeploymentView(
        newest.time,
        _service(newest, load, growth, slow),
        load,
        tuple(sorted(_engines(newest, verdicts, growth), key=_engine_badness, reverse=True)),
        tuple(sorted(rows, key=_badness, reverse=True)),
        _trend(kept),
    )


def _only(snapshot: Snapshot, engine: str, host: str) -> Snapshot:
    ranks = [one for one in snapshot.ranks if engine in ("", one.engine) and host in ("", one.host)]
    hosts = {one.host for one in ranks} if engine and not host else {host} if host else None

    def is_in(one: GpuSample | PortSample) -> bool:
        return hosts is None or one.host in hosts

    return replace(
        snapshot,
        ranks=tuple(ranks),
        gpus=tuple(filter(is_in, snapshot.gpus)),
        ports=tuple(filter(is_in, snapshot.ports)),
    )


def _growth(snapshots: Sequence[Snapshot], seconds: float) -> Growth | None:
    found = window(snapshots, seconds)
    return Growth(*found) if found else None


def _load(ranks: Sequence[RankSample], growth: Growth | None) -> Load:
    def total(field: str) -> Value:
        return sum_known(getattr(one, field) for one in ranks)

    def rate(field: str) -> Value:
        return growth.of_ranks(ranks, field) if growth else None

    requests = [one.running + (one.waiting or 0) for one in ranks if one.running is not None]
    mean = sum(requests) / len(requests) if requests else None
    return Load(
        running=total("running"),
        waiting=total("waiting"),
        deferred=total("deferred"),
        kv_usage=most(one.kv_usage for one in ranks),
        tokens_in=rate("prompt_tokens"),
        tokens_out=rate("generated_tokens"),
        preemptions=rate("preemptions"),
        prefix_hits=share(rate("hit"), rate("looked_up")),
        nixl_bytes=rate("nixl_bytes"),
        nixl_failed=sum_known((total("nixl_failed"), total("nixl_expired"))),
        imbalance=share(most(requests), mean),
    )


def _service(
    newest: Snapshot, load: Load, growth: Growth | None, slow: Growth | None
) -> ServiceLoad:
    """Tokens by the frontends' count, which simulators have, too; else by the ranks'."""
    servers = newest.frontends

    def rate(field: str) -> Value:
        return growth.of_frontends(servers, field) if growth else None

    def latency(field: str, part: float) -> Value:
        if slow is None:
            return None
        return quantile(slow.histogram(servers, lambda one: getattr(one, field)), part)

    tokens_out = _first_known(rate("output_tokens"), load.tokens_out)
    return ServiceLoad(
        requests=rate("requests"),
        failed=rate("failed"),
        inflight=sum_known(one.inflight for one in servers),
        queued=sum_known(one.queued for one in servers),
        tokens_in=_first_known(rate("input_tokens"), load.tokens_in),
        tokens_out=tokens_out,
        out_per_gpu=share(tokens_out, len(newest.gpus) or len(newest.ranks)),
        out_per_user=share(1.0, latency("itl", 0.5)),
        ttft_p50=latency("ttft", 0.5),
        ttft_p95=latency("ttft", 0.95),
        itl_p50=latency("itl", 0.5),
        itl_p95=latency("itl", 0.95),
        router_hits=share(rate("hit_sum"), rate("hit_count")),
        prefill_load=_load_of_role(newest.ranks, PREFILL),
        decode_load=_load_of_role(newest.ranks, DECODE),
    )


def _first_known(one: Value, other: Value) -> Value:
    return other if one is None else one


def _load_of_role(ranks: Sequence[RankSample], role: str) -> Value:
    own = [one for one in ranks if one.role == role]
    requests = sum_known(value for one in own for value in (one.running, one.waiting))
    return share(requests, len(own))


Verdicts = dict[tuple[str, int], str]


def _engines(newest: Snapshot, verdicts: Verdicts, growth: Growth | None) -> Iterator[EngineLoad]:
    for engine in dict.fromkeys(one.engine for one in newest.ranks):
        own = [one for one in newest.ranks if one.engine == engine]
        unwell = sum((one.engine, one.rank) in verdicts for one in own)
        yield EngineLoad(engine, own[0].role, len(own), unwell, _load(own, growth))


def _engine_badness(row: EngineLoad) -> tuple[float, ...]:
    return row.unwell, row.load.waiting or 0, row.load.kv_usage or 0


def _host_names(newest: Snapshot) -> Collection[str]:
    named = (newest.ranks, newest.gpus, newest.ports)
    return dict.fromkeys([*(one.host for part in named for one in part), *newest.unread])


def _host(
    newest: Snapshot, host: str, verdicts: Verdicts, growth: Growth | None, whole: Growth | None
) -> HostLoad:
    own = [one for one in newest.ranks if one.host == host]
    gauges = [one.gauges for one in newest.gpus if one.host == host]
    reasons = (reason for one in gauges for reason in slowing(one.throttle))
    return HostLoad(
        host=host,
        heard=host not in newest.unread,
        ranks=tuple(_rank(one, verdicts) for one in own),
        load=_load(own, growth),
        gpus=len(gauges),
        memory_usage=most(share(one.memory_used_bytes, one.memory_total_bytes) for one in gauges),
        power_w=sum_known(one.power_w for one in gauges),
        temperature_c=most(one.temperature_c for one in gauges),
        throttled=tuple(dict.fromkeys(reasons)),
        link_errors=whole.of_links(newest, host) if whole else None,
    )


def _rank(one: RankSample, verdicts: Verdicts) -> RankLoad:
    verdict = verdicts.get((one.engine, one.rank), HEALTHY)
    return RankLoad(one.engine, one.rank, verdict, one.running, one.waiting, one.kv_usage)


def _badness(row: HostLoad) -> tuple[float, ...]:
    """Who isn't heard, who is unwell, who is slowed down, who is full."""
    slowed = len(row.throttled)
    return not row.heard, row.unwell, slowed, row.load.waiting or 0, row.load.kv_usage or 0


def _trend(snapshots: Sequence[Snapshot]) -> Trend:
    pairs = [window(snapshots[: number + 1], 0.0) for number in range(len(snapshots))]
    return Trend(
        tokens_out=tuple(_tokens_out(pair) for pair in pairs),
        waiting=_each(snapshots, lambda one: sum_known(rank.waiting for rank in one.ranks)),
        kv_usage=_each(snapshots, lambda one: most(rank.kv_usage for rank in one.ranks)),
    )


def _tokens_out(pair: tuple[Snapshot, Snapshot] | None) -> Value:
    if pair is None:
        return None
    growth, after = Growth(*pair), pair[1]
    by_frontends = growth.of_frontends(after.frontends, "output_tokens")
    return _first_known(by_frontends, growth.of_ranks(after.ranks, "generated_tokens"))


def _each(snapshots: Sequence[Snapshot], of: Callable[[Snapshot], Value]) -> tuple[Value, ...]:
    return tuple(of(one) for one in snapshots)


SLOWING = {
    0x04: "power cap",
    0x08: "hardware slowdown",
    0x20: "temperature",
    0x40: "temperature (hardware)",
    0x80: "power brake",
}
"""Not those that slow nothing that is wanted: idle, application clocks, sync boost."""


def slowing(bits: Value) -> tuple[str, ...]:
    return tuple(word for bit, word in SLOWING.items() if int(bits or 0) & bit)

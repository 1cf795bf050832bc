"""What happened between two snapshots. Pure."""

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import TypeVar

from dsr1.launcher.metrics.samples import FrontendSample, Histogram, RankSample, Snapshot

SampleT = TypeVar("SampleT", RankSample, FrontendSample)
Value = float | None


def sum_known(values: Iterable[Value]) -> Value:
    """None: nobody tells."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def most(values: Iterable[Value]) -> Value:
    return max((value for value in values if value is not None), default=None)


def share(part: Value, whole: Value) -> Value:
    """None: of nothing, or not told, or beyond any number."""
    found = part / whole if part is not None and whole else math.inf
    return found if math.isfinite(found) else None


def grown(after: Value, before: Value) -> Value:
    """Of a counter; one that began anew has what it counted since."""
    if after is None:
        return None
    return after - before if before is not None and before <= after else after


def window(snapshots: Sequence[Snapshot], seconds: float) -> tuple[Snapshot, Snapshot] | None:
    """The oldest that is at most so many seconds before the newest, or the one before it; and the
    newest. None: there is no earlier one by the same clock."""
    newest = snapshots[-1]
    earlier = [one for one in snapshots[:-1] if one.at < newest.at]
    if not earlier:
        return None
    recent = [one for one in earlier if newest.at - one.at <= seconds]
    return (recent[0] if recent else earlier[-1]), newest


class Growth:
    """Of the counters of all that are in both snapshots; who is new counts from its next one."""

    def __init__(self, before: Snapshot, after: Snapshot) -> None:
        self.seconds = after.at - before.at
        self._ranks = {(one.engine, one.rank): one for one in before.ranks}
        self._frontends = {one.process: one for one in before.frontends}
        self._links = _link_errors(before)

    def of_ranks(self, ranks: Sequence[RankSample], field: str) -> Value:
        """A second, of all together."""
        pairs = [(one, self._ranks.get((one.engine, one.rank))) for one in ranks]
        return self._a_second(_grown_pairs(pairs, field))

    def of_frontends(self, frontends: Sequence[FrontendSample], field: str) -> Value:
        pairs = [(one, self._frontends.get(one.process)) for one in frontends]
        return self._a_second(_grown_pairs(pairs, field))

    def of_links(self, after: Snapshot, host: str) -> Value:
        """Errors of the host's NVLink and RDMA ports that came meanwhile, not a second: what they
        had counted before may be as old as the driver."""
        pairs = [(key, count) for key, count in _link_errors(after).items() if key[0] == host]
        return sum_known(
            grown(count, self._links[key]) for key, count in pairs if key in self._links
        )

    def histogram(
        self, frontends: Sequence[FrontendSample], of: Callable[[FrontendSample], Histogram]
    ) -> Histogram:
        """Of those frontends whose buckets are the first one's."""
        bounds = next((of(one).bounds for one in frontends if of(one).counts), ())
        added = [0.0] * (len(bounds) + 1)
        for one in frontends:
            before = self._frontends.get(one.process)
            if before is None or not of(one).bounds == of(before).bounds == bounds:
                continue
            for number, pair in enumerate(zip(of(one).counts, of(before).counts, strict=False)):
                added[number] += grown(*pair) or 0.0
        return Histogram(bounds, tuple(added))

    def _a_second(self, value: Value) -> Value:
        return share(value, self.seconds)


def _link_errors(snapshot: Snapshot) -> dict[tuple[str, str], float]:
    """By host, and GPU or port."""
    gpus = (((one.host, one.gpu), one.gauges.nvlink_errors) for one in snapshot.gpus)
    ports = (((one.host, one.port), one.counters.errors) for one in snapshot.ports)
    return {key: count for key, count in chain(gpus, ports) if count is not None}


def _grown_pairs(pairs: Sequence[tuple[SampleT, SampleT | None]], field: str) -> Value:
    return sum_known(
        grown(getattr(one, field), getattr(before, field))
        for one, before in pairs
        if before is not None
    )


def quantile(histogram: Histogram, part: float) -> Value:
    """As Prometheus's histogram_quantile: even within a bucket, the highest bound at most. None:
    nothing was counted."""
    counts, bounds = histogram.counts, histogram.bounds
    if not bounds or counts[-1] <= 0:
        return None
    wanted = part * counts[-1]
    index = next(number for number, count in enumerate(counts) if count >= wanted)
    if index == len(bounds):
        return bounds[-1]
    lower, below = (bounds[index - 1], counts[index - 1]) if index else (0.0, 0.0)
    within = counts[index] - below
    return lower + (bounds[index] - lower) * ((wanted - below) / within if within else 1.0)

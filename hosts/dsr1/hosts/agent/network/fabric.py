"""The fabric's test on this host: a child for each device, all ended with the job, and their
reports."""

import json
import pkgutil
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict, replace

from dsr1.hosts.agent.process.bounded_child import (
    BoundedChild,
    is_abandoned,
    start_bounded,
    wait_bounded,
)
from dsr1.hosts.protocol.jobs.messages import JobContext
from dsr1.hosts.protocol.jobs.orders import FabricOrder, FabricResult, RankReport
from dsr1.hosts.protocol.plain import from_plain


def fabric_job(order: FabricOrder, context: JobContext) -> FabricResult:
    with ExitStack() as stack:
        ranks = [stack.enter_context(_begin(order, local)) for local in range(order.local_ranks)]
        context.meter.total, context.meter.doing = order.hosts - 1, "pairs"
        context.meter.measure = lambda: min(rank.count_lines() for rank in ranks)
        over = wait_bounded(ranks, order.limit_s, is_abandoned)
        context.meter.measure = None
        reports = [from_plain(RankReport, line) for rank in ranks for line in rank.lines()]
        errors = [
            _why(rank, ended)
            for rank, ended in zip(ranks, over, strict=True)
            if not ended or rank.process.returncode
        ]
    return FabricResult(tuple(reports), tuple(errors))


def _begin(order: FabricOrder, local: int) -> AbstractContextManager[BoundedChild]:
    """By its source, so that it needs nothing but torch; also from within the bundle."""
    source = (pkgutil.get_data("dsr1.hosts.agent.network", "fabric_rank.py") or b"").decode()
    rank = json.dumps(asdict(replace(order, env={})) | {"local": local})
    return start_bounded((*order.python, "-c", source, rank), order.env)


def _why(rank: BoundedChild, ended: bool) -> str:
    return rank.last_line() if ended else "it did not end in time"

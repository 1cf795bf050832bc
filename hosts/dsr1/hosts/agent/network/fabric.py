"""The fabric's test on this host: a child for each device, all ended with the job, and what they
told."""

import json
import pkgutil
from contextlib import AbstractContextManager, ExitStack
from typing import Any

from dsr1.hosts.agent.process.bounded_child import (
    BoundedChild,
    is_abandoned,
    start_bounded,
    wait_bounded,
)
from dsr1.hosts.protocol.job import JobContext, JobOrder


def fabric_job(order: JobOrder, desk: JobContext) -> dict[str, Any]:
    """`told` is every line of every child; `errors` are the last words of those that ended badly or
    were ended."""
    with ExitStack() as stack:
        ranks = [stack.enter_context(_begin(order, local)) for local in range(int(order["locals"]))]
        desk.meter.total, desk.meter.doing = int(order["hosts"]) - 1, "pairs"
        desk.meter.measure = lambda: min(rank.count_lines() for rank in ranks)
        over = wait_bounded(ranks, float(order["limit_s"]), is_abandoned)
        desk.meter.measure = None
        told = [line for rank in ranks for line in rank.lines()]
        errors = [
            _why(rank, ended)
            for rank, ended in zip(ranks, over)  # noqa: B905
            if not ended or rank.process.returncode
        ]
    return {"told": told, "errors": errors}


def _begin(order: JobOrder, local: int) -> AbstractContextManager[BoundedChild]:
    """By its source, so that it needs nothing but torch; also from within the bundle."""
    source = (pkgutil.get_data("dsr1.hosts.agent.network", "fabric_rank.py") or b"").decode()
    asked = json.dumps(
        {**{key: value for key, value in order.items() if key != "env"}, "local": local}
    )
    return start_bounded((*order["python"], "-c", source, asked), order["env"])


def _why(rank: BoundedChild, ended: bool) -> str:
    return rank.last_line() if ended else "it did not end in time"

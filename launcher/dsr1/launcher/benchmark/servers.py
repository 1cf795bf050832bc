"""What a run's own servers tell while a driver runs: a snapshot before and one after, and those
that its supervisor takes meanwhile."""

import contextlib
import sqlite3
import time
from collections.abc import Callable, Sequence

from dsr1.hosts.errors import Dsr1Error
from dsr1.launcher.benchmark.measure import ReadServers
from dsr1.launcher.benchmark.point import ServerWindow
from dsr1.launcher.health.members import watched_ranks
from dsr1.launcher.health.readings import read_servers
from dsr1.launcher.health.settings import AsksAgents
from dsr1.launcher.metrics.rates import Growth, Value, most, share, sum_known
from dsr1.launcher.metrics.samples import Snapshot
from dsr1.launcher.metrics.snapshot import make_snapshot
from dsr1.launcher.metrics.store import MetricsReader
from dsr1.launcher.metrics.wanted import wanted_readings
from dsr1.launcher.plan.plan import Plan
from dsr1.launcher.run.store import Run

READ_S, RECENT = 5.0, 400


def server_reader(run: Run, agents: AsksAgents) -> ReadServers:
    """Where nobody can be asked there is no window."""
    plan = run.plan()

    def begin() -> Callable[[], ServerWindow | None]:
        before = _look(plan, agents)

        def finish() -> ServerWindow | None:
            after = _look(plan, agents)
            if before is None or after is None:
                return None
            return make_server_window(before, _between(run, before, after), after)

        return finish

    return begin


def _look(plan: Plan, agents: AsksAgents) -> Snapshot | None:
    ranks = watched_ranks(plan)
    try:
        readings = read_servers(
            plan, ranks, agents, READ_S, wanted_readings(plan, READ_S, devices=True)
        )
    except Dsr1Error:
        return None
    found = make_snapshot(ranks, readings, time.time(), time.monotonic())
    return found if found.ranks or found.frontends else None


def _between(run: Run, before: Snapshot, after: Snapshot) -> list[Snapshot]:
    with contextlib.suppress(sqlite3.Error, OSError):
        recent = MetricsReader(run.folder).last(RECENT)
        return [one for _, one in recent if before.time < one.time < after.time]
    return []


def make_server_window(
    before: Snapshot, between: Sequence[Snapshot], after: Snapshot
) -> ServerWindow:
    """Pure."""
    growth, every = Growth(before, after), (before, *between, after)
    inner = [rank for one in every for rank in one.ranks]

    def counted(field: str) -> Value:
        rate = growth.of_ranks(after.ranks, field)
        return None if rate is None else round(rate * growth.seconds, 6)

    return ServerWindow(
        snapshots=len(every),
        kv_usage=most(rank.kv_usage for rank in inner),
        running=most(sum_known(rank.running for rank in one.ranks) for one in every),
        waiting=most(sum_known(rank.waiting for rank in one.ranks) for one in every),
        preemptions=counted("preemptions"),
        prompt_tokens=counted("prompt_tokens"),
        generated_tokens=counted("generated_tokens"),
        prefix_hits=share(counted("hit"), counted("looked_up")),
        mean_queue_s=share(counted("queue_s"), counted("queued")),
        nixl_failed=sum_known((counted("nixl_failed"), counted("nixl_expired"))),
        gpu_power_w=most(sum_known(gpu.gauges.power_w for gpu in one.gpus) for one in every),
    )

"""An engine that was started again is asked before it counts: what of it takes requests."""

import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from dsr1.hosts.protocol.process import Process
from dsr1.launcher.commands.etcd import ETCD
from dsr1.launcher.health.members import WatchedRank, watched_ranks
from dsr1.launcher.health.readings import Readings, read_servers
from dsr1.launcher.health.ready import ask_every_rank
from dsr1.launcher.health.settings import AsksAgents
from dsr1.launcher.plan.plan import Plan
from dsr1.launcher.run.settings import RunSettings
from dsr1.launcher.smoke.frontend import await_frontend

PROBE_S, PAUSE_S, ROUNDS = 0.1, 1.0, 3  # as before a deployment is ready
# After an etcd that began anew a frontend takes up its watches one by one, and refuses (HTTP 400)
# who asks for a worker that it lists already and doesn't know yet: 3 to 8 s were seen.
SETTLE_S = 15.0


def ask_engine(
    plan: Plan,
    settings: RunSettings,
    agents: AsksAgents,
    processes: Sequence[Process],
    done: threading.Event,
    report: Callable[[str], None],
) -> str | None:
    """Empty: it serves; else what is wrong with its answers. None: it was `done` before. That etcd
    listens was waited for already. `report` gets what is still missing, whenever that changes."""
    if {process.name for process in processes} == {ETCD}:
        return ""
    if not any(process.ranks for process in processes):
        return await_frontend(plan.service, _urls(plan, processes), settings.access, done)
    return _await_ranks(plan, settings, agents, processes[0].group, done, report)


def _await_ranks(
    plan: Plan,
    settings: RunSettings,
    agents: AsksAgents,
    engine: str,
    done: threading.Event,
    report: Callable[[str], None],
) -> str | None:
    """Registered at every frontend, then asked. What a frontend that is away, or has yet to hear of
    the engine, makes of an answer isn't held against it."""
    ranks = [rank for rank in watched_ranks(plan) if rank.planned.engine == engine]
    rounds, reported, listed_at = 0, "", math.inf
    while not done.wait(PROBE_S):
        readings = read_servers(plan, ranks, agents, settings.health.read_s)
        lacks = "; ".join(_unlisted(plan, ranks, readings))
        if not lacks:
            listed_at = min(listed_at, time.monotonic())
            found = ask_every_rank(plan, settings.health, agents, settings.access, engine)
            lacks = "; ".join(found.problems)
            rounds += all(got.is_ok for got in readings.frontends.values())
            if not lacks or (rounds >= ROUNDS and time.monotonic() > listed_at + SETTLE_S):
                return lacks
            done.wait(PAUSE_S)
        if lacks != reported:
            report(reported := lacks)
    return None


def _unlisted(plan: Plan, ranks: Sequence[WatchedRank], readings: Readings) -> Iterator[str]:
    """vLLM's own servers are listed nowhere."""
    if plan.service.registrations is None:
        return
    for process in dict.fromkeys(rank.worker.process for rank in ranks):
        if readings.workers.get(process) not in (readings.listed or ()):
            yield f"{process} is not registered"


def _urls(plan: Plan, processes: Sequence[Process]) -> tuple[str, ...]:
    """Of a frontend among several by its port; else where clients connect."""
    ports = {port for process in processes for port in process.ports}
    own = [url for url in plan.service.frontend_urls if int(url.rpartition(":")[2]) in ports]
    return tuple(own) or (plan.service.url,)

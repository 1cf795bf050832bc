"""The ranks of an engine are put to sleep and woken, by the control routes of its workers."""

import json
import threading
import time
from collections.abc import Sequence

from dsr1.hosts.protocol.http import CONTROLS, HttpGet
from dsr1.hosts.transport.parallel import run_on_all
from dsr1.launcher.health.counters import read_counters
from dsr1.launcher.health.members import WatchedRank, watched_ranks, worker_gets
from dsr1.launcher.health.readings import read_servers
from dsr1.launcher.health.settings import AsksAgents
from dsr1.launcher.plan.plan import Plan
from dsr1.launcher.smoke.readiness import MALFORMED

SLEEP, WAKE = CONTROLS
CONTROL_S, LOOK_S, READ_S = 600.0, 0.2, 5.0


def sleep_engine(
    plan: Plan, engine: str, agents: AsksAgents, drain_s: float, done: threading.Event
) -> str | None:
    """Empty: all of its workers sleep; else why not. None: it was `done` before. A worker leaves
    the router, and ends what it has, when it is told to: at a moment when it has nothing, or when
    its requests have had their time."""
    ranks = _ranks_of(plan, engine)
    until = time.monotonic() + drain_s
    while _is_busy(plan, ranks, agents) and time.monotonic() < until:
        if done.wait(LOOK_S):
            return None
    return None if done.is_set() else _tell_all(ranks, agents, SLEEP)


def wake_engine(plan: Plan, engine: str, agents: AsksAgents) -> str:
    """Empty: all of its workers are awake, and in the router again; else why not."""
    return _tell_all(_ranks_of(plan, engine), agents, WAKE)


def _ranks_of(plan: Plan, engine: str) -> list[WatchedRank]:
    return [rank for rank in watched_ranks(plan) if rank.planned.engine == engine]


def _is_busy(plan: Plan, ranks: Sequence[WatchedRank], agents: AsksAgents) -> bool:
    """Who can't be asked isn't waited for."""
    metrics = read_servers(plan, ranks, agents, READ_S).metrics
    for rank in ranks:
        got = metrics.get(rank.worker.process)
        counters = read_counters(got.body, rank.number) if got and got.is_ok else None
        if counters and counters.pending:
            return True
    return False


def _tell_all(ranks: Sequence[WatchedRank], agents: AsksAgents, path: str) -> str:
    """All at once: ranks that compute together wait for each other."""
    workers = {rank.worker.process: rank for rank in ranks}

    def tell(process: str) -> str:
        rank = workers[process]
        health, _ = worker_gets(rank.worker, CONTROL_S)
        where = (process, health.port, path, health.address)
        return _problem(agents, rank.server_host, HttpGet(*where, timeout_s=CONTROL_S))

    found = run_on_all(tell, workers)
    problems = [f"{process}: {problem}" for process, problem in found.items() if problem]
    return "; ".join(problems)


def _problem(agents: AsksAgents, host: str, get: HttpGet) -> str:
    """A worker answers 200 and says in its words whether it has done so."""
    (got,) = agents.get(host, [get])
    if got.status == 404:
        return f"it knows no {get.path}"
    if not got.is_ok:
        return got.problem or f"HTTP {got.status} {got.body[:200]}".strip()
    try:
        said = json.loads(got.body)
        return "" if said["status"] == "ok" else str(said.get("message") or said["status"])[:200]
    except MALFORMED:
        return f"it answers {got.body[:80]!r}"

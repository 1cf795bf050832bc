"""What the servers of a deployment say of themselves, read through the agents of their hosts."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from functools import partial
from typing import Protocol

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.protocol.http import HttpGet, HttpGot
from dsr1.hosts.transport.parallel import answered, run_on_all
from dsr1.launcher.health.members import WatchedRank, frontend_gets, worker_gets
from dsr1.launcher.health.settings import AsksAgents
from dsr1.launcher.plan.plan import Plan
from dsr1.launcher.smoke.readiness import MALFORMED, generate_workers
from dsr1.launcher.smoke.run import worker_id

LONGEST_WORDS = 200


@dataclass(frozen=True, slots=True)
class Readings:
    """Of one look, by process: what each worker's /health and /metrics said, and each frontend's
    /health. `listed`: the ids that every frontend which answered lists; None: none did, or there is
    none. `unread`: hosts whose agent can't be asked. `asked`: all questions and answers, by
    host."""

    health: Mapping[str, HttpGot]
    metrics: Mapping[str, HttpGot]
    frontends: Mapping[str, HttpGot] = field(default_factory=dict)
    listed: frozenset[int] | None = None
    unread: frozenset[str] = frozenset()
    asked: Mapping[str, Sequence["Pair"]] = field(default_factory=dict)

    @property
    def workers(self) -> dict[str, int]:
        """Their ids for the frontend, by process, as far as they are known."""
        found = {}
        for process, got in self.metrics.items():
            if (number := _worker_id(got)) is not None:
                found[process] = number
        return found


@dataclass(frozen=True, slots=True)
class WantedReadings:
    """Beside what is judged: `lines` of workers' metrics that begin so, and questions by host."""

    lines: tuple[str, ...] = ()
    gets: Mapping[str, Sequence[HttpGet]] = field(default_factory=dict)


class Recorder(Protocol):
    """Keeps what is read anyway, so that nobody is asked twice."""

    def wants(self) -> WantedReadings:
        """To be asked in the next look."""

    def take(self, readings: Readings) -> None:
        """What came of it."""


NOTHING_MORE = WantedReadings()


def _worker_id(got: HttpGot) -> int | None:
    try:
        return worker_id(got.body)
    except ValueError:
        return None


def read_servers(
    plan: Plan,
    ranks: Sequence[WatchedRank],
    agents: AsksAgents,
    timeout_s: float,
    more: WantedReadings = NOTHING_MORE,
) -> Readings:
    """All hosts at once. A host whose agent can't be asked shows nothing: whether it is lost is
    judged elsewhere."""
    gets = frontend_gets(plan, timeout_s)
    for rank in {rank.worker.process: rank for rank in ranks}.values():
        own = worker_gets(rank.worker, timeout_s, more.lines)
        gets.setdefault(rank.server_host, []).extend(own)
    for host, wanted in more.gets.items():
        gets.setdefault(host, []).extend(wanted)
    ask = partial(_ask_host, agents, gets)
    answers = run_on_all(ask, gets)
    asked = answered(answers)
    pairs = [pair for one in asked.values() for pair in one]
    workers = {rank.worker.process for rank in ranks}
    others = {get.process for get, _ in pairs} - workers
    frontends = _by_process(pairs, others, "/health")
    return Readings(
        _by_process(pairs, workers, "/health"),
        _by_process(pairs, workers, "/metrics"),
        frontends,
        _listed(frontends.values(), plan),
        frozenset(answers.keys() - asked.keys()),
        asked,
    )


Pair = tuple[HttpGet, HttpGot]


def _ask_host(
    agents: AsksAgents, gets: Mapping[str, Sequence[HttpGet]], host: str
) -> tuple[Pair, ...]:
    return tuple(zip(gets[host], agents.get(host, gets[host]), strict=True))


def _by_process(pairs: Iterable[Pair], workers: set[str], path: str) -> dict[str, HttpGot]:
    return {get.process: got for get, got in pairs if get.path == path and get.process in workers}


def _listed(frontends: Iterable[HttpGot], plan: Plan) -> frozenset[int] | None:
    """A frontend that doesn't answer says nothing of its workers."""
    found: frozenset[int] | None = None
    for got in frontends:
        try:
            own = frozenset(generate_workers(json.loads(got.body), plan.service.namespace))
        except MALFORMED:
            continue
        found = own if found is None else found & own
    return found


def say_sick(got: HttpGot) -> str:
    """Why a server says that it is unwell: which of its endpoints aren't ready, or its words."""
    try:
        endpoints = json.loads(got.body)["endpoints"]
        words = ", ".join(
            f"{name}: {state}" for name, state in endpoints.items() if state != "ready"
        )
    except MALFORMED:
        words = got.body.strip()
    return f"HTTP {got.status} {words[:LONGEST_WORDS]}".strip()

"""Which ranks are watched, which server speaks for each, and which questions reach all of them.
Pure."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from urllib.parse import urlsplit

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.protocol.http import HttpGet
from dsr1.hosts.protocol.process import Process
from dsr1.launcher.health.counters import KEPT
from dsr1.launcher.health.verdicts import RankHealth
from dsr1.launcher.layout.slots import FRONTEND
from dsr1.launcher.plan.plan import Plan, PlannedRank, RegisteredWorker
from dsr1.launcher.smoke.completion import SmokeTarget
from dsr1.launcher.smoke.run import PREFILL

RankKey = tuple[str, int]  # engine and global rank


@dataclass(frozen=True, slots=True)
class WatchedRank:
    """A rank, and the worker that serves it, which runs on `server_host` and knows it as `number`,
    the `index`-th of its own."""

    planned: PlannedRank
    worker: RegisteredWorker
    server_host: str
    number: int
    index: int

    @property
    def key(self) -> RankKey:
        return self.planned.engine, self.planned.rank

    @property
    def name(self) -> str:
        return f"rank {self.planned.rank} of {self.planned.process}"

    @property
    def unjudged(self) -> RankHealth:
        one = self.planned
        return RankHealth(one.engine, one.rank, one.host, one.process)


def watched_ranks(plan: Plan) -> tuple[WatchedRank, ...]:
    """In the order of the workers. Followers of a headless leader are served by it."""
    processes = {process.name: process for process in plan.processes}
    return tuple(
        rank
        for worker in plan.service.workers
        for rank in _of_worker(plan, worker, processes[worker.process].host)
    )


def _of_worker(plan: Plan, worker: RegisteredWorker, host: str) -> Iterator[WatchedRank]:
    own = [one for one in plan.ranks if one.process == worker.process]
    if len(own) != len(worker.ranks):
        engine = own[0].engine
        own = [one for one in plan.ranks if one.engine == engine]
    for index, (planned, number) in enumerate(zip(own, worker.ranks, strict=False)):
        yield WatchedRank(planned, worker, host, number, index)


@dataclass(frozen=True, slots=True)
class Question:
    """To a rank that answers; with prefill and decode apart also one that reads the question."""

    answering: WatchedRank
    prefill: WatchedRank | None = None

    @property
    def ranks(self) -> tuple[WatchedRank, ...]:
        return (self.answering, self.prefill) if self.prefill else (self.answering,)

    @property
    def engines(self) -> set[str]:
        return {rank.planned.engine for rank in self.ranks}

    def excuses(self, rank: WatchedRank, blamed: Collection[RankKey]) -> bool:
        """Whether another of its ranks is to blame, and this one isn't."""
        others = (one.key in blamed for one in self.ranks if one.key != rank.key)
        return rank.key not in blamed and any(others)

    def target(self, workers: Mapping[str, int]) -> SmokeTarget | None:
        """`workers`: ids by process; None: one isn't known, so nobody can be asked."""
        one, first = self.answering, self.prefill
        if one.worker.url:
            return SmokeTarget(one.name, rank=one.number, url=one.worker.url, index=one.index)
        ids = [workers.get(rank.worker.process) for rank in self.ranks]
        if None in ids:
            return None
        if first is None:
            return SmokeTarget(one.name, ids[0], one.number)
        name = f"{one.name} (after {first.name})"
        return SmokeTarget(name, ids[0], one.number, ids[1], first.number)


def make_questions(ranks: Sequence[WatchedRank], turn: int = 0) -> tuple[Question, ...]:
    """Every rank is in one at least. In another turn prefill ranks read for other ranks: a pair
    that fails doesn't say which of the two does."""
    answering = [rank for rank in ranks if rank.worker.role != PREFILL]
    prefill = [rank for rank in ranks if rank.worker.role == PREFILL]
    if not prefill:
        return tuple(map(Question, answering))
    count = max(len(answering), len(prefill))
    return tuple(
        Question(answering[n % len(answering)], prefill[(n + turn) % len(prefill)])
        for n in range(count)
    )


def worker_gets(
    worker: RegisteredWorker, timeout_s: float, more: tuple[str, ...] = ()
) -> tuple[HttpGet, HttpGet]:
    """Its health, and its counters, with `more` lines than are judged."""
    at = urlsplit(worker.metrics_url)
    where = (worker.process, at.port or 0)
    address, secured = at.hostname or "", at.scheme == "https"
    return (
        HttpGet(*where, "/health", address, (), timeout_s, secured=secured),
        HttpGet(*where, "/metrics", address, KEPT + more, timeout_s, secured=secured),
    )


def frontends_of(plan: Plan) -> tuple[RankHealth, ...]:
    """Each counts as the rank of an engine. None where servers are vLLM's own."""
    found = [p for p in plan.processes if _is_frontend(p)]
    return tuple(RankHealth(one.group, 0, one.host, one.name) for one in found)


def _is_frontend(process: Process) -> bool:
    return not process.ranks and process.name.startswith(FRONTEND)


def frontend_gets(plan: Plan, timeout_s: float) -> dict[str, list[HttpGet]]:
    """What the frontends list, by host."""
    addresses = {host.host: host.address for host in plan.hosts}
    found: dict[str, list[HttpGet]] = {}
    for process in plan.processes:
        if _is_frontend(process):
            address = addresses[process.host] if plan.service.frontend_urls else plan.service.host
            asked = (process.name, process.ports[0], "/health", address, (), timeout_s)
            get = HttpGet(*asked, secured=plan.service.secured)
            found.setdefault(process.host, []).append(get)
    return found

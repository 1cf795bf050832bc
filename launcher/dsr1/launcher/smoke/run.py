"""The known-answer check: the same greedy questions to every rank, and the proof that each of them
answered."""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import httpx

from dsr1.hosts.dataclass import dataclass
from dsr1.launcher.plan.plan import RegisteredWorker, ServiceTarget
from dsr1.launcher.smoke.completion import AnsweredByAnother, SmokeTarget, ask_completion
from dsr1.launcher.smoke.judge import FIXED, KNOWN, Answers
from dsr1.launcher.smoke.metrics import ReadMetrics, read_over_http
from dsr1.launcher.smoke.readiness import describe_missing

FIXED_TOKENS, KNOWN_TOKENS, AT_ONCE, ROUNDS_PER_RANK = 16, 2048, 32, 4
PREFILL = "prefill"
ASKING = (httpx.HTTPError, KeyError, ValueError)
_LABELS = re.compile(r"^vllm:request_success_total\{(?P<labels>.*)\} (?P<value>\S+)$", re.MULTILINE)
_WORKER = re.compile(r'worker_id="([0-9a-f]+)"')
_ENGINE = re.compile(r'engine="(\d{1,9})"')
ServedCounts = dict[str, Counter[int]]


@dataclass(frozen=True, slots=True)
class SmokeRank:
    """A rank that can be asked: its worker's id for the frontend."""

    name: str
    worker: int
    rank: int


def smoke_all(
    service: ServiceTarget,
    client: httpx.Client,
    known: bool,
    report: Callable[[str], None] = lambda _: None,
    read: ReadMetrics | None = None,
) -> tuple[Answers, ...]:
    """Answers of every rank; of the server, where ranks can't be asked one by one. `report` gets
    who is asked.

    All ranks at once, each the fixed questions one after the other, so that all compute the same;
    then those with `known` answers. Raises httpx.HTTPError, KeyError or ValueError when it can't
    be found out whom to ask.
    """
    read = read or partial(read_over_http, client)
    before = _counts(service, read)
    targets = _targets(service, read)
    report(f"{len(targets)} ranks")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = list(pool.map(partial(_ask_fixed, service, client), targets))
    silent = _silent(service, before, _counts(service, read))
    failed = any(one.error and not one.by_another for one in answers)
    if not failed and (silent or any(one.by_another for one in answers)):
        answers = _ask_unaimed(service, client, read, before, report)
    if not known:
        return tuple(answers)
    report("all ranks the questions with known answers")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return tuple(pool.map(lambda one: _with_known(service, client, one), answers))


def _ask_unaimed(
    service: ServiceTarget,
    client: httpx.Client,
    read: ReadMetrics,
    before: ServedCounts,
    report: Callable[[str], None],
) -> list[Answers]:
    """Before Dynamo 1.6 only some routers take the rank that is asked for. So rounds are asked of
    whatever rank the router takes, until every rank's own counter has risen. ValueError names the
    ranks whose counters never do."""
    rounds: list[Answers] = []
    silent: list[str] = []
    for number in range(1, ROUNDS_PER_RANK * sum(len(one.ranks) for one in service.workers) + 1):
        target = SmokeTarget(f"round {number} (the router does not take the rank asked for)")
        report(target.name)
        rounds.append(_ask_fixed(service, client, target))
        silent = _silent(service, before, _counts(service, read))
        if not silent or rounds[-1].error:
            return rounds
    raise ValueError(f"asked, but counted no request: {', '.join(silent)}")


def _ask_fixed(service: ServiceTarget, client: httpx.Client, target: SmokeTarget) -> Answers:
    ask = partial(ask_completion, service, client, target)
    try:
        return Answers(target, tuple(ask(question, FIXED_TOKENS) for question in FIXED))
    except ASKING as error:
        return no_answers(target, error)


def no_answers(target: SmokeTarget, error: Exception) -> Answers:
    by_another = isinstance(error, AnsweredByAnother)
    return Answers(target, error=describe_missing(error), by_another=by_another)


def _with_known(service: ServiceTarget, client: httpx.Client, one: Answers) -> Answers:
    if one.error:
        return one
    ask = partial(ask_completion, service, client, one.target)
    try:
        return replace(one, known=tuple(ask(question, KNOWN_TOKENS) for question in KNOWN))
    except ASKING as error:
        return replace(one, error=describe_missing(error))


def _targets(service: ServiceTarget, read: ReadMetrics) -> list[SmokeTarget]:
    if service.registrations is None:
        return [*_own_targets(service)] or [SmokeTarget(service.url)]
    return pair(*_ranks(service, read))


def _own_targets(service: ServiceTarget) -> Iterator[SmokeTarget]:
    """Ranks of vLLM's own servers."""
    for worker in service.workers:
        for index, rank in enumerate(worker.ranks):
            yield SmokeTarget(_rank_name(worker, rank), rank=rank, url=worker.url, index=index)


def pair(answering: Sequence[SmokeRank], prefill: Sequence[SmokeRank]) -> list[SmokeTarget]:
    """So that every rank is asked at least once."""
    if not prefill:
        return [SmokeTarget(one.name, one.worker, one.rank) for one in answering]
    targets = []
    for number in range(max(len(answering), len(prefill))):
        one, first = answering[number % len(answering)], prefill[number % len(prefill)]
        targets.append(
            SmokeTarget(
                f"{one.name} (after {first.name})", one.worker, one.rank, first.worker, first.rank
            )
        )
    return targets


def _ranks(service: ServiceTarget, read: ReadMetrics) -> tuple[list[SmokeRank], list[SmokeRank]]:
    """Those that answer, and prefill's."""
    answering: list[SmokeRank] = []
    prefill: list[SmokeRank] = []
    pages = read(service.workers)
    for worker in service.workers:
        number = worker_id(pages[worker.process])
        ranks = (SmokeRank(_rank_name(worker, rank), number, rank) for rank in worker.ranks)
        (prefill if worker.role == PREFILL else answering).extend(ranks)
    return answering, prefill


def _rank_name(worker: RegisteredWorker, rank: int) -> str:
    return f"rank {rank} of {worker.process}"


def _counts(service: ServiceTarget, read: ReadMetrics) -> ServedCounts:
    """Where a wrong rank is asked for, another answers silently: the workers' own counters prove
    who answered.
    """
    return {process: finished(page) for process, page in read(service.workers).items()}


def _silent(service: ServiceTarget, before: ServedCounts, after: ServedCounts) -> list[str]:
    return [
        _rank_name(worker, rank)
        for worker in service.workers
        for rank in worker.ranks
        if worker.counts and after[worker.process][rank] <= before[worker.process][rank]
    ]


def worker_id(metrics: str) -> int:
    """The instance id by which the frontend knows this worker. Raises ValueError."""
    found = _WORKER.search(metrics)
    if not found:
        raise ValueError("a worker's /metrics doesn't name its worker_id")
    return int(found[1], 16)


def finished(metrics: str) -> Counter[int]:
    """Requests finished by each rank (vLLM's `engine` label is the global DP rank)."""
    counts: Counter[int] = Counter()
    for found in _LABELS.finditer(metrics):
        engine = _ENGINE.search(found["labels"])
        if engine and math.isfinite(value := _number(found["value"])):
            counts[int(engine[1])] += int(value)
    return counts


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan

"""The known-answer check: the same greedy question to every rank, the answers compared, and proof of who answered."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence

import httpx

from dsr1.launcher.plan import Service, Worker
from dsr1.launcher.serving import Answer, chat, generate_workers

_LABELS = re.compile(r"^vllm:request_success_total\{(?P<labels>.*)\} (?P<value>\S+)$", re.MULTILINE)
_WORKER = re.compile(r'worker_id="([0-9a-f]+)"')
_ENGINE = re.compile(r'engine="(\d+)"')


def smoke_all(service: Service, client: httpx.Client) -> tuple[Answer, ...]:
    """One answer of every rank; of every worker, or of the server, where ranks can't be asked one by one.

    Raises httpx.HTTPError, or KeyError or ValueError when an answer is malformed or another's.
    """
    if service.workers:
        return tuple(answer for worker in service.workers for answer in _ask_ranks(service, worker, client))
    if service.registrations is None:
        return (chat(service, client),)
    listed = generate_workers(client.get(f"{service.url}/health").json(), service.namespace)
    return tuple(chat(service, client, worker=worker) for worker in listed)


def _ask_ranks(service: Service, worker: Worker, client: httpx.Client) -> Iterator[Answer]:
    """The worker's own counters prove that the rank answered: a wrong rank is answered by another, without a word."""
    before = client.get(worker.metrics_url).text
    number = worker_id(before)
    for rank in worker.ranks:
        yield chat(service, client, worker=number, rank=rank)
    after, asked = finished(client.get(worker.metrics_url).text), finished(before)
    silent = [rank for rank in worker.ranks if after[rank] <= asked[rank]]
    if silent:
        raise ValueError(f"{worker.process}: ranks {silent} were asked and counted no request")


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
        if engine:
            counts[int(engine[1])] += int(float(found["value"]))
    return counts


def smoke_problem(service: Service, answers: Sequence[Answer]) -> str:
    """What is wrong with the answers; empty when all that are wanted came, alike, and not empty."""
    wanted = sum(len(worker.ranks) for worker in service.workers) or service.registrations or 1
    if len(answers) != wanted:
        return f"{len(answers)} answered, {wanted} are wanted"
    if any(answer.tokens == 0 for answer in answers):
        return "one answered without a single token"
    if len({answer.text for answer in answers}) > 1:
        return "the greedy answers differ"
    return ""

"""The counters of workers: of vLLM's own servers by HTTP, of Dynamo's through their hosts' agents,
since their port is open to the host itself alone."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from urllib.parse import urlsplit

import httpx

from dsr1.hosts.errors import HostError
from dsr1.hosts.protocol.http import HttpGet, HttpGot
from dsr1.hosts.transport.base import Transport
from dsr1.hosts.transport.http import get_from_host
from dsr1.hosts.transport.parallel import run_on_all
from dsr1.launcher.plan.plan import Plan, RegisteredWorker
from dsr1.launcher.smoke.readiness import describe_missing

KEPT = ("vllm:request_success_total", "dynamo_")
METRICS_S = 10.0
ReadMetrics = Callable[[Sequence[RegisteredWorker]], dict[str, str]]
"""The pages of workers, by process. ValueError names a worker that gives none."""


def read_over_http(client: httpx.Client, workers: Sequence[RegisteredWorker]) -> dict[str, str]:
    return {worker.process: _page(client, worker) for worker in workers}


def _page(client: httpx.Client, worker: RegisteredWorker) -> str:
    try:
        return client.get(worker.metrics_url).raise_for_status().text
    except httpx.HTTPError as error:
        raise _none(worker, describe_missing(error)) from None


def _none(worker: RegisteredWorker, why: str) -> ValueError:
    return ValueError(f"{worker.process}: no metrics at {worker.metrics_url}: {why}")


def make_reader(plan: Plan, transport: Transport, client: httpx.Client) -> ReadMetrics:
    hosts = {process.name: process.host for process in plan.processes}

    def read(workers: Sequence[RegisteredWorker]) -> dict[str, str]:
        served = [worker for worker in workers if worker.url]
        return read_over_http(client, served) | _read_by_agents(transport, hosts, workers)

    return read


def _read_by_agents(
    transport: Transport, hosts: Mapping[str, str], workers: Sequence[RegisteredWorker]
) -> dict[str, str]:
    by_host: dict[str, list[RegisteredWorker]] = {}
    for worker in workers:
        if not worker.url:
            by_host.setdefault(hosts[worker.process], []).append(worker)
    answers = run_on_all(partial(_ask, transport, by_host), by_host)
    found: dict[str, str] = {}
    for host, got in answers.items():
        for number, worker in enumerate(by_host[host]):
            found[worker.process] = _body(
                worker, got if isinstance(got, HostError) else got[number]
            )
    return found


def _ask(
    transport: Transport, by_host: Mapping[str, Sequence[RegisteredWorker]], host: str
) -> tuple[HttpGot, ...]:
    return get_from_host(transport, host, [_question(worker) for worker in by_host[host]])


def _question(worker: RegisteredWorker) -> HttpGet:
    at = urlsplit(worker.metrics_url)
    return HttpGet(worker.process, at.port or 0, "/metrics", at.hostname or "", KEPT, METRICS_S)


def _body(worker: RegisteredWorker, got: HttpGot | HostError) -> str:
    if isinstance(got, HostError):
        raise _none(worker, str(got))
    if not got.is_ok:
        raise _none(worker, got.problem or f"HTTP {got.status}")
    return got.body

"""One engine of a deployment that serves without it: registered again, and asked, before it
counts."""

import itertools
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import httpx

from dsr1.launcher.plan.plan import Plan, RegisteredWorker, ServiceTarget
from dsr1.launcher.smoke.http import make_client
from dsr1.launcher.smoke.judge import problems
from dsr1.launcher.smoke.metrics import AskHost, ReadMetrics, make_reader
from dsr1.launcher.smoke.readiness import (
    MALFORMED,
    MUTE,
    PROBE_S,
    STATUS_S,
    chat,
    describe_missing,
    generate_workers,
    missing,
)
from dsr1.launcher.smoke.run import PREFILL, smoke_all, worker_id


def await_engine(
    plan: Plan,
    ask: AskHost,
    processes: frozenset[str],
    chat_s: float,
    meaningful: bool,
    done: threading.Event,
    report: Callable[[str], None],
) -> str | None:
    """Until these processes of an engine are registered at every frontend, and every rank of them
    has answered; or until it is `done`. Empty: all is well; else what is wrong with the answers.
    None: it was done before. `report` gets what is still missing, whenever that changes."""
    reported, service = "", plan.service
    with make_client(chat_s) as client:
        read = make_reader(plan, ask, client)
        while not done.wait(PROBE_S):
            lacks = _lacks(service, processes, client, read)
            if not lacks:
                lacks, wrong = _ask(service, processes, meaningful, client, read)
                if not lacks:
                    return wrong
            if lacks != reported:
                report(reported := lacks)
    return None


def await_frontend(
    service: ServiceTarget, urls: tuple[str, ...], chat_s: float, done: threading.Event
) -> str | None:
    """Until these frontends list the model and answer: as `await_engine`."""
    with make_client(chat_s) as client:
        while not done.wait(PROBE_S):
            if not any(_unanswered(service, url, client) for url in urls):
                return ""
    return None


def _unanswered(service: ServiceTarget, url: str, client: httpx.Client) -> str:
    """Registrations aren't counted: an engine may be away. vLLM's own servers list none."""
    counted = None if service.registrations is None else 0
    one = replace(service, registrations=counted, frontend_urls=(url,))
    if lacks := missing(one, client):
        return lacks
    try:
        chat(one, client, url=url)
    except (httpx.HTTPError, *MALFORMED) as error:
        return describe_missing(error)
    return ""


def _lacks(
    service: ServiceTarget, processes: frozenset[str], client: httpx.Client, read: ReadMetrics
) -> str:
    """What these processes of an engine wait for; of one with servers of its own, those."""
    try:
        own = [one for one in service.workers if one.process in processes]
        if service.registrations is None:
            return _unlisted(own, client)
        wanted = {worker_id(page): process for process, page in read(own).items()}
        for url in service.frontend_urls or (service.url,):
            if unregistered := _unregistered(service, url, wanted, client):
                return f"{', '.join(unregistered)} not registered"
    except (httpx.HTTPError, *MALFORMED) as error:
        return f"{MUTE} ({type(error).__name__})"
    return ""


def _unlisted(own: list[RegisteredWorker], client: httpx.Client) -> str:
    for worker in own:
        client.get(f"{worker.url}/v1/models", timeout=STATUS_S).raise_for_status()
    return ""


def _unregistered(
    service: ServiceTarget, url: str, wanted: Mapping[int, str], client: httpx.Client
) -> list[str]:
    health: Any = client.get(f"{url}/health", timeout=STATUS_S).json()
    found = generate_workers(health, service.namespace)
    return [process for worker, process in wanted.items() if worker not in found]


def _ask(
    service: ServiceTarget,
    processes: frozenset[str],
    meaningful: bool,
    client: httpx.Client,
    read: ReadMetrics,
) -> tuple[str, str]:
    """What is missing, for another try; and what is wrong."""
    asked = replace(service, workers=tuple(_asked(service, processes, read)))
    try:
        answers = smoke_all(asked, client, known=False, read=read)
    except (httpx.HTTPError, *MALFORMED) as error:
        return describe_missing(error), ""
    errors = [f"{one.target.name}: {one.error}" for one in answers if one.error]
    return "; ".join(errors), "; ".join(problems(answers, meaningful))


def _asked(
    service: ServiceTarget, processes: frozenset[str], read: ReadMetrics
) -> Iterator[RegisteredWorker]:
    """With prefill and decode apart, one of the other role that answers has its part in it."""
    own = [one for one in service.workers if one.process in processes]
    yield from own
    roles = {one.role for one in own}
    others = (one for one in service.workers if (one.role == PREFILL) != (PREFILL in roles))
    yield from itertools.islice((one for one in others if _is_there(one, read)), 1)


def _is_there(worker: RegisteredWorker, read: ReadMetrics) -> bool:
    try:
        return worker_id(read((worker,))[worker.process]) > 0
    except ValueError:
        return False

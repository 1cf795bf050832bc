"""Does it serve? Registered, listed and a real completion: the frontend's own /health is 200 with no workers at all."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from dsr1.launcher.plan import Service

QUESTION = "Hello! Who are you?"


@dataclass(frozen=True, slots=True)
class Answer:
    """One greedy completion. `worker` and `rank` are who was asked; None where the server chooses."""

    worker: int | None
    rank: int | None
    text: str
    tokens: int

    @property
    def who(self) -> str:
        if self.rank is not None:
            return f"rank {self.rank}"
        return "" if self.worker is None else f"worker {self.worker:x}"


def generate_workers(health: Mapping[str, Any], namespace: str) -> list[int]:
    """Instance ids of the run's own workers: /health lists every namespace's, the dead until their lease ends."""
    found = (instance for instance in health.get("instances") or () if instance.get("endpoint") == "generate")
    found = (instance for instance in found if instance.get("namespace") == namespace)
    return sorted(int(instance["instance_id"]) for instance in found)


def missing(service: Service, client: httpx.Client) -> str:
    """What still stands between now and a completion, at every frontend; empty when nothing does."""
    return next(filter(None, (_missing(service, url, client) for url in service.fronts or (service.url,))), "")


def _missing(service: Service, url: str, client: httpx.Client) -> str:
    try:
        if service.registrations is not None:
            seen = len(generate_workers(client.get(f"{url}/health").json(), service.namespace))
            if seen < service.registrations:
                return f"{seen} of {service.registrations} workers registered"
        listed = client.get(f"{url}/v1/models").json()
        return "" if service.model in _ids(listed) else f"{service.model} is not listed"
    except (httpx.HTTPError, ValueError, KeyError) as error:
        return f"the frontend doesn't answer ({type(error).__name__})"


def _ids(listed: Mapping[str, Any]) -> list[str]:
    return [str(model.get("id")) for model in listed.get("data") or ()]


def chat(
    service: Service, client: httpx.Client, tokens: int = 16, worker: int | None = None, rank: int | None = None
) -> Answer:
    """Ask one question, of one rank if given. Raises httpx.HTTPError, or KeyError or ValueError when malformed."""
    reply = client.post(f"{service.url}/v1/chat/completions", json=_request(service.model, tokens, worker, rank))
    reply.raise_for_status()
    body = reply.json()
    answered = body.get("nvext", {}).get("worker_id", {}).get("decode_worker_id", worker)
    if worker is not None and answered != worker:
        raise ValueError(f"worker {answered} answered in place of {worker}")
    text = body["choices"][0]["message"]["content"] or ""
    return Answer(worker, rank, str(text), int(body["usage"]["completion_tokens"]))


def _request(model: str, tokens: int, worker: int | None, rank: int | None) -> dict[str, object]:
    """Dynamo's `nvext` chooses the worker, and has the answer say which one it was."""
    chosen = {"backend_instance_id": worker, "extra_fields": ["worker_id"]} | (
        {} if rank is None else {"dp_rank": rank}
    )
    return {
        "model": model,
        "messages": [{"role": "user", "content": QUESTION}],
        "max_tokens": tokens,
        "temperature": 0,
        **({} if worker is None else {"nvext": {key: value for key, value in chosen.items() if value is not None}}),
    }

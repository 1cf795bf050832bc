"""Does it serve? Registered, listed and a real completion: the frontend's own /health is 200 with no workers at all."""

from collections.abc import Mapping
from typing import Any

import httpx

from dsr1.launcher.plan import Service

QUESTION = "Hello! Who are you?"


def count_generate(health: Mapping[str, Any]) -> int:
    """How many workers the frontend can send a request to."""
    return sum(1 for instance in health.get("instances") or () if instance.get("endpoint") == "generate")


def missing(service: Service, client: httpx.Client) -> str:
    """What still stands between now and a completion; empty when nothing does."""
    try:
        if service.registrations is not None:
            seen = count_generate(client.get(f"{service.url}/health").json())
            if seen < service.registrations:
                return f"{seen} of {service.registrations} workers registered"
        listed = client.get(f"{service.url}/v1/models").json()
        return "" if service.model in _ids(listed) else f"{service.model} is not listed"
    except (httpx.HTTPError, ValueError) as error:
        return f"the frontend doesn't answer ({type(error).__name__})"


def _ids(listed: Mapping[str, Any]) -> list[str]:
    return [str(model.get("id")) for model in listed.get("data") or ()]


def chat(service: Service, client: httpx.Client, question: str = QUESTION, tokens: int = 16) -> str:
    """One greedy completion's text. Raises httpx.HTTPError, or KeyError or ValueError when malformed."""
    body = {
        "model": service.model,
        "messages": [{"role": "user", "content": question}],
        "max_tokens": tokens,
        "temperature": 0,
    }
    reply = client.post(f"{service.url}/v1/chat/completions", json=body)
    reply.raise_for_status()
    return str(reply.json()["choices"][0]["message"]["content"] or "")

"""Does it serve? Registered, listed and a real completion: the frontend's own /health is 200 with
no workers at all."""

import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import httpx

from dsr1.hosts.protocol.bounded import NONSENSE
from dsr1.launcher.plan.plan import ServiceTarget
from dsr1.launcher.smoke.access import FrontendAccess
from dsr1.launcher.smoke.http import make_client

QUESTION = "Hello! Who are you?"
PROBE_S, STATUS_S = 0.1, 2.0
MUTE = "the frontend doesn't answer"
MALFORMED = NONSENSE  # JSON, but not what was asked for
READY_TOKENS = 4  # decode's own kernels are compiled at its first step: one token may not need it


def await_answer(
    service: ServiceTarget,
    access: FrontendAccess,
    done: threading.Event,
    report: Callable[[str], None],
) -> bool:
    """As soon as the frontend lists every worker, ask for a completion, again and again for as long
    as one answer may take. Then it is the ranks' turn to be asked, each by itself: who is at fault
    is told by them. False: it was `done` before.

    `report` gets what is still missing, whenever that changes.
    """
    reported, patient_until = "", math.inf
    with make_client(access) as client:
        while not done.wait(PROBE_S):
            lacks = missing(service, client)
            if lacks:
                patient_until = math.inf
            else:
                patient_until = min(patient_until, time.monotonic() + access.timeout_s)
                lacks = _unanswered(service, client)
            if not lacks or time.monotonic() > patient_until:
                return True
            if lacks != reported:
                report(reported := lacks)
    return False


def frontend_state(service: ServiceTarget, access: FrontendAccess) -> str:
    """What a deployment that was ready lacks now, empty when nothing; within a few seconds, and
    without a chat."""
    with make_client(replace(access, timeout_s=STATUS_S)) as client:
        return missing(service, client)


def _unanswered(service: ServiceTarget, client: httpx.Client) -> str:
    try:
        chat(service, client)
    except (httpx.HTTPError, *MALFORMED) as error:
        return f"a chat request failed: {describe_missing(error)}"
    return ""


def describe_missing(error: Exception) -> str:
    """An HTTP error with the server's own message."""
    if isinstance(error, httpx.ReadTimeout):
        return f"no response for {error.request.extensions['timeout']['read']:g} s (timeouts.chat)"
    if isinstance(error, httpx.HTTPStatusError):
        return f"HTTP {error.response.status_code}: {error.response.text.strip()[:300]}"
    return str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"


def generate_workers(health: Mapping[str, Any], namespace: str) -> dict[int, str]:
    """The run's own workers by instance id, with their component; /health lists every namespace's,
    and the dead too."""
    wanted = (namespace, "generate")
    return {
        int(instance["instance_id"]): str(instance.get("component"))
        for instance in health.get("instances") or ()
        if (instance.get("namespace"), instance.get("endpoint")) == wanted
    }


def missing(service: ServiceTarget, client: httpx.Client) -> str:
    """What a completion still waits for, at the first frontend where it waits; empty when nothing
    is missing.
    """
    for url in service.frontend_urls or (service.url,):
        if lacks := _missing(service, url, client):
            return lacks
    return ""


def _missing(service: ServiceTarget, url: str, client: httpx.Client) -> str:
    try:
        if service.registrations is not None:
            health = client.get(f"{url}/health").json()
            registered = len(generate_workers(health, service.namespace))
            if registered < service.registrations:
                return f"{registered} of {service.registrations} workers registered"
        listed = client.get(f"{url}/v1/models").json()
        return "" if service.model in _ids(listed) else f"{service.model} is not listed"
    except (httpx.HTTPError, *MALFORMED) as error:
        return f"{MUTE} ({type(error).__name__})"


def _ids(listed: Mapping[str, Any]) -> list[str]:
    return [str(model.get("id")) for model in listed.get("data") or ()]


def chat(
    service: ServiceTarget, client: httpx.Client, tokens: int = READY_TOKENS, url: str = ""
) -> str:
    """Ask whoever the frontend chooses; `url` is that of one of several. Raises httpx.HTTPError, or
    one of MALFORMED."""
    body = {
        "model": service.model,
        "messages": [{"role": "user", "content": QUESTION}],
        "max_tokens": tokens,
    }
    reply = client.post(
        f"{url or service.url}/v1/chat/completions", json={**body, "temperature": 0}
    )
    reply.raise_for_status()
    return str(reply.json()["choices"][0]["message"]["content"])

"""A frontend that was started again answers before it counts."""

import threading
from dataclasses import replace

import httpx

from dsr1.launcher.plan.plan import ServiceTarget
from dsr1.launcher.smoke.access import FrontendAccess
from dsr1.launcher.smoke.http import make_client
from dsr1.launcher.smoke.readiness import (
    MALFORMED,
    PROBE_S,
    chat,
    describe_missing,
    missing,
)


def await_frontend(
    service: ServiceTarget, urls: tuple[str, ...], access: FrontendAccess, done: threading.Event
) -> str | None:
    """Until all of these list the model and answer: empty. None: it was `done` before."""
    with make_client(access) as client:
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

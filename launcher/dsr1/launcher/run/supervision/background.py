"""What goes on beside the supervisor's loop, a thread each; all that they tell goes into its
queue."""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from queue import SimpleQueue

from dsr1.hosts.transport.base import Transport
from dsr1.launcher.caches.store import jit_store
from dsr1.launcher.caches.transfer import harvest
from dsr1.launcher.plan.plan import Plan, ServiceTarget
from dsr1.launcher.run.supervision.messages import (
    NoteAdded,
    ServiceLost,
    ServiceReady,
    StillMissing,
)
from dsr1.launcher.smoke.readiness import await_answer, watch_registrations

MessageQueue = SimpleQueue[object]
OpenTransport = Callable[[], AbstractContextManager[Transport]]


def harvest_caches(plan: Plan, run: str, connect: OpenTransport, queue: MessageQueue) -> None:
    """What this start has compiled, for the next one."""
    with connect() as transport:
        queue.put(NoteAdded(harvest(transport, plan.caches, jit_store(), run)))


def probe_service(
    service: ServiceTarget, chat_s: float, done: threading.Event, queue: MessageQueue
) -> None:
    """Until the deployment answers a chat, or it is `done`."""
    if await_answer(service, chat_s, done, lambda words: queue.put(StillMissing(words))):
        queue.put(ServiceReady())


def watch_service(service: ServiceTarget, done: threading.Event, queue: MessageQueue) -> None:
    """Where registrations can be read, until it is `done`."""
    if service.registrations is not None:
        watch_registrations(service, done, lambda words: queue.put(ServiceLost(words)))


def in_background(work: Callable[..., None], *values: object) -> None:
    """It ends with the process, whatever it waits for."""
    threading.Thread(target=work, args=values, daemon=True).start()

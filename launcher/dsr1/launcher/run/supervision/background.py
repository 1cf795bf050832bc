"""What goes on beside the supervisor's loop, a thread each; all that they tell goes into its
queue."""

import threading
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager
from queue import SimpleQueue

from dsr1.hosts.transport.base import Transport
from dsr1.launcher.caches.store import jit_store
from dsr1.launcher.caches.transfer import harvest
from dsr1.launcher.health.readings import Recorder
from dsr1.launcher.health.ready import FirstAnswers, ask_every_rank
from dsr1.launcher.health.settings import AsksAgents
from dsr1.launcher.health.watch import HealthWatch
from dsr1.launcher.plan.plan import Plan
from dsr1.launcher.run.settings import RunSettings
from dsr1.launcher.run.supervision.messages import (
    NoteAdded,
    RanksUnfit,
    ServiceReady,
    StillMissing,
)
from dsr1.launcher.smoke.readiness import await_answer

MessageQueue = SimpleQueue[object]
HARVEST_S = 20.0  # that a stop waits for one; 95 MB of four ranks took 5 s
ROUNDS, PAUSE_S = 3, 1.0  # how often ranks are asked before they count as unfit
OpenTransport = Callable[[], AbstractContextManager[Transport]]


def harvest_caches(plan: Plan, run: str, connect: OpenTransport, queue: MessageQueue) -> None:
    """What this start has compiled, for the next one."""
    with connect() as transport:
        queue.put(NoteAdded(harvest(transport, plan.caches, jit_store(), run, plan.cache_sources)))


def probe_service(
    plan: Plan,
    settings: RunSettings,
    agents: AsksAgents,
    done: threading.Event,
    queue: MessageQueue,
) -> None:
    """Until the deployment answers a chat, and then each of its ranks; or it is `done`."""

    def report(words: str) -> None:
        queue.put(StillMissing(words))

    if await_answer(plan.service, settings.access, done, report):
        _prove_ranks(plan, settings, agents, done, queue)


def _prove_ranks(
    plan: Plan,
    settings: RunSettings,
    agents: AsksAgents,
    done: threading.Event,
    queue: MessageQueue,
) -> None:
    words = ""
    for _ in range(ROUNDS):
        found = _first_answers(plan, settings, agents)
        if isinstance(found, FirstAnswers):
            queue.put(ServiceReady(found))
            return
        queue.put(StillMissing(words := found))
        if done.wait(PAUSE_S):
            return
    queue.put(RanksUnfit(words))


def _first_answers(plan: Plan, settings: RunSettings, agents: AsksAgents) -> FirstAnswers | str:
    """Or what is wrong with them. A start must not wait for a thread that is gone."""
    try:
        found = ask_every_rank(plan, settings.health, agents, settings.access)
    except Exception as error:  # noqa: BLE001 - it is told in supervisor.log, too
        traceback.print_exc()
        return f"its ranks can't be asked: {error!r}"
    return "; ".join(found.problems) or found


def watch_health(
    plan: Plan,
    settings: RunSettings,
    agents: AsksAgents,
    first: FirstAnswers,
    recorder: Recorder,
    done: threading.Event,
    queue: MessageQueue,
) -> None:
    """Until it is `done`."""
    watch = HealthWatch(plan, settings.health, agents, first, settings.access, recorder)
    watch.run(done, queue.put)


def in_background(work: Callable[..., None], *values: object) -> threading.Thread:
    """It ends with the process, whatever it waits for."""
    thread = threading.Thread(target=work, args=values, daemon=True)
    thread.start()
    return thread

"""What a supervisor hears: its agents' events, and what its own threads and signals tell it."""

import contextlib
import time
from queue import Empty, SimpleQueue

from dsr1.hosts.protocol.events import Ending, Event
from dsr1.hosts.protocol.evidence import ProcessDeath, death_of
from dsr1.launcher.health.verdicts import HealthReport
from dsr1.launcher.run.agents import AgentEvent, AgentLost, AgentTaken
from dsr1.launcher.run.supervision.messages import (
    EngineHeard,
    EvidenceTaken,
    HostLeft,
    HostNotPlaced,
    HostPlaced,
    NoteAdded,
    RanksUnfit,
    ServiceReady,
    StillMissing,
    StopRequested,
)
from dsr1.launcher.run.supervision.verdict import end_of, says_more

SupervisorMessage = (
    Event
    | AgentLost
    | AgentTaken
    | ServiceReady
    | RanksUnfit
    | HealthReport
    | EngineHeard
    | EvidenceTaken
    | HostPlaced
    | HostNotPlaced
    | HostLeft
    | StillMissing
    | NoteAdded
    | StopRequested
)


MOST_DEATHS = 1000  # of a host


class Inbox:
    """Of one attempt. `going` are the hosts whose agents were ended by no order; `deaths`, by host,
    the ends of processes, for where a host can't be asked of them any more."""

    def __init__(self) -> None:
        self.queue: SimpleQueue[object] = SimpleQueue()
        self.going: set[str] = set()
        self.deaths: dict[str, list[ProcessDeath]] = {}

    def is_empty(self) -> bool:
        return self.queue.empty()

    def take(self, timeout_s: float) -> SupervisorMessage | None:
        """None: nothing came in that time."""
        with contextlib.suppress(Empty):
            item = self.queue.get(timeout=max(0.0, timeout_s))
            message = self._open(item) if isinstance(item, AgentEvent) else item
            if isinstance(message, Ending) and not message.ordered:
                self.going.add(message.on)
            return message  # type: ignore[return-value]
        return None

    def _open(self, item: AgentEvent) -> Event:
        if death := death_of(item.event, time.time()):
            deaths = self.deaths.setdefault(item.host, [])
            deaths.append(death)
            del deaths[:-MOST_DEATHS]
        return item.event

    def wait(self, seconds: float) -> None:
        """A request to stop ends the wait; what ended agents still say doesn't."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            message = self.take(left)
            if isinstance(message, StopRequested | AgentTaken) and (end := end_of(message)):
                raise end

    def best_explanation(self, first: Exception, seconds: float) -> Exception:
        """What is heard right after an end may say more of it."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            later = end_of(self.take(left))
            if later and says_more(first, later):
                first = later
        return first

"""The agents of a run, all of them: started and ended together, and their events as one stream."""

import contextlib
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from queue import SimpleQueue

from dsr1.hosts.errors import HostError
from dsr1.hosts.protocol.commands import AgentCommand
from dsr1.hosts.protocol.events import Event
from dsr1.hosts.protocol.process import HostPlan
from dsr1.hosts.transport.base import AgentLink, Transport
from dsr1.hosts.transport.parallel import raise_all, run_parallel
from dsr1.hosts.transport.results import HostState, Listener

RETRY_S = 0.5


@dataclass(frozen=True, slots=True)
class AgentEvent:
    """An event of a host."""

    host: str
    event: Event


@dataclass(frozen=True, slots=True)
class AgentLost:
    """A host's agent couldn't be heard for too long, or is gone."""

    host: str
    why: str


@dataclass(frozen=True, slots=True)
class StopResult:
    """What may still run, in words, and the hosts that couldn't be asked."""

    left: tuple[str, ...]
    unreached: tuple[str, ...]


class Agents:
    """One thread a host reads; what it reads goes into one queue."""

    def __init__(
        self, transport: Transport, queue: "SimpleQueue[object]", lost_after_s: float
    ) -> None:
        self._transport, self._queue, self._lost_after_s = transport, queue, lost_after_s
        self._links: dict[str, AgentLink] = {}
        self._closing = False

    def start(self, plans: tuple[HostPlan, ...], secrets: Mapping[str, str]) -> None:
        """On all hosts at once. Raises HostError naming every host that couldn't be."""

        def start_one(plan: HostPlan) -> None:
            self._transport.start(plan, secrets)

        raise_all(run_parallel(start_one, {plan.host: plan for plan in plans}))
        self.attach(tuple(plan.host for plan in plans))

    def attach(self, hosts: tuple[str, ...]) -> None:
        """Listen to agents that run, from their first event on."""
        for host in hosts:
            self._links[host] = self._transport.attach(host, 0)
            threading.Thread(target=self._read, args=(host,), daemon=True).start()

    def send(self, host: str, command: AgentCommand) -> None:
        """A lost connection is not told here: the reader finds it, and heals it or says that the
        host is lost."""
        with contextlib.suppress(HostError):
            self._links[host].send(command)

    def send_all(self, command: AgentCommand) -> None:
        for host in self._links:
            self.send(host, command)

    def end(self, hosts: tuple[str, ...]) -> StopResult:
        """End everything on the hosts, at once."""
        self._closing = True
        ended = run_parallel(self._transport.stop, {host: host for host in hosts})
        told = {
            host: (str(gone),) if isinstance(gone, HostError) else gone.left
            for host, gone in ended.items()
        }
        return StopResult(
            left=tuple(line for host in hosts for line in told[host]),
            unreached=tuple(host for host, gone in ended.items() if isinstance(gone, HostError)),
        )

    def look(self, hosts: tuple[str, ...]) -> dict[str, HostState | HostError]:
        """What runs on each host, or why that can't be told."""
        return run_parallel(self._transport.inspect, {host: host for host in hosts})

    def doors(self, hosts: tuple[str, ...]) -> dict[str, tuple[Listener, ...] | HostError]:
        """What listens on each host, or why that can't be told."""
        return run_parallel(self._transport.listeners, {host: host for host in hosts})

    def _read(self, host: str) -> None:
        """Attach again after a loss, from the last event heard; nothing is lost, since the agent
        keeps its events."""
        last, deadline = 0, time.monotonic() + self._lost_after_s
        why = "its agent ended"
        while not self._closing and time.monotonic() < deadline:
            try:
                for numbered in self._links[host].events():
                    last, deadline = numbered.seq, time.monotonic() + self._lost_after_s
                    self._queue.put(AgentEvent(host, numbered.event))
                if self._closing or self._transport.inspect(host).agent == "dead":
                    break
                self._links[host] = self._transport.attach(host, last)
                deadline = time.monotonic() + self._lost_after_s
            except HostError as error:
                why = str(error)
                time.sleep(RETRY_S)
        if not self._closing:
            self._queue.put(AgentLost(host, why))

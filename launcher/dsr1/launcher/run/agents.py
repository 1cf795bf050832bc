"""The agents of a run, all of them: started and ended together, and their events as one stream."""

import contextlib
import threading
import time
import types
from collections.abc import Mapping, Sequence
from queue import SimpleQueue

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.errors import BadAnswer, HostError
from dsr1.hosts.protocol.commands import AgentCommand
from dsr1.hosts.protocol.events import AgentUp, Alive, Event
from dsr1.hosts.protocol.http import HttpGet, HttpGot
from dsr1.hosts.protocol.lease import answers_beat
from dsr1.hosts.protocol.process import HostPlan
from dsr1.hosts.transport.base import NO_SECRETS, AgentLink, Transport
from dsr1.hosts.transport.http import HttpAnswers
from dsr1.hosts.transport.parallel import raise_all, run_on_all, run_parallel
from dsr1.hosts.transport.results import HostState, Listener
from dsr1.launcher.run.liveness.heard import HeardProcesses
from dsr1.launcher.run.liveness.watching import beat_s, own_lease, rival_of

RETRY_S, TICK_S, ANSWER_S = 0.5, 1.0, 2.0
MOST_EVENTS, FLOW_S = 20_000, 60.0  # a start of hundreds of ranks tells some thousands
ENDED, REBOOTED = "its agent ended", "it was rebooted"
NOTHING_SEEN: Mapping[str, HostState] = types.MappingProxyType({})


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
class AgentTaken:
    """A host's agent hears another supervisor of the run, `by` whom, in words."""

    host: str
    by: str


@dataclass(frozen=True, slots=True)
class StopResult:
    """What may still run, in words, and the hosts that couldn't be asked. `spared`: in words, what
    has a copy of the run's environment and was left alone, since the run hasn't started it."""

    left: tuple[str, ...]
    unreached: tuple[str, ...]
    spared: tuple[str, ...] = ()


@dataclass(slots=True)
class EventFlow:
    """How many events a host has sent since `began`, in seconds of the monotonic clock."""

    began: float
    count: int = 0

    def take(self, now: float) -> bool:
        """Whether one more is no flood."""
        if now - self.began > FLOW_S:
            self.began, self.count = now, 0
        self.count += 1
        return self.count <= MOST_EVENTS


class Agents:
    """One thread a host reads; what it reads goes into one queue. One more counts for how long each
    host has been silent: its agent gives a sign of life every few seconds."""

    def __init__(
        self, transport: Transport, queue: "SimpleQueue[object]", lost_after_s: float = 0.0
    ) -> None:
        self._transport, self._queue, self._lost_after_s = transport, queue, lost_after_s
        self._links: dict[str, AgentLink] = {}
        self._silent_s: dict[str, float] = {}
        self._flow: dict[str, EventFlow] = {}
        self._boots: dict[str, str] = {}
        self._answers = HttpAnswers()
        self._heard: dict[str, HeardProcesses] = {}
        self._why: dict[str, str] = {}
        self._lost: set[str] = set()
        self._closing = self._counting = False
        self._readers: dict[str, object] = {}

    @property
    def transport(self) -> Transport:
        return self._transport

    def start(
        self,
        plans: tuple[HostPlan, ...],
        secrets: Mapping[str, str],
        kept: Mapping[str, str] = NO_SECRETS,
    ) -> None:
        """On all hosts at once; the first host's agent keeps the run's files. Raises HostError
        naming every host that couldn't be."""

        def start_one(plan: HostPlan) -> None:
            first = plan.host == plans[0].host
            self._transport.start(plan, secrets, kept if first else NO_SECRETS)

        raise_all(run_parallel(start_one, {plan.host: plan for plan in plans}))
        self.attach(tuple(plan.host for plan in plans))

    def start_anew(self, plan: HostPlan, secrets: Mapping[str, str]) -> None:
        """The agent of a host that had none, or lost its own. HostError: it can't be."""
        self._transport.start(plan, secrets)
        self._lost.discard(plan.host)
        self._boots.pop(plan.host, None)
        self.attach((plan.host,))

    def attach(self, hosts: tuple[str, ...], seen: Mapping[str, HostState] = NOTHING_SEEN) -> None:
        """Listen to agents that run, from their first event on, or from where they were `seen`."""
        for host in hosts:
            last = seen[host].last_event if host in seen else 0
            self._links[host] = self._transport.attach(host, last)
            self.send(host, own_lease())
            self._silent_s[host] = 0.0
            self._flow[host] = EventFlow(time.monotonic())
            self._heard[host] = HeardProcesses(sorted(seen[host].running) if host in seen else ())
            if host in seen:
                self._boots[host] = seen[host].boot_id
            reader = self._readers[host] = object()
            threading.Thread(target=self._read, args=(host, reader, last), daemon=True).start()
        if not self._counting:
            self._counting = True
            threading.Thread(target=self._count_silence, daemon=True).start()
            threading.Thread(target=self._renew_leases, daemon=True).start()

    def attach_seen(
        self, found: Mapping[str, HostState | HostError]
    ) -> dict[str, HostState | HostError]:
        """Listen to the agents that live, from where they were seen; who can't be, and why."""
        known = dict(found)
        for host, state in found.items():
            if isinstance(state, HostState) and state.agent == "alive":
                try:
                    self.attach((host,), {host: state})
                except HostError as error:
                    known[host] = error
        return known

    def let_go(self, host: str) -> None:
        """It is ended by itself, which is no order to stop the run: nothing more is heard of it,
        its end neither."""
        self._lost.add(host)
        if link := self._links.get(host):
            link.close()

    def hears(self, host: str) -> bool:
        """Whether it has an agent of this run, as far as is known."""
        return host in self._links and host not in self._lost

    def send(self, host: str, command: AgentCommand) -> None:
        """A lost connection is not told here: the reader finds it, and heals it or says that the
        host is lost."""
        if link := self._links.get(host):
            with contextlib.suppress(HostError):
                link.send(command)

    def send_all(self, command: AgentCommand) -> None:
        for host in self._links:
            self.send(host, command)

    def get(self, host: str, gets: Sequence[HttpGet]) -> tuple[HttpGot, ...]:
        """What the host's own servers answer, see HttpAnswers. HostError: it can't be asked now."""
        if (link := self._links.get(host)) is None:
            raise HostError(f"{host}: has no agent of this run now")
        return self._answers.ask(link, gets)

    def living(self, within_s: float = ANSWER_S) -> dict[str, tuple[str, ...]]:
        """Names of processes by host, as far as is known: of hosts whose agent answers now, and
        tells of none that may or may not have left something."""
        hosts = {host: link for host, link in self._links.copy().items() if self.hears(host)}
        present = self._answers.present(hosts, within_s)
        known = {host: self._heard[host].living for host in hosts if host in present}
        return {host: names for host, names in known.items() if names is not None}

    def end(self, hosts: tuple[str, ...], reason: str = "") -> StopResult:
        """End everything on the hosts, at once."""
        self._closing = True
        ended = run_on_all(lambda host: self._transport.stop(host, reason), hosts)
        left = {
            host: (str(gone),) if isinstance(gone, HostError) else gone.left
            for host, gone in ended.items()
        }
        return StopResult(
            left=tuple(line for host in hosts for line in left[host]),
            unreached=tuple(host for host, gone in ended.items() if isinstance(gone, HostError)),
            spared=tuple(
                f"{host}: {line}"
                for host, gone in ended.items()
                for line in (() if isinstance(gone, HostError) else gone.spared)
            ),
        )

    def look(self, hosts: tuple[str, ...]) -> dict[str, HostState | HostError]:
        """What runs on each host, or why that can't be told."""
        return run_on_all(self._transport.inspect, hosts)

    def doors(self, hosts: tuple[str, ...]) -> dict[str, tuple[Listener, ...] | HostError]:
        """What listens on each host, or why that can't be told."""
        return run_on_all(self._transport.listeners, hosts)

    def _read(self, host: str, reader: object, last: int) -> None:
        """Attach again after a loss, from the last event heard; nothing is lost, since the agent
        keeps its events."""
        while not self._is_over(host) and self._readers[host] is reader:
            try:
                last = self._hear(host, last)
                if self._is_over(host) or self._readers[host] is not reader:
                    return
                state = self._transport.inspect(host)
                if state.agent == "dead":
                    rebooted = state.boot_id != self._boots.get(host, state.boot_id)
                    self._lose(host, REBOOTED if rebooted else ENDED)
                    return
                self._links[host] = self._transport.attach(host, last)
                self.send(host, own_lease())
                self._silent_s[host] = 0.0
                self._why.pop(host, None)
            except BadAnswer as error:
                self._lose(host, str(error))
            except HostError as error:
                self._why[host] = str(error)
                time.sleep(RETRY_S)
            except Exception as error:  # noqa: BLE001 - a thread that reads never ends unheard
                self._lose(host, f"its events can't be read: {error!r}")

    def _hear(self, host: str, last: int) -> int:
        """Until the connection is lost; gives the last event's number."""
        for numbered in self._links[host].events():
            self._silent_s[host] = 0.0
            if answers_beat(numbered.event) and (rival := rival_of(numbered.event)):
                self._queue.put(AgentTaken(host, rival))
            if isinstance(numbered.event, Alive) or self._answers.take(numbered.event):
                continue
            if host in self._lost:
                return last
            last = numbered.seq
            self._heard[host].hear(numbered.event)
            if not self._flow[host].take(time.monotonic()):
                raise BadAnswer(host, f"over {MOST_EVENTS} events in {FLOW_S:.0f} s")
            if isinstance(numbered.event, AgentUp):
                self._boots[host] = numbered.event.boot_id
            self._queue.put(AgentEvent(host, numbered.event))
        return last

    def _is_over(self, host: str) -> bool:
        return self._closing or host in self._lost

    def _lose(self, host: str, why: str) -> None:
        if not self._is_over(host):
            self._lost.add(host)
            self._queue.put(AgentLost(host, why))

    def _renew_leases(self) -> None:
        while not self._closing:
            time.sleep(beat_s(self._lost_after_s))
            for host in self._links.copy():
                if self.hears(host):
                    self.send(host, own_lease())

    def _count_silence(self) -> None:
        """Time that this very process did not run is no silence: a tick counts twice its length at
        most."""
        tick = min(TICK_S, self._lost_after_s / 4)
        before = time.monotonic()
        while not self._closing:
            time.sleep(tick)
            now = time.monotonic()
            passed, before = min(now - before, 2 * tick), now
            for host in tuple(self._silent_s):
                self._silent_s[host] += passed
                if self._silent_s[host] > self._lost_after_s:
                    self._give_up(host)

    def _give_up(self, host: str) -> None:
        hung = f"its agent has given no sign of life for {self._lost_after_s:g} s"
        self._lose(host, self._why.get(host, hung))
        self._links[host].close()

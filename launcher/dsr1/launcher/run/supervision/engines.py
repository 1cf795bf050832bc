"""The engines of a deployment that serves: each by its state machine, fed with what the supervisor
hears."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NoReturn

from dsr1.hosts.errors import HostError, LaunchFailed
from dsr1.hosts.protocol.events import (
    Ending,
    Exited,
    Finding,
    Listening,
    Prepared,
    Spawned,
)
from dsr1.hosts.transport.results import HostState
from dsr1.launcher.health.ready import FirstAnswers
from dsr1.launcher.health.verdicts import HealthReport
from dsr1.launcher.lifecycle.deployment import EngineUnit, availability, lost_role
from dsr1.launcher.lifecycle.events import EngineEvent, Failed, Placed
from dsr1.launcher.lifecycle.machine import resume, step
from dsr1.launcher.lifecycle.state import EngineState, Step
from dsr1.launcher.run.agents import AgentLost, Agents
from dsr1.launcher.run.ranks import overdue
from dsr1.launcher.run.store import Run
from dsr1.launcher.run.supervision.changing.changes import ChangeInProgress
from dsr1.launcher.run.supervision.changing.engine_changes import EngineChanges
from dsr1.launcher.run.supervision.engine_events import events_of, is_vital, known_engines
from dsr1.launcher.run.supervision.engine_health import EngineHealth
from dsr1.launcher.run.supervision.engine_orders import EngineOrders
from dsr1.launcher.run.supervision.inbox import Inbox, SupervisorMessage
from dsr1.launcher.run.supervision.messages import (
    EvidenceTaken,
    HostLeft,
    HostNotPlaced,
    HostPlaced,
    ServiceReady,
    StopRequested,
    Superseded,
)
from dsr1.launcher.run.supervision.places import Places
from dsr1.launcher.run.supervision.state_writer import StateWriter
from dsr1.launcher.run.supervision.verdict import end_of

StateByHost = Mapping[str, HostState | HostError]


class RoleLost(LaunchFailed):
    """Nothing will serve a role any more: its engines have failed, and have no restart left."""


class EngineWatch:
    """`engines` by name, as the run's state has them."""

    def __init__(
        self,
        run: Run,
        places: Places,
        agents: Agents,
        inbox: Inbox,
        writer: StateWriter,
        first: FirstAnswers | None,
    ) -> None:
        self.places, self._writer = places, writer
        self._moved = False  # an engine is in another phase: a change may wait for that
        self.engines = known_engines(places.plan, places.settings, writer.state.engines)
        self.orders = EngineOrders(run, agents, inbox, places, self.engines)
        own = (places.settings, first, run.folder)
        self.health = EngineHealth(agents, inbox.queue, *own)
        self._change = ChangeInProgress(run, EngineChanges(run, agents, self))

    def close(self) -> None:
        self.health.close()
        self.orders.close()

    def watch(self, states: StateByHost, take: Callable[[], SupervisorMessage]) -> NoReturn:
        """From the first, or where they are taken up. StopRequested, or as `hear`."""
        if self._writer.state.engines:
            self._resume(states)
        self._stand()
        self.health.begin(self.places.plan, self._absent)
        while True:
            item = take()
            end = end_of(item)
            if isinstance(end, StopRequested | Superseded):
                raise end
            self._writer.hear(item)
            self.hear(item)
            while self._moved:
                self._moved = False
                self._change.look()

    def hear(self, item: object) -> None:
        """HostError: a host is lost that the others can't do without. RoleLost."""
        match item:
            case AgentLost() | Ending():
                self._refuse_vital(item)
            case HostPlaced() | HostNotPlaced():
                self.orders.placed(item.lost)
                self.watch_plan()
            case Exited() if not item.requested:
                self.orders.note_death(item.process)
            case _:
                self._hear_progress(item)
        for name, event in tuple(events_of(item, self.places.plan, self.engines)):
            self.tell(name, event)

    def _hear_progress(self, item: object) -> None:
        match item:
            case EvidenceTaken():
                self._end(item)
            case Spawned() | Listening():
                self._hear_start(item)
            case Prepared(findings):
                self._refuse_hosts(findings)
            case HealthReport():
                self._writer.note_ailing(item)
                self._stand()
            case ServiceReady(first):
                self.health.hear(first, self.places.plan, self._absent)
            case HostLeft(host):
                self.places.forget(host)

    def look(self, now: float) -> None:
        """Whether one that starts is late, and whether somebody wants a change; `now` is
        monotonic."""
        self._change.look()
        self._refuse_lost_role()
        for name, deadline in tuple(self.orders.deadlines.items()):
            rows = tuple(row for row in self._writer.state.ranks if row.engine == name)
            late = overdue(rows, self.places.settings.limits, now)
            if late or now > deadline:
                self.tell(name, Failed(late or f"{name} did not serve in time (recipe timeouts)"))

    def _resume(self, states: StateByHost) -> None:
        """Taken up by this supervisor: what was ordered before may be done or not."""
        for name, engine in tuple(self.engines.items()):
            self._take(name, self._resumed(engine, states))
        for host, state in states.items():
            if isinstance(state, HostError) or state.agent == "dead":
                why = str(state) if isinstance(state, HostError) else "its agent is gone"
                self.hear(AgentLost(host, why))

    def _resumed(self, engine: EngineUnit, states: StateByHost) -> Step:
        running = {
            host: state.running for host, state in states.items() if isinstance(state, HostState)
        }
        own = self.orders.processes(engine)
        state = _follow(engine, tuple(dict.fromkeys(one.host for one in own)))
        alive = {one.host for one in own if one.name in running.get(one.host, ())}
        whole = all(one.name in running.get(one.host, ()) for one in own)
        return resume(state, alive, whole, engine.policy)

    def _refuse_vital(self, item: AgentLost | Ending) -> None:
        host = item.host if isinstance(item, AgentLost) else item.on
        if is_vital(self.places.plan, host):
            raise HostError(
                f"{host} is lost: {item.why}"
                if isinstance(item, AgentLost)
                else f"{host} {item.reason}"
            )

    def _refuse_hosts(self, findings: Sequence[Finding]) -> None:
        """A host that has just got its agent can't give what is needed."""
        for finding in findings:
            if finding.verdict == "FAIL":
                own = [n for n, one in self.engines.items() if finding.host in one.state.hosts]
                for name in own:
                    self.tell(name, Failed(f"{finding.host}: {finding.seen}"))

    def _hear_start(self, item: Spawned | Listening) -> None:
        for engine in self.engines.values():
            if engine.state.phase == "starting":
                self.orders.hear_start(engine, item)

    def _end(self, item: EvidenceTaken) -> None:
        """An older order's evidence comes too late."""
        engine = self.engines.get(item.engine)
        if item.cause:
            self._writer.save(cause=item.cause)
        if engine and engine.state.number == item.order.number and engine.state.phase == "ending":
            self.orders.end(engine, item.order)

    def watch_plan(self) -> None:
        """As it is now."""
        self._writer.use(self.places.plan)
        self.health.begin(self.places.plan, self._absent)
        self._stand()

    def tell(self, name: str, event: EngineEvent) -> None:
        engine = self.engines.get(name)
        if engine is None:  # it was taken out meanwhile
            return
        self._take(name, step(engine.state, event, engine.policy, time.time()))

    def _take(self, name: str, taken: Step) -> None:
        """Written down first: whoever takes over finds at least what was ordered."""
        before, (state, orders) = self.engines[name], taken
        engine = self.engines[name] = replace(before, state=state)
        if state != before.state:
            self._write(engine, before.state)
        self._refuse_lost_role()
        for order in orders:
            self.orders.carry_out(engine, order)

    def _refuse_lost_role(self) -> None:
        """A change that undoes what it can't do may bring it back."""
        role = lost_role(self.engines, time.time())
        if role and not self._change.may_undo:
            raise RoleLost(_last_words(self.engines, role))

    def _write(self, engine: EngineUnit, before: EngineState) -> None:
        if engine.state.phase != before.phase:
            self._moved = True
            self.orders.settle(engine)
            self.health.note(engine.name, engine.state.phase == "serving")
            self._writer.tell_engine(engine, self.places.plan)
        self._stand()

    def _stand(self) -> None:
        self._writer.stand(availability(self.engines), tuple(self.engines.values()))

    @property
    def _absent(self) -> list[str]:
        return [name for name, one in self.engines.items() if one.state.phase != "serving"]


def _follow(engine: EngineUnit, hosts: tuple[str, ...]) -> EngineState:
    """The plan may name another host for one that was lost, and be written down before the engine
    heard of it."""
    state, now = engine.state, engine.state.since
    for old, new in zip(state.hosts, hosts, strict=False):
        if old != new:
            phase = "waiting" if state.phase == "placing" else state.phase
            lost = tuple(dict.fromkeys((*state.lost, old)))
            state = replace(state, phase=phase, lost=lost)
            state, _ = step(state, Placed(old, new), engine.policy, now)
    return state


def _last_words(engines: Mapping[str, EngineUnit], role: str) -> str:
    own = [one.state for one in engines.values() if one.role == role]
    return max(own, key=lambda state: state.since).why

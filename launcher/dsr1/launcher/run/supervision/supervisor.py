"""The supervisor: one per run. It starts the agents, gates the start, watches, fails fast, and ends
everything."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping

from dsr1.hosts.errors import CheckFailed, Dsr1Error, HostError, LaunchFailed
from dsr1.hosts.protocol.commands import Prepare, Quiet
from dsr1.hosts.protocol.events import Prepared
from dsr1.hosts.transport.base import Transport
from dsr1.hosts.transport.results import HostState
from dsr1.launcher.caches.store import jit_store
from dsr1.launcher.caches.transfer import copy_caches
from dsr1.launcher.health.ready import FirstAnswers
from dsr1.launcher.metrics.recorder import MetricsRecorder
from dsr1.launcher.plan.plan import Plan
from dsr1.launcher.plan.retry import plan_again
from dsr1.launcher.run.agents import Agents
from dsr1.launcher.run.evidence import explain_failure
from dsr1.launcher.run.liveness.take_up import listen_again, spawned
from dsr1.launcher.run.ranks import lateness
from dsr1.launcher.run.store import Run
from dsr1.launcher.run.supervision import fresh_ports
from dsr1.launcher.run.supervision.agent_plans import agent_plans, origin_since
from dsr1.launcher.run.supervision.background import (
    HARVEST_S,
    harvest_caches,
    in_background,
    probe_service,
    watch_health,
)
from dsr1.launcher.run.supervision.changing.changes import as_before_change
from dsr1.launcher.run.supervision.engines import EngineWatch, RoleLost
from dsr1.launcher.run.supervision.folder_watch import FolderWatch
from dsr1.launcher.run.supervision.inbox import Inbox, SupervisorMessage
from dsr1.launcher.run.supervision.messages import (
    FolderGone,
    ServiceReady,
    StillMissing,
    StopRequested,
    Superseded,
)
from dsr1.launcher.run.supervision.places import Places, upload_again
from dsr1.launcher.run.supervision.restarts import RestartBudget
from dsr1.launcher.run.supervision.state_writer import StateWriter
from dsr1.launcher.run.supervision.verdict import end_of, waits_s
from dsr1.launcher.run.supervision.waves import WavedStart, send_spawns
from dsr1.launcher.run.transport import transport_of
from dsr1.launcher.triage.render import told_reason

LOOK_S = 1.0


class Supervisor:
    """Runs in the main thread of its own process. Threads only read, and fill its queue."""

    def __init__(self, run: Run, transport: Transport | None = None) -> None:
        """`transport`: one that is there already, to be used on; else the run's own."""
        self._run, self._plan, self._settings = run, run.plan(), run.settings()
        self._transport = transport
        self._inbox, self._asked, self._spawned = Inbox(), "", False
        self._agents = self._make_agents()
        self._writer = StateWriter(run, self._plan, self._settings.hooks)
        self._look_at, self._folder = 0.0, FolderWatch(run)
        self._done, self._lacks = threading.Event(), ""
        before = [time.monotonic()] * self._writer.state.restarts
        self._engines: EngineWatch | None = None
        self._first: FirstAnswers | None = None
        self._harvest: threading.Thread | None = None
        self._seen: Mapping[str, HostState | HostError] = {}
        self._budget = RestartBudget(self._settings.restarts, self._settings.within_s, before)

    @property
    def _hosts(self) -> tuple[str, ...]:
        return tuple(host.host for host in self._plan.hosts)

    def _make_agents(self) -> Agents:
        return Agents(self._reach(), self._inbox.queue, self._settings.lost_s)

    def _reach(self) -> Transport:
        return self._transport or transport_of(self._run, self._settings.python, self._plan.run_id)

    @contextlib.contextmanager
    def _beside(self) -> Iterator[Transport]:
        """For what is done beside the agents: an idle supervisor keeps no second connection."""
        transport = self._reach()
        try:
            yield transport
        finally:
            if transport is not self._transport:
                transport.close()

    def request_stop(self, why: str = "asked to stop") -> None:
        self._asked = why
        self._inbox.queue.put(StopRequested(why))

    def living(self) -> dict[str, tuple[str, ...]]:
        return self._agents.living()

    def supervise(self, take_over: bool = False) -> None:
        """From the first agent, or those that already run, to the proof that nothing is left."""
        try:
            begin, self._spawned = (self._take_up, True) if take_over else (self._bring_up, False)
            if fresh_ports.were_taken(lambda: self._serve(begin), self._writer, self._plan):
                self._start_again(fresh_ports.with_fresh_ports)
            while self._budget.take(time.monotonic()):
                self._start_again()
            self._finish("failed", self._writer.state.reason, 4)
        except Superseded as taken:  # nothing is ended that is another's
            self._done.set()
            self._writer.note((str(taken),))
        except (StopRequested, FolderGone) as asked:
            self._finish("stopped", str(asked), 0)
            if isinstance(asked, FolderGone):
                self._run.discard_remains()
        except CheckFailed as error:
            self._finish("failed", str(error), 4 if self._spawned else 3)
        except (Dsr1Error, OSError) as error:
            self._finish("failed", str(error), 4)

    def _serve(self, begin: Callable[[float], None]) -> None:
        """Returns when the deployment has failed; the state then holds why."""
        began = time.monotonic()
        try:
            begin(began + self._settings.ready_s)
            if not self._writer.state.engines:  # else they are taken up
                self._writer.serves(time.monotonic() - began)
                self._agents.send_all(Quiet())
            queue = self._inbox.queue  # of this attempt, whatever comes after it
            plan, name = self._plan, self._run.name
            self._harvest = in_background(harvest_caches, plan, name, self._beside, queue)
            if self._settings.engine_scope:
                self._watch_engines()
            assert self._first is not None
            recorder = MetricsRecorder(self._run.folder, plan, self._settings.health.read_s)
            watched = (plan, self._settings, self._agents, self._first, recorder)
            in_background(watch_health, *watched, self._done, queue)
            while True:
                self._take(None, "watch")
        except CheckFailed:
            raise
        except (Dsr1Error, OSError) as error:
            self._writer.save(phase="stopping", reason=str(error))  # at once: the rest takes long
            if isinstance(error, RoleLost):  # its restarts were the deployment's
                self._budget = RestartBudget(0)
            transport, deaths = self._agents.transport, self._inbox.deaths
            run, plan, ailing = self._run, self._plan, self._writer.state.ailing
            cause = explain_failure(run, transport, plan, deaths, ailing)
            self._writer.save(cause=cause, reason=told_reason(self._writer.state.reason, cause))

    def _watch_engines(self) -> None:
        """Until one fails that the others can't do without."""
        places = self._make_places()
        self._engines = EngineWatch(
            self._run, places, self._agents, self._inbox, self._writer, self._first
        )
        try:
            self._engines.watch(self._seen, lambda: self._next(None, "watch"))
        finally:
            self._engines.close()
            self._engines, self._seen = None, {}
            self._plan, self._settings = places.plan, places.settings

    def _start_again(self, change: fresh_ports.ChangePlan = fresh_ports.same_plan) -> None:
        """End all, wait, and bring it up anew on hosts that answer then; one may be back."""
        self._done.set()
        self._end_all()
        self._inbox.wait(self._settings.backoff_s)
        self._folder.look_once()
        plan = change(self._plan_without(self._end_all()), self._run, self._settings)
        self._inbox, self._done, self._lacks = Inbox(), threading.Event(), ""
        if self._asked:  # while the queues changed
            raise StopRequested(self._asked)
        self._agents = self._make_agents()
        attempt = self._writer.state.restarts + 1
        self._plan = plan_again(plan, attempt)
        self._run.save_plan(self._plan)
        self._writer.begin_again(self._plan, attempt)
        self._serve(self._bring_up)

    def _end_all(self) -> tuple[str, ...]:
        """Gives the hosts that can't be reached. LaunchFailed: something can't be ended."""
        ended = self._agents.end(self._hosts, self._writer.state.reason)
        self._writer.name_lost(ended.unreached)
        if ended.left and not ended.unreached:
            why = f"not started again, since something may still run: {'; '.join(ended.left)}"
            raise LaunchFailed(f"{self._writer.state.reason}\n{why}")
        return ended.unreached

    def _plan_without(self, unreached: tuple[str, ...]) -> Plan:
        """See Places.leave."""
        self._plan, self._settings = as_before_change(self._run, self._plan, self._settings)
        going = tuple(host for host in self._hosts if host in self._inbox.going)
        places = self._make_places()
        self._writer.note(places.leave(unreached, going, self._writer.state.reason))
        self._settings = places.settings
        return places.plan

    def _make_places(self) -> Places:
        return Places(self._run, self._plan, self._settings, self._agents, self._beside)

    def _bring_up(self, deadline: float) -> None:
        (self._run.folder / "hosts").mkdir(exist_ok=True)
        with self._beside() as transport:
            if self._writer.state.restarts:
                upload_again(self._run, self._settings, transport)
            self._writer.note_counted(copy_caches, transport, self._plan.caches, jit_store())
        plans = agent_plans(self._plan, self._settings, origin_since(self._run.claimed_at()))
        self._agents.start(plans, self._run.secrets(), self._run.kept_files())
        self._prepare()
        self._spawn_all(frozenset(), deadline)

    def _take_up(self, deadline: float) -> None:
        """Agents keep their processes and their events: all that was told is heard again, an
        unasked end too."""
        engines = bool(self._writer.state.engines)
        found = listen_again(self._agents, self._hosts, first_event=not engines)
        self._writer.hear_again()
        if engines:
            self._seen = found
        else:
            self._spawn_all(spawned(found), deadline)

    def _spawn_all(self, spawned: frozenset[str], deadline: float) -> None:
        """Wave after wave, what isn't yet; then wait until it serves."""
        start = WavedStart([p for p in self._plan.processes if p.name not in spawned])
        self._spawned = True
        while wave := start.next_wave():
            send_spawns(self._agents, wave)
            self._until(start.is_there, deadline, "start")
        plan, settings, agents = self._plan, self._settings, self._agents
        in_background(probe_service, plan, settings, agents, self._done, self._inbox.queue)
        ready = self._until(lambda item: isinstance(item, ServiceReady), deadline, "serve")
        assert isinstance(ready, ServiceReady)
        self._first = ready.first

    def _prepare(self) -> None:
        self._agents.send_all(Prepare())
        deadline = time.monotonic() + self._settings.prepare_s
        failed = []
        for _ in self._plan.hosts:
            found = self._until(lambda x: isinstance(x, Prepared), deadline, "look at the hosts")
            assert isinstance(found, Prepared)
            failed += [finding for finding in found.findings if finding.verdict == "FAIL"]
        if failed:
            raise fresh_ports.refusal(failed, self._run.recipe())

    def _until(
        self, wanted: Callable[[SupervisorMessage], bool], deadline: float, doing: str
    ) -> SupervisorMessage:
        while True:
            item = self._take(deadline, doing)
            if wanted(item):
                return item

    def _take(self, deadline: float | None, doing: str) -> SupervisorMessage:
        """The next item; every unexpected end, wherever it is met, ends the run."""
        item = self._next(deadline, doing)
        self._writer.hear(item)
        if end := end_of(item):
            raise self._inbox.best_explanation(end, waits_s(item))
        self._lacks = item.words if isinstance(item, StillMissing) else self._lacks
        return item

    def _next(self, deadline: float | None, doing: str) -> SupervisorMessage:
        """Wait for an item; once a second look at what nobody tells."""
        while True:
            self._writer.save_due(idle=self._inbox.is_empty())
            self._look(deadline, doing)
            if item := self._inbox.take(LOOK_S):
                return item

    def _look(self, deadline: float | None, doing: str) -> None:
        """Whether the run still has its folder, and, while it starts, whether a rank is late."""
        if time.monotonic() < self._look_at:
            return
        self._look_at = time.monotonic() + LOOK_S
        self._folder.look()
        if deadline is not None:
            ranks, now = self._writer.state.ranks, time.monotonic()
            if why := lateness(ranks, self._settings.limits, now, deadline, doing):
                raise LaunchFailed("; ".join(filter(None, (why, self._lacks))))
        elif self._engines:
            self._engines.look(time.monotonic())

    def _finish(self, phase: str, reason: str, exit_code: int) -> None:
        """End everything on every host, then say how it ended. `end` proves absence, host by
        host."""
        self._done.set()
        self._writer.save(phase="stopping", reason=reason)
        ended = self._agents.end((*self._hosts, *self._settings.replaced), reason)
        if phase == "failed":
            self._writer.name_lost(tuple(host for host in ended.unreached if host in self._hosts))
        code = exit_code or (4 if ended.left else 0)
        phase = "failed" if ended.left else phase
        self._writer.save(phase=phase, left=ended.left, exit_code=code)
        if phase == "stopped" and self._harvest:  # what took minutes to compile is kept
            self._harvest.join(HARVEST_S)

"""The supervisor: one per run. It starts the agents, gates the start, watches, fails fast, and ends
everything."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

from dsr1.env.findings import folded
from dsr1.hosts.errors import CheckFailed, Dsr1Error, LaunchFailed
from dsr1.hosts.protocol.commands import Prepare, Quiet, Spawn
from dsr1.hosts.protocol.events import Listening, Prepared, Spawned
from dsr1.hosts.protocol.process import Process
from dsr1.hosts.transport.base import Transport
from dsr1.hosts.transport.parallel import raise_all
from dsr1.hosts.transport.results import HostState
from dsr1.hosts.transport.ssh import ShellTransport
from dsr1.launcher.caches.store import jit_store
from dsr1.launcher.caches.transfer import copy_caches
from dsr1.launcher.health.watch import HealthWatch
from dsr1.launcher.plan.plan import Plan
from dsr1.launcher.plan.retry import plan_again
from dsr1.launcher.run.agents import Agents
from dsr1.launcher.run.evidence import explain_failure
from dsr1.launcher.run.ranks import not_in_time, overdue
from dsr1.launcher.run.store import Run
from dsr1.launcher.run.supervision.agent_plans import agent_plans, origin_since
from dsr1.launcher.run.supervision.background import (
    harvest_caches,
    in_background,
    probe_service,
    watch_health,
)
from dsr1.launcher.run.supervision.inbox import Inbox, SupervisorMessage
from dsr1.launcher.run.supervision.messages import (
    FolderGone,
    ServiceReady,
    StillMissing,
    StopRequested,
)
from dsr1.launcher.run.supervision.restarts import RestartBudget
from dsr1.launcher.run.supervision.state_writer import StateWriter
from dsr1.launcher.run.supervision.verdict import end_of, waits_s
from dsr1.launcher.run.transport import transport_of

LOOK_S, GONE_LOOKS = 1.0, 3


class Supervisor:
    """Runs in the main thread of its own process. Threads only read: one per agent, one for the
    frontend."""

    def __init__(self, run: Run, transport: Transport | None = None) -> None:
        """`transport`: one that is there already, to be used on; else the run's own."""
        self._run, self._plan, self._settings = run, run.plan(), run.settings()
        self._run_id, self._transport = run.run_id(), transport
        self._inbox, self._asked = Inbox(), ""
        self._agents = self._make_agents()
        self._writer = StateWriter(run, self._plan, self._settings.hooks)
        self._look_at, self._times_gone = 0.0, 0
        self._done, self._lacks = threading.Event(), ""
        self._hosts = tuple(host.host for host in self._plan.hosts)
        before = [time.monotonic()] * self._writer.state.restarts
        self._budget = RestartBudget(self._settings.restarts, self._settings.within_s, before)

    def _make_agents(self) -> Agents:
        return Agents(self._reach(), self._inbox.queue, self._settings.lost_s)

    def _reach(self) -> Transport:
        return self._transport or transport_of(self._run, self._settings.python)

    @contextlib.contextmanager
    def _beside(self) -> Iterator[Transport]:
        """For what is done beside the agents: an idle supervisor keeps no second connection to its
        hosts."""
        transport = self._reach()
        try:
            yield transport
        finally:
            if transport is not self._transport:
                transport.close()

    def request_stop(self, why: str = "asked to stop") -> None:
        self._asked = why
        self._inbox.queue.put(StopRequested(why))

    def supervise(self, take_over: bool = False) -> None:
        """From the first agent, or from those that already run, to the proof that nothing is
        left."""
        try:
            self._serve(self._take_up if take_over else self._bring_up)
            while self._budget.take(time.monotonic()):
                self._start_again()
            self._finish("failed", self._writer.state.reason, 4)
        except StopRequested as asked:
            self._finish("stopped", str(asked), 0)
        except FolderGone as gone:
            self._finish("stopped", str(gone), 0)
            self._run.discard_remains()
        except CheckFailed as error:
            self._finish("failed", str(error), 4 if self._writer.state.restarts else 3)
        except (Dsr1Error, OSError) as error:
            self._finish("failed", str(error), 4)

    def _serve(self, begin: Callable[[float], None]) -> None:
        """Returns when the deployment has failed; the state then holds why."""
        began = time.monotonic()
        try:
            begin(began + self._settings.ready_s)
            self._writer.serves(time.monotonic() - began)
            self._agents.send_all(Quiet())
            queue = self._inbox.queue  # of this attempt, whatever comes after it
            plan, name = self._plan, self._run.name
            in_background(harvest_caches, plan, name, self._beside, queue)
            in_background(watch_health, self._watch, self._done, queue)
            while True:
                self._take(None, "watch")
        except CheckFailed:
            raise
        except (Dsr1Error, OSError) as error:
            self._writer.save(phase="stopping", reason=str(error))  # at once: the rest takes long
            transport, deaths = self._agents.transport, self._inbox.deaths
            run, plan, ailing = self._run, self._plan, self._writer.state.ailing
            self._writer.save(cause=explain_failure(run, transport, plan, deaths, ailing))

    def _start_again(self) -> None:
        """End all that is left, wait, and bring it up anew. What can't be ended is not started
        over. After the wait the hosts are asked again: one may have gone meanwhile, or be back."""
        self._done.set()
        self._end_all()
        self._inbox.wait(self._settings.backoff_s)
        plan = self._plan_without(self._end_all())
        self._inbox, self._done, self._lacks = Inbox(), threading.Event(), ""
        if self._asked:  # while the queues changed
            raise StopRequested(self._asked)
        self._agents = self._make_agents()
        attempt = self._writer.state.restarts + 1
        self._use(plan_again(plan, attempt))
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
        """The plan with fit spares in the place of hosts that are gone, or go down. LaunchFailed
        where there are too few; a host that only seemed to go down is better than none."""
        going = [host for host in self._hosts if host in self._inbox.going]
        gone = tuple(dict.fromkeys((*unreached, *going)))
        try:
            return self._replan(gone) if gone else self._plan
        except LaunchFailed as few:
            if not unreached:
                return self._plan
            reason = f"{self._writer.state.reason}\nnot started again: {few}"
            raise LaunchFailed(reason) from few

    def _replan(self, gone: tuple[str, ...]) -> Plan:
        # It judges hosts: what an idle supervisor needn't hold.
        from dsr1.launcher.run.supervision.spares import replan

        with self._beside() as transport:
            plan, self._settings = replan(self._run, self._settings, transport, gone)
            self._writer.note(transport.give_up(gone))
        self._run.save_settings(self._settings)
        return plan

    def _use(self, plan: Plan) -> None:
        self._plan, self._hosts = plan, tuple(host.host for host in plan.hosts)
        self._run.save_plan(plan)

    def _bring_up(self, deadline: float) -> None:
        (self._run.folder / "hosts").mkdir(exist_ok=True)
        with self._beside() as transport:
            self._upload_again(transport)
            self._writer.note(copy_caches(transport, self._plan.caches, jit_store()))
        run, origin = self._run, origin_since(self._run.claimed_at())
        plans = agent_plans(self._plan, self._settings, origin)
        self._agents.start(plans, run.secrets(), run.kept_files())
        self._prepare()
        self._spawn_all(frozenset(), deadline)

    def _upload_again(self, transport: Transport) -> None:
        """For a restart: a cleaner may have taken what the launch brought to the hosts."""
        if self._writer.state.restarts and isinstance(transport, ShellTransport):
            from dsr1.launcher.run.assets import upload_to  # as above

            run, machines, spares = self._run, self._settings.machines, self._settings.spares
            upload_to(run.recipe(), machines, spares, run.facts(), transport)

    def _take_up(self, deadline: float) -> None:
        """Agents keep their processes and their events: all that was told is heard again, an
        unasked end too."""
        found = self._agents.look(self._hosts)
        raise_all(found)
        states = [state for state in found.values() if isinstance(state, HostState)]
        spawned = {process.name for state in states for process in state.processes if process.pid}
        self._agents.attach(self._hosts)
        self._writer.hear_again()
        self._spawn_all(frozenset(spawned), deadline)

    def _spawn_all(self, spawned: frozenset[str], deadline: float) -> None:
        """Wave after wave, what isn't yet; then wait until it serves."""
        for wave in sorted({process.wave for process in self._plan.processes}):
            self._spawn(
                [p for p in self._plan.processes if p.wave == wave and p.name not in spawned],
                deadline,
            )
        plan, settings, agents = self._plan, self._settings, self._agents
        in_background(probe_service, plan, settings, agents, self._done, self._inbox.queue)
        ready = self._until(lambda item: isinstance(item, ServiceReady), deadline, "serve")
        assert isinstance(ready, ServiceReady)
        self._watch = HealthWatch(plan, settings.health, agents, ready.first, settings.chat_s)

    def _prepare(self) -> None:
        self._agents.send_all(Prepare())
        deadline = time.monotonic() + self._settings.prepare_s
        failed = []
        for _ in self._plan.hosts:
            found = self._until(
                lambda item: isinstance(item, Prepared), deadline, "look at the hosts"
            )
            assert isinstance(found, Prepared)
            failed += [finding for finding in found.findings if finding.verdict == "FAIL"]
        if failed:
            raise CheckFailed("\n".join(folded(failed)))

    def _spawn(self, processes: list[Process], deadline: float) -> None:
        for host in dict.fromkeys(process.host for process in processes):
            self._agents.send(host, Spawn(tuple(p.name for p in processes if p.host == host)))
        waiting: set[tuple[type, str]] = {(Spawned, process.name) for process in processes}
        waiting |= {(Listening, process.name) for process in processes if process.listen_port}
        while waiting:
            item = self._until(lambda it: isinstance(it, Spawned | Listening), deadline, "start")
            waiting.discard((type(item), getattr(item, "process", "")))

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
        self._times_gone = 0 if self._run.is_still(self._run_id) else self._times_gone + 1
        if self._times_gone >= GONE_LOOKS:
            raise FolderGone(f"{self._run.folder} was removed on {socket.gethostname()}")
        if deadline is not None:
            self._refuse_lateness(deadline, doing)

    def _refuse_lateness(self, deadline: float, doing: str) -> None:
        ranks, now = self._writer.state.ranks, time.monotonic()
        late = overdue(ranks, self._settings.limits, now)
        if late or now > deadline:
            late = late or not_in_time(ranks, doing)
            raise LaunchFailed("; ".join(filter(None, (late, self._lacks))))

    def _finish(self, phase: str, reason: str, exit_code: int) -> None:
        """End everything on every host, then say how it ended. `end` proves absence, host by
        host."""
        self._done.set()
        self._writer.save(phase="stopping", reason=reason)
        ended = self._agents.end((*self._hosts, *self._settings.replaced), reason)
        if phase == "failed":
            self._writer.name_lost(tuple(host for host in ended.unreached if host in self._hosts))
        code = exit_code or (4 if ended.left else 0)
        end = "failed" if ended.left else phase
        self._writer.save(phase=end, left=ended.left, exit_code=code)

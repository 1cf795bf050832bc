"""The supervisor: one per run. It starts the agents, gates the start, watches, fails fast, and ends
everything."""

import contextlib
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from queue import Empty, SimpleQueue

from dsr1.env.findings import folded
from dsr1.hosts.errors import CheckFailed, Dsr1Error, HostError, LaunchFailed
from dsr1.hosts.protocol.commands import Prepare, Quiet, Spawn
from dsr1.hosts.protocol.events import Event, Exited, Listening, Prepared, Progress, Spawned
from dsr1.hosts.protocol.process import Process
from dsr1.hosts.transport.base import Transport
from dsr1.hosts.transport.parallel import raise_all
from dsr1.hosts.transport.results import HostState
from dsr1.launcher.caches.store import jit_store
from dsr1.launcher.caches.transfer import copy_caches, harvest
from dsr1.launcher.plan.plan import Plan, make_plan
from dsr1.launcher.plan.retry import plan_again
from dsr1.launcher.run.agents import AgentEvent, AgentLost, Agents
from dsr1.launcher.run.messages import NoteAdded, ServiceReady, StillMissing, StopRequested
from dsr1.launcher.run.ranks import advance, all_ready, first_table, overdue
from dsr1.launcher.run.store import Run
from dsr1.launcher.run.transport import transport_of
from dsr1.launcher.smoke.readiness import await_answer

LOOK_S, SAVE_S = 1.0, 0.2  # hundreds of ranks tell more in a second than can be written down
SupervisorMessage = Event | AgentLost | ServiceReady | StillMissing | NoteAdded | StopRequested


class Supervisor:
    """Runs in the main thread of its own process. Threads only read: one per agent, one for the
    frontend."""

    def __init__(self, run: Run, transport: Transport | None = None) -> None:
        """`transport`: one that is there already, to be used on; else the run's own."""
        self._run, self._plan, self._settings, self._transport = (
            run,
            run.plan(),
            run.settings(),
            transport,
        )
        self._queue: SimpleQueue[object] = SimpleQueue()
        self._asked: StopRequested | None = None
        self._agents = self._make_agents()
        told = run.state()
        self._state = replace(told, ranks=told.ranks or first_table(self._plan, time.time()))
        self._unsaved, self._save_at, self._look_at = False, 0.0, 0.0
        self._done, self._lacks = threading.Event(), ""
        self._hosts = tuple(host.host for host in self._plan.hosts)

    def _make_agents(self) -> Agents:
        return Agents(self._reach(), self._queue, self._settings.lost_s)

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
        self._asked = StopRequested(why)
        self._queue.put(self._asked)

    def supervise(self, take_over: bool = False) -> None:
        """From the first agent, or from those that already run, to the proof that nothing is
        left."""
        try:
            self._serve(self._take_up if take_over else self._bring_up)
            while self._state.restarts < self._settings.restarts:
                self._start_again()
            self._finish("failed", self._state.reason, 4)
        except StopRequested as asked:
            self._finish("stopped", str(asked), 0)
        except CheckFailed as error:
            self._finish("failed", str(error), 4 if self._state.restarts else 3)
        except (Dsr1Error, OSError) as error:
            self._finish("failed", str(error), 4)

    def _serve(self, begin: Callable[[float], None]) -> None:
        """Returns when the deployment has failed; the state then holds why."""
        began = time.monotonic()
        try:
            begin(began + self._settings.ready_s)
            seconds = self._state.ready_after or round(time.monotonic() - began, 2)
            self._save(
                phase="ready", ready_after=seconds, ranks=all_ready(self._state.ranks, time.time())
            )
            self._agents.send_all(Quiet())
            threading.Thread(target=self._harvest, daemon=True).start()
            while True:
                self._take(None, "watch")
        except CheckFailed:
            raise
        except (Dsr1Error, OSError) as error:
            self._save(reason=str(error))

    def _start_again(self) -> None:
        """End all that is left, wait, and bring it up anew. What can't be ended is not started
        over: LaunchFailed."""
        self._done.set()
        ended = self._agents.end(self._hosts)
        left = "; ".join(ended.left)
        if ended.left and not ended.unreached:
            raise LaunchFailed(
                f"{self._state.reason}\nnot started again, since something may still run: {left}"
            )
        plan = self._plan_without(ended.unreached)
        self._wait(self._settings.backoff_s)
        self._queue, self._done, self._lacks = SimpleQueue(), threading.Event(), ""
        if self._asked:  # while the queues changed
            raise self._asked
        self._agents = self._make_agents()
        attempt = self._state.restarts + 1
        self._use(plan_again(plan, attempt))
        fresh = first_table(self._plan, time.time())
        self._save(phase="starting", ranks=fresh, ready_after=None, restarts=attempt)
        self._serve(self._bring_up)

    def _plan_without(self, gone: tuple[str, ...]) -> Plan:
        """The plan with fit spares in the place of hosts that are gone. LaunchFailed: there are
        too few."""
        if not gone:
            return self._plan
        from dsr1.launcher.run.spares import (
            take_spares,
            update_facts,
        )  # it judges hosts: what an idle supervisor needn't hold

        try:
            with self._beside() as transport:
                hosts, fresh = take_spares(self._run.recipe(), self._settings, transport, gone)
                self._note(transport.give_up(gone))
        except LaunchFailed as few:
            raise LaunchFailed(f"{self._state.reason}\nnot started again: {few}") from few
        facts = update_facts(self._run.facts(), fresh)
        self._run.save_facts(facts)
        spares = tuple(spare for spare in self._settings.spares if spare not in hosts)
        replaced = tuple(dict.fromkeys((*self._settings.replaced, *gone)))
        self._settings = replace(self._settings, machines=hosts, spares=spares, replaced=replaced)
        self._run.save_settings(self._settings)
        run = self._run
        return make_plan(run.recipe(), hosts, run.name, str(run.folder), facts, self._plan.run_id)

    def _use(self, plan: Plan) -> None:
        self._plan, self._hosts = plan, tuple(host.host for host in plan.hosts)
        self._run.save_plan(plan)

    def _wait(self, seconds: float) -> None:
        """A request to stop ends the wait; what the ended agents still say doesn't."""
        until = time.monotonic() + seconds
        with contextlib.suppress(Empty):
            while True:
                item = self._queue.get(timeout=max(0.0, until - time.monotonic()))
                if isinstance(item, StopRequested):
                    raise item

    def _bring_up(self, deadline: float) -> None:
        (self._run.folder / "hosts").mkdir(exist_ok=True)
        with self._beside() as transport:
            self._note(copy_caches(transport, self._plan.caches, jit_store()))
        self._agents.start(self._plan.hosts, self._run.secrets())
        self._prepare()
        self._spawn_all(frozenset(), deadline)

    def _take_up(self, deadline: float) -> None:
        """Agents keep their processes and their events: all that was told is heard again, an
        unasked end too."""
        seen = self._agents.look(self._hosts)
        raise_all(seen)
        spawned = {
            p.name
            for state in seen.values()
            if isinstance(state, HostState)
            for p in state.processes
            if p.pid
        }
        self._agents.attach(self._hosts)
        self._look_at = time.monotonic() + LOOK_S  # nobody is late who hasn't been heard again
        self._spawn_all(frozenset(spawned), deadline)

    def _spawn_all(self, spawned: frozenset[str], deadline: float) -> None:
        """Wave after wave, what isn't yet; then wait until it serves."""
        for wave in sorted({process.wave for process in self._plan.processes}):
            self._spawn(
                [p for p in self._plan.processes if p.wave == wave and p.name not in spawned],
                deadline,
            )
        threading.Thread(target=self._probe, daemon=True).start()
        self._until(lambda item: isinstance(item, ServiceReady), deadline, "serve")

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
            item = self._until(
                lambda item: isinstance(item, Spawned | Listening), deadline, "start"
            )
            waiting.discard((type(item), getattr(item, "process", "")))

    def _harvest(self) -> None:
        """What this start has compiled, for the next one."""
        with self._beside() as transport:
            self._queue.put(
                NoteAdded(harvest(transport, self._plan.caches, jit_store(), self._run.name))
            )

    def _note(self, words: tuple[str, ...]) -> None:
        if words:
            self._save(notes=(*self._state.notes, *words))

    def _probe(self) -> None:
        queue = self._queue  # of this attempt, whatever comes after it
        if await_answer(
            self._plan.service,
            self._settings.chat_s,
            self._done,
            lambda it: queue.put(StillMissing(it)),
        ):
            queue.put(ServiceReady())

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
        if isinstance(item, StopRequested):
            raise item
        if isinstance(item, AgentLost):
            raise HostError(f"{item.host} is lost: {item.why}")
        if isinstance(item, Exited) and item.requested:
            raise StopRequested(
                "its agents were told to stop"
            )  # by a `stop` elsewhere, or by Slurm
        if isinstance(item, Exited):
            raise LaunchFailed(item.words)
        if isinstance(item, NoteAdded):
            self._note(item.words)
        if isinstance(item, StillMissing):
            self._lacks = item.words
        if isinstance(item, Progress):
            self._state = replace(self._state, ranks=advance(self._state.ranks, item, time.time()))
            self._unsaved = True
        return item

    def _next(self, deadline: float | None, doing: str) -> SupervisorMessage:
        """Wait for an item; while the deployment starts, look once a second whether a rank is
        late."""
        while True:
            if self._unsaved and (self._queue.empty() or time.monotonic() >= self._save_at):
                self._save()
            if deadline is not None and time.monotonic() >= self._look_at:
                self._refuse_lateness(deadline, doing)
            with contextlib.suppress(Empty):
                item = self._queue.get(timeout=None if deadline is None else LOOK_S)
                return item.event if isinstance(item, AgentEvent) else item  # type: ignore[return-value]

    def _refuse_lateness(self, deadline: float, doing: str) -> None:
        self._look_at = time.monotonic() + LOOK_S
        late = overdue(self._state.ranks, self._settings.limits, time.time())
        if not late and time.monotonic() > deadline:
            seen = ", ".join(f"rank {row.rank} {row.said}" for row in self._state.ranks[:16])
            late = f"it did not {doing} in time (recipe timeouts); last seen: {seen}"
        if late:
            raise LaunchFailed("; ".join(filter(None, (late, self._lacks))))

    def _finish(self, phase: str, reason: str, exit_code: int) -> None:
        """End everything on every host, then say how it ended. `end` proves absence, host by
        host."""
        self._done.set()
        self._save(phase="stopping", reason=reason)
        left = self._agents.end((*self._hosts, *self._settings.replaced)).left
        self._save(
            phase="failed" if left else phase, left=left, exit_code=exit_code or (4 if left else 0)
        )

    def _save(self, **changes: object) -> None:
        """A full disk must not end what serves: the state on disk is then the last that fitted."""
        self._state = replace(self._state, since=time.time(), **changes)  # type: ignore[arg-type]
        self._unsaved, self._save_at = False, time.monotonic() + SAVE_S
        with contextlib.suppress(OSError):
            self._run.save(self._state)


def main() -> None:
    run = Run(Path(sys.argv[1]))
    supervisor = Supervisor(run)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the shell that launched may go
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: supervisor.request_stop())
    supervisor.supervise(take_over="--take-over" in sys.argv[2:])


if __name__ == "__main__":
    main()

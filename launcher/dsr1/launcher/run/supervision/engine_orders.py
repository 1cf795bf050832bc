"""The orders of engines' state machines, carried out: on agents, in threads, by timers. What comes
of them goes into the supervisor's queue."""

import contextlib
import threading
import time
from collections.abc import Mapping
from functools import partial

from dsr1.hosts.errors import HostError
from dsr1.hosts.protocol.commands import Quiet, Stop
from dsr1.hosts.protocol.events import Listening, Spawned
from dsr1.hosts.protocol.process import Process
from dsr1.launcher.lifecycle.deployment import EngineUnit
from dsr1.launcher.lifecycle.events import (
    Answered,
    Ask,
    Asleep,
    Awake,
    Due,
    End,
    EngineEvent,
    EngineOrder,
    Failed,
    FindHosts,
    NotAsleep,
    PutToSleep,
    Started,
    StartProcesses,
    Wait,
    Wake,
)
from dsr1.launcher.run.agents import AgentLost, Agents
from dsr1.launcher.run.evidence import explain_failure
from dsr1.launcher.run.store import Run
from dsr1.launcher.run.supervision.background import MessageQueue, in_background
from dsr1.launcher.run.supervision.changing.sleeping import sleep_engine, wake_engine
from dsr1.launcher.run.supervision.engine_events import processes_by_engine
from dsr1.launcher.run.supervision.inbox import Inbox
from dsr1.launcher.run.supervision.messages import (
    EngineHeard,
    EvidenceTaken,
    HostLeft,
    StillMissing,
)
from dsr1.launcher.run.supervision.places import Places
from dsr1.launcher.run.supervision.waves import WavedStart, send_spawns

LOOK_S = 0.2


class EngineOrders:
    """`engines` are all, as they are at any time. `deadlines`: until when engines that start must
    serve, by their names; monotonic."""

    def __init__(
        self,
        run: Run,
        agents: Agents,
        inbox: Inbox,
        places: Places,
        engines: Mapping[str, EngineUnit],
    ) -> None:
        self._run, self._agents, self._inbox, self._places = run, agents, inbox, places
        self._engines = engines
        self._starts: dict[str, WavedStart] = {}
        self._busy: dict[str, tuple[str, threading.Event]] = {}  # by engine, in a phase of it
        self._placing: set[str] = set()
        self._dead: set[str] = set()
        self.deadlines: dict[str, float] = {}

    @property
    def queue(self) -> MessageQueue:
        return self._inbox.queue

    def carry_out(self, engine: EngineUnit, order: EngineOrder) -> None:
        match order:
            case StartProcesses():
                self._spawn(engine)
            case Ask():
                self._ask(engine)
            case End():
                self._begin_end(engine, order)
            case PutToSleep() | Wake():
                work = self._wake if isinstance(order, Wake) else self._put_to_sleep
                in_background(work, engine, self._begin(engine))
            case Wait(seconds):
                timer = threading.Timer(seconds, self._tell, (engine, Due()))
                timer.daemon = True
                timer.start()
            case FindHosts(lost):
                for host in lost:
                    self._place(host)

    def settle(self, engine: EngineUnit) -> None:
        """It is in another phase: what it waited for counts no more."""
        phase, (begun, done) = engine.state.phase, self._busy.get(engine.name, ("", None))
        if done and phase != begun:
            self._busy.pop(engine.name)
            done.set()
        if phase not in ("starting", "asking"):
            self._starts.pop(engine.name, None)
            self.deadlines.pop(engine.name, None)
        if phase == "serving":
            for host in engine.state.hosts:
                self._agents.send(host, Quiet())

    def hear_start(self, engine: EngineUnit, item: Spawned | Listening) -> None:
        start = self._starts.get(engine.name)
        if start and start.is_there(item):
            self._spawn_wave(engine, start)

    def end(self, engine: EngineUnit, order: End) -> None:
        """Once its evidence is taken."""
        grace_s = self._places.settings.drain_s if order.gently else None
        for host in order.hosts:
            names = tuple(one.name for one in self.processes(engine) if one.host == host)
            self._agents.send(host, Stop(names, order.number, grace_s))

    def note_death(self, process: str) -> None:
        """A main is gone, and with it all of its engine on that host."""
        own = [one.group for one in self._places.plan.processes if one.name == process]
        self._dead.update(own)

    def leave(self, host: str, at_once: bool) -> None:
        """A spare is to take its place, or, `at_once`, nothing: its agent is ended."""
        self._inbox.going.add(host)
        if at_once:
            in_background(self._end_host, host)

    def _end_host(self, host: str) -> None:
        self._agents.let_go(host)
        with contextlib.suppress(HostError):
            self._agents.transport.stop(host, "it was drained")
        self.queue.put(AgentLost(host, "it was drained"))

    def give_up(self, host: str) -> None:
        """Nothing of the run is to be there any more."""
        in_background(self._leave_for_good, host)

    def _leave_for_good(self, host: str) -> None:
        self._agents.let_go(host)
        with contextlib.suppress(HostError):
            if not self._agents.transport.stop(host, "the run has left it").left:
                self.queue.put(HostLeft(host))

    def placed(self, host: str) -> None:
        self._placing.discard(host)

    def close(self) -> None:
        for _, done in self._busy.values():
            done.set()
        self._places.close()

    def processes(self, engine: EngineUnit) -> tuple[Process, ...]:
        return processes_by_engine(self._places.plan)[engine.name]

    def _tell(self, engine: EngineUnit, event: EngineEvent) -> None:
        self.queue.put(EngineHeard(engine.name, event))

    def _spawn(self, engine: EngineUnit) -> None:
        self._dead.discard(engine.name)
        self._starts[engine.name] = start = WavedStart(self.processes(engine))
        self.deadlines[engine.name] = time.monotonic() + self._places.settings.ready_s
        self._spawn_wave(engine, start)

    def _spawn_wave(self, engine: EngineUnit, start: WavedStart) -> None:
        wave = start.next_wave()
        if not wave:
            self._tell(engine, Started())
        send_spawns(self._agents, wave)

    def _ask(self, engine: EngineUnit) -> None:
        self.deadlines.setdefault(engine.name, time.monotonic() + self._places.settings.ready_s)
        in_background(self._ask_in_thread, engine, self._begin(engine))

    def _begin(self, engine: EngineUnit) -> threading.Event:
        """Set as soon as it is in another phase: what comes of it counts no more."""
        done = threading.Event()
        self._busy[engine.name] = engine.state.phase, done
        return done

    def _put_to_sleep(self, engine: EngineUnit, done: threading.Event) -> None:
        plan, drain_s = self._places.plan, self._places.settings.drain_s
        wrong = sleep_engine(plan, engine.name, self._agents, drain_s, done)
        if wrong is not None and not done.is_set():
            why = f"{engine.name} can't sleep: {wrong}"
            self._tell(engine, NotAsleep(why) if wrong else Asleep())

    def _wake(self, engine: EngineUnit, done: threading.Event) -> None:
        wrong = wake_engine(self._places.plan, engine.name, self._agents)
        if not done.is_set():
            why = f"{engine.name} can't be woken: {wrong}"
            self._tell(engine, Failed(why) if wrong else Awake())

    def _ask_in_thread(self, engine: EngineUnit, done: threading.Event) -> None:
        """None of the answers counts once it is done: what was asked may be another by then."""
        from dsr1.launcher.run.supervision.asking import ask_engine  # an idle one needs no client

        plan, settings, agents = self._places.plan, self._places.settings, self._agents
        tell = partial(self._report, engine)
        wrong = ask_engine(plan, settings, agents, self.processes(engine), done, tell)
        if wrong is not None and not done.is_set():
            self._tell(engine, Failed(f"{engine.name}: {wrong}") if wrong else Answered())

    def _report(self, engine: EngineUnit, words: str) -> None:
        self.queue.put(StillMissing(f"{engine.name}: {words}"))

    def _begin_end(self, engine: EngineUnit, order: End) -> None:
        """What its agent has ended already has nothing more to show by living on."""
        if len(order.hosts) == 1 and engine.name in self._dead:
            self.queue.put(EvidenceTaken(engine.name, order, None))
        in_background(self._take_evidence, engine, order)

    def _take_evidence(self, engine: EngineUnit, order: End) -> None:
        """Before anything is ended; of one that is ended on purpose there is none."""
        cause = None
        if engine.state.then == "again":
            deaths = {host: tuple(all_) for host, all_ in self._inbox.deaths.items()}
            cause = explain_failure(self._run, self._agents.transport, self._places.plan, deaths)
        self.queue.put(EvidenceTaken(engine.name, order, cause))

    def _place(self, host: str) -> None:
        """Several engines may have lost it."""
        if host not in self._placing:
            self._placing.add(host)
            in_background(self._find_place, host)

    def _find_place(self, host: str) -> None:
        """What ends there gently has its time, whichever engine asked first."""
        while self._is_being_left(host):
            time.sleep(LOOK_S)
        self.queue.put(self._places.find(host, host in self._inbox.going))

    def _is_being_left(self, host: str) -> bool:
        states = [one.state for one in tuple(self._engines.values())]
        return any(one.phase == "ending" and host in one.awaited for one in states)

"""The agent's loop: one thread that waits for commands, for the ends of its children and for what
is due."""

import os
import selectors
import signal
import socket
import time
from dataclasses import replace

from dsr1.hosts.agent.devices.reader import DevicesReader
from dsr1.hosts.agent.facts.reading.mounts import free_bytes
from dsr1.hosts.agent.network.http_get import HttpGetter
from dsr1.hosts.agent.network.ports import PortLocks, ports_folder
from dsr1.hosts.agent.process.cgroup import KillCount
from dsr1.hosts.agent.process.folder import AgentFolder
from dsr1.hosts.agent.process.owner import ProcessOwner
from dsr1.hosts.agent.process.records import kills_path, secret_path
from dsr1.hosts.agent.process.say import say
from dsr1.hosts.agent.process.timers import Timers
from dsr1.hosts.agent.server.journal import EventJournal
from dsr1.hosts.agent.server.lease import Lease
from dsr1.hosts.agent.server.member_watch import MemberWatch
from dsr1.hosts.agent.server.prepare import prepare
from dsr1.hosts.agent.server.subscriber import Subscriber
from dsr1.hosts.protocol import control
from dsr1.hosts.protocol.boot import boot_id
from dsr1.hosts.protocol.codec import NumberedEvent, parse_command, render_event
from dsr1.hosts.protocol.commands import (
    AgentCommand,
    Prepare,
    Quiet,
    Quit,
    Replan,
    Spawn,
    Stop,
    Subscribe,
)
from dsr1.hosts.protocol.events import (
    AgentUp,
    Alive,
    DiskFull,
    Ending,
    Event,
    Prepared,
    Restored,
)
from dsr1.hosts.protocol.facts.devices import DEVICES
from dsr1.hosts.protocol.http import FRONTEND_CERT, HttpGet, HttpGot
from dsr1.hosts.protocol.lease import SUPERVISOR
from dsr1.hosts.protocol.process import HostPlan, Process

LONELY_S, RESTORE_S = 600.0, 2.0
LITTLE_BYTES = 4 << 20
ENDS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
ORDERED = "its agents were told to stop"


class AgentServer:
    """Runs until it was asked to quit and everything is gone, or until nobody has listened and
    nothing run for long.

    Then its supervisor is gone for good; whoever comes later finds everything on record.
    """

    def __init__(
        self, plan: HostPlan, folder: AgentFolder, door: socket.socket, lonely_s: float = LONELY_S
    ) -> None:
        self._plan = plan
        self._folder = folder
        self._journal = EventJournal(plan.host, folder.path / "events.jsonl")
        self._timers = Timers()
        self._locks = PortLocks(plan.run, ports_folder())
        self._owner = ProcessOwner(plan, folder, self._journal.add, self._timers)
        kills = KillCount(kills_path(folder.path))
        self._members = MemberWatch(self._owner, self._journal.add, self._timers, kills)
        self._peers: list[Subscriber] = []
        self._lonely_s, self._alone_since = lonely_s, float("inf")
        self._serves = self._disk_is_full = False
        self._selector = selectors.DefaultSelector()
        self._door = door
        self._selector.register(door, selectors.EVENT_READ, self._accept)
        self._selector.register(self._members, selectors.EVENT_READ, self._members.collect)
        certificate = secret_path(folder.path, FRONTEND_CERT)
        self._lease = Lease(plan.beat_s)
        self._getter = HttpGetter(plan, self._selector, self._timers, certificate)
        self._devices = DevicesReader(self._selector, self._timers, folder.path)
        self._catch_signals()
        self._journal.add(AgentUp(os.getpid(), boot_id()))
        self._timers.after(plan.beat_s, self._beat)
        self._timers.after(RESTORE_S, self._restore)

    def run(self) -> None:
        while not (self._owner.closing and self._owner.idle):
            self._count_loneliness()
            for key, _ in self._selector.select(self._timers.wait()):
                key.data()
            self._timers.run_due()
            self._send_all()
        # The last events are worth a moment, a reader that doesn't read isn't.
        for peer in self._peers:
            peer.line.settimeout(1.0)
        self._send_all()

    def _beat(self) -> None:
        line = self._unkept(Alive())
        for peer in self._peers:
            peer.beat(line)
        self._timers.after(self._plan.beat_s, self._beat)

    def _unkept(self, event: Event) -> bytes:
        """An event that nobody is told of later."""
        return render_event(NumberedEvent(0, time.time(), self._plan.host, event))

    def _restore(self) -> None:
        """What a cleaner took; a full disk is no reason to fail."""
        try:
            if self._folder.restore():
                self._journal.reopen(self._folder.path / "events.jsonl")
                self._journal.add(Restored(self._plan.host, str(self._folder.path)))
        except OSError as error:
            say(f"{self._folder.path}: can't be put back: {error}")
        self._tell_full_disk()
        self._timers.after(RESTORE_S, self._restore)

    def _tell_full_disk(self) -> None:
        """Once, until there is room again."""
        try:
            free = free_bytes(self._folder.path)
        except OSError:
            return
        if free < LITTLE_BYTES and not self._disk_is_full:
            self._journal.add(DiskFull(self._plan.host, str(self._folder.path), free))
        self._disk_is_full = free < (LITTLE_BYTES if not self._disk_is_full else 2 * LITTLE_BYTES)

    def _count_loneliness(self) -> None:
        """Since when nobody has listened; what runs is kept for longer than an agent that has
        nothing."""
        if self._peers or self._waits_for is None:
            self._alone_since = float("inf")
        elif self._alone_since == float("inf"):
            self._alone_since = time.monotonic()
            self._timers.after(self._waits_for, self._leave)

    @property
    def _waits_for(self) -> float | None:
        """Seconds that this agent stays without anybody who listens; None: for ever."""
        if self._owner.idle:
            return self._lonely_s
        keeps = self._serves and self._plan.orphans == "keep"
        return None if keeps else self._plan.orphaned_s

    def _leave(self) -> None:
        """Looks again later, if what there is to wait for has changed."""
        waits_for, alone_s = self._waits_for, time.monotonic() - self._alone_since
        if waits_for is None or alone_s < 0:
            return
        if alone_s < waits_for:
            self._timers.after(waits_for - alone_s, self._leave)
        elif self._owner.idle:
            self._owner.closing = True
        else:
            self._end_all(False, f"had no supervisor for {alone_s:.0f} s (recipe orphans)")

    def _end_all(self, ordered: bool, reason: str) -> None:
        self._owner.closing = True
        self._journal.add(Ending(self._plan.host, ordered, reason))
        self._owner.stop(None)

    def _catch_signals(self) -> None:
        """The handlers do nothing; the pipe wakes the loop, which then does it all in one place."""
        self._wake, wake = socket.socketpair()
        for end in (self._wake, wake):
            end.setblocking(False)
        self._wake_end = wake
        signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
        for number in (*ENDS, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)
        self._selector.register(self._wake, selectors.EVENT_READ, self._woken)

    def _woken(self) -> None:
        """Why all must end is told before what it did to a process."""
        ends = sorted(set(self._wake.recv(4096)) & set(ENDS))
        if ends and not self._owner.closing:
            name = signal.Signals(ends[0]).name
            self._end_all(False, f"is shutting down: its agent was ended by {name}")
        self._owner.reap()

    def _accept(self) -> None:
        try:
            line, _ = self._door.accept()
        except OSError as error:
            say(f"a connection failed: {error}")
            return
        if not control.is_ours(line):
            say(control.REFUSED)
            line.close()
            return
        peer = Subscriber(line)
        self._peers.append(peer)
        self._selector.register(line, selectors.EVENT_READ, lambda: self._listen_to(peer))

    def _listen_to(self, peer: Subscriber) -> None:
        try:
            for line in peer.receive():
                self._obey(parse_command(line), peer)
        except ValueError as error:
            say(f"a command is not understood: {error}")
            self._drop(peer)
        except (EOFError, OSError):
            self._drop(peer)

    def _obey(self, command: AgentCommand, peer: Subscriber) -> None:
        match command:
            case HttpGet():
                self._get(command, peer)
            case Subscribe(since):
                peer.since = since
            case _ if not self._lease.obeys(peer):
                say(f"{type(command).__name__}: an order of a former supervisor")
            case Prepare():
                self._journal.add(Prepared(prepare(self._plan, self._folder.path, self._locks)))
            case Spawn() | Stop() | Quiet():
                self._order_processes(command)
            case Replan(processes):
                self._replan(processes)
            case Quit(reason):
                self._quit(reason)

    def _get(self, asked: HttpGet, peer: Subscriber) -> None:
        def answer(got: HttpGot) -> None:
            peer.answer(self._unkept(got))

        if asked.process == SUPERVISOR:
            answer(self._lease.answer(asked, peer))
        else:
            reader = self._devices if asked.process == DEVICES else self._getter
            reader.begin(asked, answer)

    def _order_processes(self, command: Spawn | Stop | Quiet) -> None:
        match command:
            case Spawn(names):
                self._owner.spawn(names)
                self._members.hurry()
            case Stop(names, number, grace_s):
                self._owner.stop(names, number, grace_s)
            case Quiet():
                self._serves = True
                self._owner.quiet()
                self._members.calm()

    def _replan(self, processes: tuple[Process, ...]) -> None:
        """A full disk costs the file, not the order."""
        self._plan = replace(self._plan, processes=processes)
        self._owner.replan(processes)
        self._getter.replan(self._plan)
        try:
            self._folder.replan(self._plan)
        except OSError as error:
            say(f"{self._folder.path}: the plan can't be written: {error}")

    def _quit(self, reason: str) -> None:
        if not self._owner.closing:
            self._owner.closing = True
            self._journal.add(Ending(self._plan.host, True, reason or ORDERED))

    def _send_all(self) -> None:
        for peer in tuple(self._peers):
            try:
                self._watch(peer, writing=peer.send(self._journal))
            except OSError:
                self._drop(peer)

    def _watch(self, peer: Subscriber, *, writing: bool) -> None:
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if writing else 0)
        if self._selector.get_key(peer.line).events != events:
            self._selector.modify(peer.line, events, lambda: self._listen_to(peer))

    def _drop(self, peer: Subscriber) -> None:
        if peer in self._peers:
            self._peers.remove(peer)
            self._lease.close(peer)
            self._selector.unregister(peer.line)
            peer.line.close()

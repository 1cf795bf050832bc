"""The agent's loop: one thread that waits for commands, for the ends of its children and for what
is due."""

import contextlib
import os
import selectors
import signal
import socket
import time
from pathlib import Path

from dsr1.hosts.agent.network.ports import PortLocks, ports_folder
from dsr1.hosts.agent.process.owner import ProcessOwner
from dsr1.hosts.agent.process.timers import Timers
from dsr1.hosts.agent.server.journal import EventJournal
from dsr1.hosts.agent.server.prepare import prepare
from dsr1.hosts.protocol.boot import boot_id
from dsr1.hosts.protocol.codec import parse_command, render_event
from dsr1.hosts.protocol.commands import AgentCommand, Prepare, Quiet, Quit, Spawn, Stop, Subscribe
from dsr1.hosts.protocol.events import AgentUp, Prepared
from dsr1.hosts.protocol.process import HostPlan

LONGEST_COMMAND = 1 << 20
REPLAY = 64
LONELY_S = 600.0
ENDS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def say(text: str) -> None:
    """To agent.log; a full disk is no reason to fail."""
    with contextlib.suppress(OSError):
        os.write(2, text.encode(errors="replace") + b"\n")


class Subscriber:
    """A connection. It keeps its place in the journal and one batch of bytes, so a slow reader
    costs no memory."""

    def __init__(self, line: socket.socket) -> None:
        line.setblocking(False)
        self.line = line
        self.since: int | None = None
        self._in = b""
        self._out = b""

    def receive(self) -> list[bytes]:
        """Whole lines. EOFError: the other side is gone, or sends no lines."""
        try:
            data = self.line.recv(65536)
        except BlockingIOError:
            return []
        if not data or len(self._in) > LONGEST_COMMAND:
            raise EOFError
        *lines, self._in = (self._in + data).split(b"\n")
        return lines

    def send(self, journal: EventJournal) -> bool:
        """Whether more waits to be sent."""
        while self._fill(journal):
            try:
                self._out = self._out[self.line.send(self._out) :]
            except BlockingIOError:
                return True
        return False

    def _fill(self, journal: EventJournal) -> bool:
        batch = (
            journal.after(self.since, REPLAY) if self.since is not None and not self._out else []
        )
        if batch:
            self.since = batch[-1].seq
            self._out = b"".join(map(render_event, batch))
        return bool(self._out)


class AgentServer:
    """Runs until it was asked to quit and everything is gone, or until nobody has listened and
    nothing run for long.

    Then its supervisor is gone for good; whoever comes later finds everything on record.
    """

    def __init__(
        self, plan: HostPlan, folder: Path, door: socket.socket, lonely_s: float = LONELY_S
    ) -> None:
        self._plan = plan
        self._folder = folder
        self._journal = EventJournal(plan.host, folder / "events.jsonl")
        self._timers = Timers()
        self._locks = PortLocks(plan.run, ports_folder())
        self._owner = ProcessOwner(plan, folder, self._journal.add, self._timers)
        self._peers: list[Subscriber] = []
        self._lonely_s, self._alone_since = lonely_s, float("inf")
        self._selector = selectors.DefaultSelector()
        self._door = door
        self._selector.register(door, selectors.EVENT_READ, self._accept)
        self._catch_signals()
        self._journal.add(AgentUp(os.getpid(), boot_id()))

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

    def _count_loneliness(self) -> None:
        if self._peers or not self._owner.idle:
            self._alone_since = float("inf")
        elif self._alone_since == float("inf"):
            self._alone_since = time.monotonic()
            self._timers.after(self._lonely_s, self._leave)

    def _leave(self) -> None:
        if time.monotonic() - self._alone_since >= self._lonely_s:
            self._owner.closing = True

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
        numbers = set(self._wake.recv(4096))
        self._owner.reap()
        if numbers & set(ENDS):
            self._owner.closing = True
            self._owner.stop(None)

    def _accept(self) -> None:
        try:
            line, _ = self._door.accept()
        except OSError as error:
            say(f"a connection failed: {error}")
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
            case Prepare():
                self._journal.add(Prepared(prepare(self._plan, self._folder, self._locks)))
            case Spawn(names):
                self._owner.spawn(names)
            case Stop(names):
                self._owner.stop(names)
            case Quiet():
                self._owner.quiet()
            case Quit():
                self._owner.closing = True
            case Subscribe(since):
                peer.since = since

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
            self._selector.unregister(peer.line)
            peer.line.close()

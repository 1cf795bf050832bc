"""A connection to an agent: what came on it, and what is still to be sent."""

import socket

from dsr1.hosts.agent.server.journal import EventJournal
from dsr1.hosts.protocol.codec import render_event

LONGEST_COMMAND = 1 << 20
REPLAY = 64


class Subscriber:
    """A connection. It keeps its place in the journal and one batch of bytes, so a slow reader
    costs no memory."""

    def __init__(self, line: socket.socket) -> None:
        line.setblocking(False)
        self.line = line
        self.since: int | None = None
        self._in = b""
        self._out = b""
        self._answers: list[bytes] = []

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

    def beat(self, line: bytes) -> None:
        """A sign of life, unless more than that is on its way."""
        if self.since is not None and not self._out:
            self._out = line

    def answer(self, line: bytes) -> None:
        """To this connection alone; it isn't kept."""
        self._answers.append(line)

    def send(self, journal: EventJournal) -> bool:
        """Whether more waits to be sent."""
        while self._fill(journal):
            try:
                self._out = self._out[self.line.send(self._out) :]
            except BlockingIOError:
                return True
        return False

    def _fill(self, journal: EventJournal) -> bool:
        """What happened before an answer is told before it."""
        batch = (
            journal.after(self.since, REPLAY) if self.since is not None and not self._out else []
        )
        if batch:
            self.since = batch[-1].seq
            self._out = b"".join(map(render_event, batch))
        elif self._answers and not self._out:
            self._out, self._answers = b"".join(self._answers), []
        return bool(self._out)

"""Whom an agent takes for its run's supervisor, see protocol/lease.py."""

import contextlib
import time
from collections.abc import Callable

from dsr1.hosts.protocol import control
from dsr1.hosts.protocol.bounded import NONSENSE
from dsr1.hosts.protocol.codec import parse_event, render_command
from dsr1.hosts.protocol.http import HttpGet, HttpGot
from dsr1.hosts.protocol.lease import ASK, NOBODY, Watcher, parse_watcher, render_holder
from dsr1.hosts.protocol.marks import AgentIdentity

BEATS, ANSWER_S, MOST_BYTES = 6, 2.0, 1 << 16


class Lease:
    """`beat_s`: how often a supervisor is to be heard. A connection is known by its object."""

    def __init__(self, beat_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._lasts_s, self._clock = BEATS * beat_s, clock
        self._holder, self._until, self._line = NOBODY, 0.0, object()
        self._outdone: list[object] = []

    def answer(self, asked: HttpGet, line: object) -> HttpGot:
        """Who comes while another one is believed is told who that is."""
        watcher = parse_watcher(asked.path)
        if watcher is None or self.holder not in (NOBODY, watcher):
            return render_holder(asked, self.holder, taken=False)
        if self._holder not in (NOBODY, watcher):
            self._outdone.append(self._line)
        self._outdone = [one for one in self._outdone if one is not line]
        self._holder, self._line = watcher, line
        self._until = self._clock() + self._lasts_s
        return render_holder(asked, watcher, taken=True)

    @property
    def holder(self) -> Watcher:
        """Who is believed now."""
        return self._holder if self._clock() < self._until else NOBODY

    def obeys(self, line: object) -> bool:
        """Whether orders on that connection are no longer a former supervisor's."""
        return not any(line is one for one in self._outdone)

    def close(self, line: object) -> None:
        """The connection is gone, and with it whoever was heard on it."""
        self._outdone = [one for one in self._outdone if one is not line]
        if line is self._line:
            self._holder, self._until = NOBODY, 0.0


def ask_watcher(identity: AgentIdentity) -> str:
    """In words, who watches, by the word of the agent that listens here. Empty: nobody, or it
    doesn't say: it hangs, or is an older one."""
    with contextlib.suppress(OSError, *NONSENSE):
        line = control.connect_to_socket(identity, ANSWER_S)
        if line is None:
            return ""
        with line:
            line.settimeout(ANSWER_S)
            line.sendall(render_command(ASK))
            with line.makefile("rb") as file:
                got = parse_event(file.readline(MOST_BYTES)).event
        found = parse_watcher(got.body) if isinstance(got, HttpGot) else None
        return found.words if found else ""
    return ""

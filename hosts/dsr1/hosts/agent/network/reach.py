"""Tries TCP to other hosts and lets them try it back, all at once, for some seconds at most; then
nothing listens."""

import contextlib
import errno
import os
import selectors
import socket
import struct
import time
from collections.abc import Iterator

from dsr1.hosts.protocol.facts.fact import reason_of
from dsr1.hosts.protocol.reach import ReachAnswer, ReachPeer, ReachQuestion, ReachResult

AGAIN_S = 0.1
AT_ONCE = struct.pack(
    "ii", 1, 0
)  # SO_LINGER: closing leaves no TIME_WAIT on a port that the run wants next


def try_peers(question: ReachQuestion) -> ReachAnswer:
    try:
        listener = _listen(question.own)
    except OSError as error:
        own = f"{question.own.address} port {question.own.port}"
        return ReachAnswer(problem=f"{own}: {reason_of(error)}")
    with contextlib.closing(ReachAttempt(question, listener)) as attempt:
        return ReachAnswer(tuple(attempt.run()))


def _listen(own: ReachPeer) -> socket.socket:
    family = socket.AF_INET6 if ":" in own.address else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((own.address, own.port))
        listener.listen(1024)
    except OSError:
        listener.close()
        raise
    listener.setblocking(False)
    return listener


class ReachAttempt:
    """One loop over all connections. It ends early once everybody was reached and has come in
    turn."""

    def __init__(self, question: ReachQuestion, listener: socket.socket) -> None:
        self._question, self._listener = question, listener
        self._selector = selectors.DefaultSelector()
        self._selector.register(listener, selectors.EVENT_READ)
        self._open: list[socket.socket] = [listener]
        self._absent = {peer.address for peer in question.peers}
        self._result: dict[str, str] = {}
        self._refused: dict[str, float] = {}
        self._trying: dict[socket.socket, tuple[ReachPeer, float]] = {}
        self._no_answer = f"no answer in {question.timeout_s:g} s"
        self._refusal = f"{os.strerror(errno.ECONNREFUSED)}, for {question.window_s:g} s"

    def run(self) -> Iterator[ReachResult]:
        question, until = self._question, time.monotonic() + self._question.window_s
        while (
            self._absent or len(self._result) < len(question.peers)
        ) and time.monotonic() < until:
            self._begin()
            for key, _ in self._selector.select(AGAIN_S):
                self._accept() if key.fileobj is self._listener else self._finish(key.fileobj)  # type: ignore[arg-type]
            self._give_up(time.monotonic())
        yield from (
            ReachResult(peer.name, self._result.get(peer.name, self._undecided(peer)))
            for peer in question.peers
        )

    def _undecided(self, peer: ReachPeer) -> str:
        return self._refusal if peer.name in self._refused else self._no_answer

    def close(self) -> None:
        self._selector.close()
        for line in (*self._open, *self._trying):
            line.close()

    def _begin(self) -> None:
        """Those that are neither decided nor under way: at first all, later those that weren't
        listening yet."""
        now, busy = time.monotonic(), {peer.name for peer, _ in self._trying.values()}
        for peer in self._question.peers:
            if peer.name not in {*self._result, *busy} and self._refused.get(peer.name, now) <= now:
                self._connect(peer)

    def _connect(self, peer: ReachPeer) -> None:
        line = socket.socket(self._listener.family, socket.SOCK_STREAM)
        line.setblocking(False)
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
        try:
            line.bind((self._question.own.address, 0))
            failed = line.connect_ex((peer.address, peer.port))
        except OSError as error:
            failed = error.errno or errno.EIO
        if failed in (0, errno.EINPROGRESS):
            self._trying[line] = peer, time.monotonic() + self._question.timeout_s
            self._selector.register(line, selectors.EVENT_WRITE)
        else:
            line.close()
            self._decide(peer, failed)

    def _finish(self, line: socket.socket) -> None:
        peer, _ = self._trying.pop(line)
        self._selector.unregister(line)
        failed = line.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if failed:
            line.close()
        else:
            self._open.append(line)  # stays, so that the peer surely sees it
        self._decide(peer, failed)

    def _decide(self, peer: ReachPeer, failed: int) -> None:
        """A refusal may only mean that the peer doesn't listen yet; a reset, that it was reached
        and is through."""
        if failed == errno.ECONNREFUSED:
            self._refused[peer.name] = time.monotonic() + AGAIN_S
        else:
            self._result[peer.name] = "" if failed in (0, errno.ECONNRESET) else os.strerror(failed)

    def _give_up(self, now: float) -> None:
        for line in [line for line, (_, until) in self._trying.items() if now > until]:
            peer, _ = self._trying.pop(line)
            self._selector.unregister(line)
            line.close()
            self._result[peer.name] = self._no_answer

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            line, address = self._listener.accept()
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
            self._open.append(line)
            self._absent.discard(address[0])

"""Servers of a host, asked by its agent: over the connection that there is, or one for the
while."""

import contextlib
import itertools
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from queue import Empty, SimpleQueue
from time import monotonic

from dsr1.hosts.errors import HostError
from dsr1.hosts.protocol.events import Event
from dsr1.hosts.protocol.http import HttpGet, HttpGot
from dsr1.hosts.transport.base import AgentLink, Transport

NO_EVENTS = 2**62  # a `seq` above every event's
REFUSED = HttpGet("", 0, "")  # of no process: the agent says so at once, and asks nobody
MARGIN_S = 5.0


class HttpAnswers:
    """Answers on a connection that events come on, too, by the number of their question."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._waiting: dict[int, SimpleQueue[HttpGot | HostError]] = {}
        self._lost: HostError | None = None

    def take(self, event: Event) -> bool:
        """Whether it was an answer; one that nobody waits for any more is dropped."""
        if not isinstance(event, HttpGot):
            return False
        if waiting := self._waiting.pop(event.number, None):
            waiting.put(event)
        return True

    def lose(self, error: HostError) -> None:
        """The connection is gone: whoever waits hears why, at once."""
        self._lost = error
        for waiting in tuple(self._waiting.values()):
            waiting.put(error)

    def ask(self, link: AgentLink, gets: Sequence[HttpGet]) -> tuple[HttpGot, ...]:
        """In the order of the questions, all at once; their numbers are given here. HostError: the
        agent doesn't answer, or the connection is lost."""
        came: SimpleQueue[HttpGot | HostError] = SimpleQueue()
        asked = [replace(get, number=next(self._numbers)) for get in gets]
        self._waiting |= dict.fromkeys((get.number for get in asked), came)
        try:
            if self._lost is not None:
                raise self._lost
            for get in asked:
                link.send(get)
            longest_s = max((get.timeout_s for get in asked), default=0.0)
            got = {one.number: one for one in _until(came, len(asked), MARGIN_S + longest_s)}
        finally:
            for get in asked:
                self._waiting.pop(get.number, None)
        if len(got) < len(asked):
            raise HostError("the agent gave no answer in time")
        return tuple(got[one.number] for one in asked)

    def present(self, links: Mapping[str, AgentLink], within_s: float) -> frozenset[str]:
        """By name, whose agent answers within so many seconds. All that one has told before its
        answer has been heard by then."""
        came: SimpleQueue[HttpGot | HostError] = SimpleQueue()
        asked = {next(self._numbers): name for name in links}
        self._waiting |= dict.fromkeys(asked, came)
        for number, name in asked.items():
            with contextlib.suppress(HostError):
                links[name].send(replace(REFUSED, number=number))
        answered = {asked[got.number] for got in _until(came, len(asked), within_s)}
        for number in asked:
            self._waiting.pop(number, None)
        return frozenset(answered)


def _until(
    came: "SimpleQueue[HttpGot | HostError]", wanted: int, within_s: float
) -> Iterator[HttpGot]:
    until = monotonic() + within_s
    for _ in range(wanted):
        try:
            got = came.get(timeout=max(0.0, until - monotonic()))
        except Empty:
            return
        if isinstance(got, HostError):
            raise got
        yield got


def get_from_host(transport: Transport, host: str, gets: Sequence[HttpGet]) -> tuple[HttpGot, ...]:
    """As `HttpAnswers.ask`, over a connection of its own. HostError: its agent can't be reached."""
    link, answers = transport.attach(host, NO_EVENTS), HttpAnswers()
    reader = _begin_reading(link, answers)
    try:
        return answers.ask(link, gets)
    finally:
        link.close()
        reader.join(MARGIN_S)


def open_answers(transport: Transport, host: str) -> tuple[AgentLink, HttpAnswers]:
    """A connection for many questions, until it is closed or lost. HostError as above."""
    link, answers = transport.attach(host, NO_EVENTS), HttpAnswers()
    _begin_reading(link, answers)
    return link, answers


def _begin_reading(link: AgentLink, answers: HttpAnswers) -> threading.Thread:
    reader = threading.Thread(target=_read, args=(link, answers), daemon=True)
    reader.start()
    return reader


def _read(link: AgentLink, answers: HttpAnswers) -> None:
    try:
        for numbered in link.events():
            answers.take(numbered.event)
    except HostError as error:
        answers.lose(error)
    else:
        answers.lose(HostError("its agent ended the connection"))

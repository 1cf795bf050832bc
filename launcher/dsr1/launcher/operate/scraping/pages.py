"""Pages of /metrics from hosts, through their agents, over connections that are kept."""

import threading
from collections.abc import Sequence

from dsr1.hosts.errors import HostError
from dsr1.hosts.protocol.http import HttpGet, HttpGot
from dsr1.hosts.transport.base import AgentLink, Transport
from dsr1.hosts.transport.http import HttpAnswers, open_answers


class KeptLinks:
    """One connection a host, opened when it is first asked, and anew once it is lost."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._links: dict[str, tuple[AgentLink, HttpAnswers]] = {}
        self._locks: dict[str, threading.Lock] = {}

    def get(self, host: str, gets: Sequence[HttpGet]) -> tuple[HttpGot, ...]:
        """From any thread. HostError: its agent can't be reached."""
        link, answers = self._link(host)
        try:
            return answers.ask(link, gets)
        except HostError:
            self._drop(host, link)
            raise

    def close(self) -> None:
        for host, (link, _) in list(self._links.items()):
            self._drop(host, link)

    def _link(self, host: str) -> tuple[AgentLink, HttpAnswers]:
        with self._locks.setdefault(host, threading.Lock()):
            if host not in self._links:
                self._links[host] = open_answers(self._transport, host)
            return self._links[host]

    def _drop(self, host: str, link: AgentLink) -> None:
        with self._locks.setdefault(host, threading.Lock()):
            if self._links.get(host, (None,))[0] is link:
                del self._links[host]
        link.close()

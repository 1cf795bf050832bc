"""The hashes of a push's files: of the source itself, by way of whoever ordered the push. The hosts
that pass files on are not asked: one of them that means harm would vouch for its own."""

import threading
import time
from collections.abc import Callable

from dsr1.hosts.protocol.jobs.orders import PushMessage, PushReply

POLL_S = 0.5


class SourceHashes:
    """Asked for as they are wanted: the source hashes while its files are already on their way."""

    def __init__(self, ask: Callable[[PushMessage], PushReply]) -> None:
        self._ask = ask
        self._known: dict[int, str] = {}
        self._asking = threading.Lock()

    def wait(self, index: int) -> str:
        """Of the file of that number, as soon as the source knows it."""
        while not (digest := self._look(index)):
            time.sleep(POLL_S)
        return digest

    def _look(self, index: int) -> str:
        with self._asking:
            if index not in self._known:
                self._known |= dict(self._ask(PushMessage(wanted=(index,))).hashes)
            return self._known.get(index, "")

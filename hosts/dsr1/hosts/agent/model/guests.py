"""The connections that a server has let in: so many at most, and where there are more, whoever has
most of them loses his oldest."""

import contextlib
import socket
import threading
from collections import Counter
from collections.abc import Iterator


class Guests:
    """Connections by the address of the other side, the oldest first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._inside: dict[socket.socket, str] = {}
        self._changing = threading.Lock()

    def _let_in(self, line: socket.socket, address: str) -> None:
        with self._changing:
            self._inside[line] = address
            if len(self._inside) > self._most:
                self._put_out_one()

    @contextlib.contextmanager
    def entered(self, line: socket.socket) -> Iterator[None]:
        self._let_in(line, str(line.getpeername()[0]))
        try:
            yield
        finally:
            with self._changing:
                self._inside.pop(line, None)

    def _put_out_one(self) -> None:
        """Its own thread closes it, woken by this."""
        ((crowd, _),) = Counter(self._inside.values()).most_common(1)
        oldest = next(line for line, address in self._inside.items() if address == crowd)
        del self._inside[oldest]
        with contextlib.suppress(OSError):
            socket.socket.shutdown(oldest, socket.SHUT_RDWR)  # TLS of its own may wait for the peer

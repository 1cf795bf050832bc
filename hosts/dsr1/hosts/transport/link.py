"""A link to one agent over any stream of bytes: a socket, or a channel of a shell."""

import threading
from collections.abc import Iterator
from typing import Protocol

from dsr1.hosts.errors import BadAnswer, HostError
from dsr1.hosts.protocol.codec import NumberedEvent, parse_event, render_command
from dsr1.hosts.protocol.commands import AgentCommand
from dsr1.hosts.protocol.log_lines import STREAM_BLOCK, split_lines

MOST_EVENT = 8 << 20  # bytes; a metrics page of 1 MiB, escaped, is among them


class ByteStream(Protocol):
    """OSError: it is lost."""

    def sendall(self, data: bytes, /) -> object: ...

    def recv(self, nbytes: int, /) -> bytes: ...

    def close(self) -> None: ...


class StreamLink:
    """An AgentLink. `hint` follows the message of a lost connection."""

    def __init__(self, stream: ByteStream, host: str, hint: str = "") -> None:
        self._stream, self._host, self._hint = stream, host, hint
        self._sending = threading.Lock()

    def send(self, command: AgentCommand) -> None:
        try:
            with self._sending:
                self._stream.sendall(render_command(command))
        except OSError as error:
            text = f"{self._host}: the connection to its agent is lost ({error}){self._hint}"
            raise HostError(text) from error

    def events(self) -> Iterator[NumberedEvent]:
        """A line cut short by the loss of the connection is no event; it comes again to who
        attaches again. BadAnswer: it is no event."""
        try:
            for line in split_lines(iter(self._receive, b""), MOST_EVENT):
                yield parse_event(line)
        except ValueError as error:
            raise BadAnswer(self._host, f"its agent sent an unknown event: {error}") from error

    def close(self) -> None:
        self._stream.close()

    def _receive(self) -> bytes:
        try:
            return bytes(self._stream.recv(STREAM_BLOCK))
        except OSError:
            return b""

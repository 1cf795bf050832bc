"""One command of a step, and what the step's program says of it."""

import contextlib
from collections.abc import Mapping
from queue import Empty, SimpleQueue
from typing import Protocol

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.protocol.plain import parse_json
from dsr1.hosts.transport.base import MOST_ERRORS

MOST_WAITING = 64 << 20  # bytes of a command that nobody has taken yet


@dataclass(frozen=True, slots=True)
class StepMessage:
    """Of the call of that number; bytes as Latin-1 text. `code`: it has ended."""

    call: int = 0
    out: str = ""
    err: str = ""
    code: int | None = None


def parse_step_message(line: bytes) -> StepMessage | None:
    """None: it is not the program's; a prolog or a wrapper may print."""
    try:
        message = parse_json(StepMessage, line)
        (message.out + message.err).encode("latin-1")
    except ValueError:
        return None
    return message


class Sender(Protocol):
    def send(self, what: Mapping[str, object]) -> None: ...


class StepChannel:
    """One command of a step. Its end, and the loss of the step, end `recv`."""

    def __init__(self, step: Sender, call: int) -> None:
        self._step, self._call = step, call
        self.output: SimpleQueue[bytes | None] = SimpleQueue()
        self.code: int | None = None
        self.errors = bytearray()
        self._rest, self._ended = b"", False
        self._timeout: float | None = None
        self._came = self._taken = 0

    def take(self, message: StepMessage) -> None:
        """From the step. ValueError: more came than anybody takes."""
        self.errors += message.err.encode("latin-1")
        del self.errors[:-MOST_ERRORS]
        if message.out:
            self._came += len(message.out)
            self.output.put(message.out.encode("latin-1"))
        if self._came - self._taken > MOST_WAITING:
            raise ValueError("a command prints faster than it is read")
        if message.code is not None:
            self.code = message.code
            self.output.put(None)

    def settimeout(self, timeout: float | None, /) -> None:
        self._timeout = timeout

    def sendall(self, data: bytes, /) -> None:
        self._step.send({"call": self._call, "in": data.decode("latin-1")})

    def recv(self, nbytes: int, /) -> bytes:
        if not self._rest and not self._ended:
            self._rest = self._next()
        data, self._rest = self._rest[:nbytes], self._rest[nbytes:]
        return data

    def shutdown_write(self) -> None:
        self._step.send({"call": self._call, "end": True})

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.shutdown_write()
        self.output.put(None)

    def _next(self) -> bytes:
        try:
            data = self.output.get(timeout=self._timeout)
        except Empty:
            raise TimeoutError from None
        self._ended = data is None
        self._taken += len(data or b"")
        return data or b""

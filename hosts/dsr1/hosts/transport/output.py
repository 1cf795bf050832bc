"""What a command prints, kept up to a bound; and a command of this machine, read so."""

import os
import select
import selectors
import subprocess
import time
from collections.abc import Sequence

from dsr1.hosts.errors import BadAnswer
from dsr1.hosts.transport.base import MOST_ERRORS, CommandResult

BLOCK = 1 << 16


class Output:
    """A command's two streams: all of what it answers, and the end of its errors."""

    def __init__(self, host: str, most: int) -> None:
        self._host, self._most = host, most
        self._out, self._err = bytearray(), bytearray()

    def add(self, data: bytes) -> None:
        """BadAnswer: it is more than was to be expected."""
        self._out += data
        if len(self._out) > self._most:
            raise BadAnswer(self._host, f"it goes on after {self._most >> 20} MiB")

    def add_errors(self, data: bytes) -> None:
        self._err += data
        if len(self._err) > 2 * MOST_ERRORS:
            del self._err[:-MOST_ERRORS]

    def result(self, code: int) -> CommandResult:
        return CommandResult(code, bytes(self._out), bytes(self._err))


def left_until(until: float) -> float:
    """Seconds, of the monotonic clock. TimeoutError: none are left."""
    if (left := until - time.monotonic()) <= 0:
        raise TimeoutError("it has not ended")
    return left


def run_here(argv: Sequence[str], timeout_s: float, given: bytes, output: Output) -> CommandResult:
    """Run a command of this machine, which is killed when it takes longer or prints too much.
    OSError: it can't be run, TimeoutError."""
    until, pipe = time.monotonic() + timeout_s, subprocess.PIPE
    with subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0) as child:
        try:
            _converse(child, given, until, output)
            return output.result(child.wait(left_until(until)))
        except subprocess.TimeoutExpired:
            raise TimeoutError("it has not ended") from None
        finally:
            child.kill()


def _converse(child: "subprocess.Popen[bytes]", given: bytes, until: float, output: Output) -> None:
    assert child.stdin is not None
    rest = memoryview(given)
    with selectors.DefaultSelector() as ready:
        ready.register(child.stdin, selectors.EVENT_WRITE)
        ready.register(child.stdout, selectors.EVENT_READ, output.add)  # type: ignore[arg-type]
        ready.register(child.stderr, selectors.EVENT_READ, output.add_errors)  # type: ignore[arg-type]
        while ready.get_map():
            for key, _ in ready.select(left_until(until)):
                if key.data is None:
                    rest = _feed(key.fd, rest)
                    done = not rest
                else:
                    data = os.read(key.fd, BLOCK)
                    key.data(data)
                    done = not data
                if done:
                    ready.unregister(key.fileobj)
                    key.fileobj.close()  # type: ignore[union-attr]


def _feed(pipe: int, rest: memoryview) -> memoryview:
    """What is left then; nothing where the command reads no more."""
    try:
        return rest[os.write(pipe, rest[: select.PIPE_BUF]) :]
    except BrokenPipeError:
        return rest[:0]

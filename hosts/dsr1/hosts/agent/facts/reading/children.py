"""What may never come back (a sick driver, a dead network mount, a command) runs in a child, for a
bounded time.

Children are forked, not started anew: they begin within a millisecond, and several run side by
side.
"""

import contextlib
import functools
import json
import os
import select
import signal
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import NoReturn

from dsr1.hosts.protocol.fact import FactValue, Reader, from_wire, observe, to_plain

COMMAND_S, KILLED_S, LOOK_S = 5.0, 1.0, 0.005
MOST_BYTES, PIECE, FILES = 8 * 2**20, 65536, 1024
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class FactsChild:
    """Begins at once. `said` is what it has said so far, also when it had to be given up."""

    def __init__(self, work: Callable[[], object], timeout_s: float) -> None:
        self.said = b""
        self._timeout_s, self._deadline = timeout_s, time.monotonic() + timeout_s
        self._pipe, write = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            _become(work, write)
        os.close(write)

    def wait(self) -> int:
        """Its exit code, negative for a signal. TimeoutError: it had to be given up. ValueError: it
        said too much."""
        try:
            whole = self._read()
        finally:
            os.close(self._pipe)
        if whole:
            return os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
        self._give_up()
        if len(self.said) >= MOST_BYTES:
            raise ValueError(f"said more than {MOST_BYTES >> 20} MiB")
        raise TimeoutError(f"did not answer in {self._timeout_s:g} s")

    def _read(self) -> bool:
        """True: it has said all."""
        while len(self.said) < MOST_BYTES:
            if not select.select([self._pipe], [], [], max(0.0, self._deadline - time.monotonic()))[
                0
            ]:
                return False
            if not (piece := os.read(self._pipe, PIECE)):
                return True
            self.said += piece
        return False

    def _give_up(self) -> None:
        """Within the driver it hears no signal: its end isn't waited for long."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._pid, signal.SIGKILL)
        until = time.monotonic() + KILLED_S
        while os.waitpid(self._pid, os.WNOHANG)[0] == 0 and time.monotonic() < until:
            time.sleep(LOOK_S)


def _become(work: Callable[[], object], pipe: int) -> NoReturn:
    """In the child: it holds nothing of the parent's open, and only `work` is heard."""
    code = 1
    try:
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        for target, source in enumerate((null, pipe, null)):
            os.dup2(source, target)
        os.closerange(3, FILES)
        work()
        code = 0
    finally:
        os._exit(code)


def begin_command(argv: Sequence[str], timeout_s: float = COMMAND_S) -> Callable[[], str]:
    """Starts it; what comes back waits for its output. OSError: absent, failed or hanging, with its
    last line."""
    child = FactsChild(lambda: _execute(argv), timeout_s)

    def told() -> str:
        code = child.wait()
        text = child.said.decode(errors="replace").strip()
        if code != 0:
            raise OSError(text.splitlines()[-1] if text else f"{argv[0]} ended with {code}")
        return text

    return told


def _execute(argv: Sequence[str]) -> None:
    os.dup2(1, 2)
    try:
        os.execvpe(argv[0], list(argv), {"LC_ALL": "C", "PATH": PATH})
    except OSError as error:
        os.write(1, f"{argv[0]}: {error.strerror}".encode())
        raise


def begin_in_child(
    work: Callable[[], Iterable[FactValue]], timeout_s: float
) -> Callable[[], tuple[list[FactValue], str]]:
    """Starts it; what comes back waits, and gives the values that it came to, and why there aren't
    more."""
    child = FactsChild(lambda: _tell(work), timeout_s)

    def told() -> tuple[list[FactValue], str]:
        try:
            problem = "" if (code := child.wait()) == 0 else f"its child ended with {code}"
        except (OSError, ValueError) as error:
            problem = str(error)
        whole = child.said.rpartition(b"\n")[0]
        lines = [json.loads(line) for line in whole.splitlines()]
        said = [line["problem"] for line in lines if "problem" in line]
        return [line["value"] for line in lines if "value" in line], (said or [problem])[0]

    return told


def only(told: tuple[list[FactValue], str]) -> FactValue:
    """The one value of a child that has one. OSError: why there is none."""
    values, problem = told
    if not values:
        raise OSError(problem or "nothing was told")
    return values[0]


def aside(readers: Iterable[Reader], timeout_s: float) -> list[Reader]:
    """The same readers, for sources that may hang: read in one child, in their order, each while
    there is time."""
    listed = list(readers)
    told = functools.cache(begin_in_child(lambda: map(_plain, listed), timeout_s))

    def value(index: int) -> FactValue:
        values, problem = told()
        if index >= len(values):
            raise OSError(problem)
        (fact,) = from_wire(values[index]).values()
        if fact.problem:
            raise OSError(fact.problem)
        return fact.value

    return [(name, source, partial(value, index)) for index, (name, source, _) in enumerate(listed)]


def _plain(reader: Reader) -> FactValue:
    return {**to_plain(observe([reader]))}


def _tell(work: Callable[[], Iterable[FactValue]]) -> None:
    """A line for each value; what goes wrong, be it what it may, is the last line."""
    try:
        for value in work():
            _print({"value": value})
    except Exception as error:  # noqa: BLE001 - libraries of drivers raise anything
        _print({"problem": str(error) or type(error).__name__})


def _print(line: dict[str, FactValue]) -> None:
    data = json.dumps(line).encode() + b"\n"
    while data:
        data = data[os.write(1, data) :]

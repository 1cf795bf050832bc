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
from typing import Any, NoReturn

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.protocol.facts.fact import FactValue, Reader, from_wire, observe, to_plain

COMMAND_S, KILLED_S, POLL_S = 5.0, 1.0, 0.005
MOST_BYTES, PIECE, FILES = 8 * 2**20, 65536, 1024
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class FactsChild:
    """Begins at once. `output` is what it has printed so far, also when it had to be given up."""

    def __init__(self, work: Callable[[], object], timeout_s: float) -> None:
        self.output = b""
        self._timeout_s, self._deadline = timeout_s, time.monotonic() + timeout_s
        self._pid, self._pipe = fork_child(work)

    def wait(self) -> int:
        """Its exit code, negative for a signal. TimeoutError: it had to be given up. ValueError: it
        printed too much."""
        try:
            whole = self._read()
        finally:
            os.close(self._pipe)
        if whole:
            return os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
        self._give_up()
        if len(self.output) >= MOST_BYTES:
            raise ValueError(f"printed more than {MOST_BYTES >> 20} MiB")
        raise TimeoutError(f"did not answer in {self._timeout_s:g} s")

    def _read(self) -> bool:
        """True: that was all."""
        while len(self.output) < MOST_BYTES:
            left = max(0.0, self._deadline - time.monotonic())
            if not select.select([self._pipe], [], [], left)[0]:
                return False
            if not (piece := os.read(self._pipe, PIECE)):
                return True
            self.output += piece
        return False

    def _give_up(self) -> None:
        """Within the driver it hears no signal: its end isn't waited for long."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._pid, signal.SIGKILL)
        until = time.monotonic() + KILLED_S
        while os.waitpid(self._pid, os.WNOHANG)[0] == 0 and time.monotonic() < until:
            time.sleep(POLL_S)


def fork_child(work: Callable[[], object]) -> tuple[int, int]:
    """Its pid, and a pipe with what it prints, which ends with it."""
    pipe, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        _become(work, write)
    os.close(write)
    return pid, pipe


def _become(work: Callable[[], object], pipe: int) -> NoReturn:
    """In the child: it holds nothing of the parent's open, and prints what `work` prints."""
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

    def wait() -> str:
        code = child.wait()
        text = child.output.decode(errors="replace").strip()
        if code != 0:
            raise OSError(text.splitlines()[-1] if text else f"{argv[0]} ended with {code}")
        return text

    return wait


def _execute(argv: Sequence[str]) -> None:
    os.dup2(1, 2)
    try:
        os.execvpe(argv[0], list(argv), {"LC_ALL": "C", "PATH": PATH})
    except OSError as error:
        os.write(1, f"{argv[0]}: {error.strerror}".encode())
        raise


@dataclass(frozen=True, slots=True)
class ChildResult:
    """The values that a child came to; `problem` says why there aren't more."""

    values: list[Any]
    problem: str = ""

    def first(self) -> Any:
        """OSError: why there is none."""
        if not self.values:
            raise OSError(self.problem or "its child printed nothing")
        return self.values[0]

    def all(self) -> list[Any]:
        """OSError: why some are missing."""
        if self.problem:
            raise OSError(self.problem)
        return self.values


def begin_in_child(
    work: Callable[[], Iterable[FactValue]], timeout_s: float
) -> Callable[[], ChildResult]:
    """Starts it; what comes back waits for it."""
    child = FactsChild(lambda: _print_values(work), timeout_s)

    def wait() -> ChildResult:
        try:
            problem = "" if (code := child.wait()) == 0 else f"its child ended with {code}"
        except (OSError, ValueError) as error:
            problem = str(error)
        complete = child.output.rpartition(b"\n")[0]
        lines = [json.loads(line) for line in complete.splitlines()]
        values = [line["value"] for line in lines if "value" in line]
        own_problem = lines[-1].get("problem") if lines else None
        return ChildResult(values, own_problem or problem)

    return wait


def begin_value(work: Callable[[], FactValue], timeout_s: float) -> Callable[[], FactValue]:
    """The same for one value. OSError: why there is none."""
    wait = begin_in_child(lambda: iter([work()]), timeout_s)
    return lambda: wait().first()


def aside(readers: Iterable[Reader], timeout_s: float) -> list[Reader]:
    """The same readers, for sources that may hang: read in one child, in their order, each while
    there is time."""
    listed = list(readers)
    wait = functools.cache(begin_in_child(lambda: map(_observe_plain, listed), timeout_s))

    def value(index: int) -> FactValue:
        result = wait()
        if index >= len(result.values):
            raise OSError(result.problem)
        (fact,) = from_wire(result.values[index]).values()
        if fact.problem:
            raise OSError(fact.problem)
        return fact.value

    return [(name, source, partial(value, index)) for index, (name, source, _) in enumerate(listed)]


def _observe_plain(reader: Reader) -> FactValue:
    return {**to_plain(observe([reader]))}


def _print_values(work: Callable[[], Iterable[FactValue]]) -> None:
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

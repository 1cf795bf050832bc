"""A shell on each host of an allocation: one long-lived step a host, whose program runs
every command there."""

import contextlib
import itertools
import json
import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO

from dsr1.hosts.errors import MOST_WORDS, BadAnswer, HostError
from dsr1.hosts.protocol.log_lines import split_lines
from dsr1.hosts.transport.base import MOST_ANSWER, CommandResult
from dsr1.hosts.transport.output import Output, left_until
from dsr1.slurm.allocation import AllocatedHost
from dsr1.slurm.channel import StepChannel, parse_step_message
from dsr1.slurm.surroundings import step_variables

BEAT_S, LAST_WORDS_S = 2.0, 2.0
# A step may wait for a prolog. Where one was lost before, the node is likely gone and Slurm not
# aware of it yet: another is tried for a while, and then none for a longer while.
START_S, AGAIN_S, PAUSE_S = 60.0, 8.0, 60.0


@dataclass(frozen=True, slots=True)
class StepProgram:
    """What a step runs: the agent's file on the shared file system, by the runtime's Python.

    After so many seconds of silence each side takes the other for lost.
    """

    python: str
    bundle: str
    silent_s: float

    @property
    def argv(self) -> tuple[str, ...]:
        return (self.python, self.bundle, "keep", f"{self.silent_s:g}")


def step_command(place: AllocatedHost, job: str, program: Sequence[str]) -> tuple[str, ...]:
    """`--overlap --mem=0` shares the node with other steps, all of its GPUs and memory; else a
    second step waits."""
    group = () if place.group is None else (f"--het-group={place.group}",)
    return (
        *("srun", f"--jobid={job}", *group, "--overlap", "--mem=0", "--nodes=1", "--ntasks=1"),
        *(
            f"--nodelist={place.host}",
            "--cpu-bind=none",
            "--mpi=none",
            "--export=ALL",
            "--kill-on-bad-exit=1",
        ),
        *("--unbuffered", "--job-name=dsr1"),
        *program,
    )


class _Step:
    """A step that runs, and the calls to it."""

    def __init__(self, argv: Sequence[str], start_s: float, silent_s: float) -> None:
        self._start_s, self._silent_s = start_s, silent_s
        self._srun = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=step_variables(os.environ),
            bufsize=0,
            start_new_session=True,
        )
        self._writing, self._numbers = threading.Lock(), itertools.count(1)
        self._calls: dict[int, StepChannel] = {}
        self._heard = time.monotonic()
        self._up, self.lost = threading.Event(), False
        self._words: list[str] = []
        self._listening = threading.Thread(target=self._read_errors, daemon=True)
        self._listening.start()
        for work in (self._read, self._beat):
            threading.Thread(target=work, daemon=True).start()

    def open(self, argv: Sequence[str]) -> StepChannel:
        call = next(self._numbers)
        channel = self._calls[call] = StepChannel(self, call)
        self.send({"call": call, "argv": list(argv)})
        if self.lost:
            channel.output.put(None)
        return channel

    def send(self, what: Mapping[str, object]) -> None:
        assert self._srun.stdin is not None
        data = json.dumps(what, separators=(",", ":")).encode() + b"\n"
        with self._writing:
            if self._srun.stdin.closed:
                raise BrokenPipeError("srun has ended")
            while data:
                data = data[self._srun.stdin.write(data) or 0 :]

    @property
    def was_up(self) -> bool:
        return self._up.is_set()

    @property
    def last_words(self) -> str:
        """Of an srun that ends: why it did comes by another pipe than its end."""
        self._listening.join(LAST_WORDS_S)
        return " | ".join(self._words)

    def close(self) -> None:
        """The step's program ends by the end of its stdin, and srun with it."""
        with self._writing, contextlib.suppress(OSError):
            assert self._srun.stdin is not None
            self._srun.stdin.close()

    def wait(self, seconds: float) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._srun.wait(seconds)

    def _read(self) -> None:
        assert self._srun.stdout is not None
        try:
            for line in split_lines(self._blocks(self._srun.stdout)):
                self._take(line)
        except ValueError as error:
            self._end(f"what its program says makes no sense: {error}")
        self.lost = True
        self._srun.wait()
        self._srun.stdout.close()
        self.close()
        for channel in list(self._calls.values()):
            channel.output.put(None)

    def _blocks(self, pipe: IO[bytes]) -> Iterator[bytes]:
        while data := pipe.read(1 << 16):
            self._heard = time.monotonic()
            self._up.set()
            yield data

    def _take(self, line: bytes) -> None:
        message = parse_step_message(line)
        channel = self._calls.get(message.call) if message else None
        if message is None or channel is None:
            return
        channel.take(message)
        if message.code is not None:
            del self._calls[message.call]

    def _end(self, why: str) -> None:
        """Of srun, which still believes in a step that is none."""
        self._words.append(why)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._srun.pid, signal.SIGKILL)

    def _read_errors(self) -> None:
        assert self._srun.stderr is not None
        with self._srun.stderr as lines:
            while line := lines.readline(MOST_WORDS):
                self._words = [*self._words[-3:], line.decode(errors="replace").strip()]

    def _beat(self) -> None:
        """A step that falls silent is lost, and so is the srun that still believes in it."""
        while not self.lost:
            self._say_alive()
            time.sleep(BEAT_S)
            silent = time.monotonic() - self._heard
            if silent > (self._silent_s if self._up.is_set() else self._start_s):
                self._end(f"nothing was heard for {silent:.0f} s")
                return

    def _say_alive(self) -> None:
        """Never waits: a pipe that nobody empties is what this is to find out."""
        if not self._writing.acquire(timeout=BEAT_S):
            return
        try:
            with contextlib.suppress(OSError, ValueError):
                assert self._srun.stdin is not None
                if select.select([], [self._srun.stdin], [], 0)[1]:
                    self._srun.stdin.write(b"{}\n")
        finally:
            self._writing.release()


class StepShell:
    """One host's. The step begins with the first command; when it is lost the next command begins
    another."""

    def __init__(self, place: AllocatedHost, job: str, program: StepProgram) -> None:
        self._name, self._argv = place.host, step_command(place, job, program.argv)
        self._silent_s = program.silent_s
        self._given_up = -PAUSE_S
        self._step: _Step | None = None
        self._dropped: _Step | None = None
        self._opening = threading.Lock()

    def run(
        self, argv: Sequence[str], timeout: float, given: bytes = b"", most: int = MOST_ANSWER
    ) -> CommandResult:
        channel, output = self.open(argv), Output(self._name, most)
        until = time.monotonic() + timeout
        channel.settimeout(timeout)
        try:
            if given:
                channel.sendall(given)
            channel.shutdown_write()
            while data := channel.recv(1 << 16):
                output.add(data)
                channel.settimeout(left_until(until))
        except BadAnswer:
            channel.close()
            raise
        except TimeoutError:
            self.drop()
            raise HostError(f"{self._name}: no answer in {timeout:.0f} s") from None
        except OSError as error:
            raise self._lost(error) from error
        if channel.code is None:
            raise self._lost("it ended")
        output.add_errors(bytes(channel.errors))
        return output.result(channel.code)

    def open(self, argv: Sequence[str]) -> StepChannel:
        try:
            return self._running().open(argv)
        except OSError as error:
            raise self._lost(error) from error

    def drop(self) -> None:
        """Whatever its agents still run ends with it."""
        step, self._step = self._step, None
        if step is not None:
            step.close()
            self._dropped = step

    def wait_dropped(self, seconds: float) -> None:
        if self._dropped is not None:
            self._dropped.wait(seconds)

    def _running(self) -> _Step:
        with self._opening:
            if self._step is not None and self._step.lost:
                self._dropped, self._step = self._step, None
                if not self._dropped.was_up:
                    self._given_up = time.monotonic()
            if time.monotonic() - self._given_up < PAUSE_S:
                raise self._lost("given up")
            if self._step is None:
                self._step = _Step(
                    self._argv, START_S if self._dropped is None else AGAIN_S, self._silent_s
                )
            return self._step

    def _lost(self, why: object) -> HostError:
        step = self._step or self._dropped
        words = step.last_words if step else ""
        return HostError(f"{self._name}: its step is lost: {words or why}")


def make_shells(
    places: Sequence[AllocatedHost], job: str, program: StepProgram
) -> dict[str, StepShell]:
    """By host."""
    return {place.host: StepShell(place, job, program) for place in places}

"""One long-lived step a host of an allocation, whose program runs every command there."""

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
from typing import IO

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.errors import MOST_WORDS
from dsr1.hosts.protocol.log_lines import split_lines
from dsr1.slurm.allocation import AllocatedHost
from dsr1.slurm.channel import StepChannel, parse_step_message
from dsr1.slurm.surroundings import step_variables

BEAT_S, LAST_WORDS_S = 2.0, 2.0
# slurmctld that began anew a moment ago says so of every step, for up to 20 s, until the job's
# nodes have registered (seen with 22.05.8).
REFUSED_FOR_NOW, TRY_AGAIN_S = "Memory required by task is not available", 1.0


@dataclass(frozen=True, slots=True)
class StepProgram:
    """What a step runs: the agent's file on the shared file system, by the runtime's Python.

    After so many seconds of silence each side takes the other for lost. `options` are further ones
    of srun's.
    """

    python: str
    bundle: str
    silent_s: float
    options: tuple[str, ...] = ()

    @property
    def argv(self) -> tuple[str, ...]:
        return (self.python, self.bundle, "keep", f"{self.silent_s:g}")


def step_command(place: AllocatedHost, job: str, program: StepProgram) -> tuple[str, ...]:
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
        *program.options,
        *program.argv,
    )


class Step:
    """A step that runs, and the calls to it. What is sent before it is up is kept: where Slurm
    refuses the step for now, the next srun gets it, too."""

    def __init__(self, argv: Sequence[str], start_s: float, silent_s: float) -> None:
        self._argv, self._start_s, self._silent_s = argv, start_s, silent_s
        self._writing, self._numbers = threading.Lock(), itertools.count(1)
        self._calls: dict[int, StepChannel] = {}
        self._unheard: list[bytes] = []
        self._began = self._heard = time.monotonic()
        self._up, self._closed, self.lost = threading.Event(), threading.Event(), False
        self._begin()
        for work in (self._read, self._beat):
            threading.Thread(target=work, daemon=True).start()

    def _begin(self) -> None:
        self._words: list[str] = []
        self._srun = subprocess.Popen(
            self._argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=step_variables(os.environ),
            bufsize=0,
            start_new_session=True,
        )
        self._listening = threading.Thread(target=self._read_errors, daemon=True)
        self._listening.start()

    def open(self, argv: Sequence[str]) -> StepChannel:
        call = next(self._numbers)
        channel = self._calls[call] = StepChannel(self, call)
        self.send({"call": call, "argv": list(argv)})
        if self.lost:
            channel.output.put(None)
        return channel

    def send(self, what: Mapping[str, object]) -> None:
        data = json.dumps(what, separators=(",", ":")).encode() + b"\n"
        with self._writing:
            if self.lost or self._closed.is_set():
                raise BrokenPipeError("srun has ended")
            if self.was_up:
                self._write(data)
                return
            self._unheard.append(data)
            with contextlib.suppress(BrokenPipeError):
                self._write(data)

    def _write(self, data: bytes) -> None:
        assert self._srun.stdin is not None
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
        self._closed.set()
        with self._writing, contextlib.suppress(OSError):
            assert self._srun.stdin is not None
            self._srun.stdin.close()

    def wait(self, seconds: float) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._srun.wait(seconds)

    def _read(self) -> None:
        self._follow()
        while self._is_refused_for_now() and not self._closed.wait(TRY_AGAIN_S):
            self._begin_again()
            self._follow()
        self.lost = True
        self.close()
        for channel in list(self._calls.values()):
            channel.output.put(None)

    def _follow(self) -> None:
        """One srun, to its end."""
        assert self._srun.stdout is not None
        try:
            with self._srun.stdout as pipe:
                for line in split_lines(self._blocks(pipe)):
                    self._take(line)
        except ValueError as error:
            self._end(f"what its program says makes no sense: {error}")
        self._srun.wait()

    def _is_refused_for_now(self) -> bool:
        in_time = time.monotonic() - self._began < self._start_s
        return in_time and not self.was_up and REFUSED_FOR_NOW in self.last_words

    def _begin_again(self) -> None:
        with self._writing, contextlib.suppress(OSError):
            assert self._srun.stdin is not None
            self._srun.stdin.close()
            self._begin()
            self._write(b"".join(self._unheard))

    def _blocks(self, pipe: IO[bytes]) -> Iterator[bytes]:
        while data := pipe.read(1 << 16):
            self._heard = time.monotonic()
            self._up.set()
            self._unheard.clear()
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

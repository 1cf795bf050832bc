"""A shell on each host of an allocation."""

import threading
import time
from collections.abc import Sequence

from dsr1.hosts.errors import BadAnswer, HostError
from dsr1.hosts.transport.base import MOST_ANSWER, CommandResult
from dsr1.hosts.transport.output import Output, left_until
from dsr1.slurm.allocation import AllocatedHost
from dsr1.slurm.channel import StepChannel
from dsr1.slurm.step import Step, StepProgram, step_command

# A step may wait for a prolog. Where one was lost before, the node is likely gone and Slurm not
# aware of it yet: another is tried for a while, and then none for a longer while.
START_S, AGAIN_S, PAUSE_S = 60.0, 8.0, 60.0


class StepShell:
    """One host's. The step begins with the first command; when it is lost the next command begins
    another."""

    def __init__(self, place: AllocatedHost, job: str, program: StepProgram) -> None:
        self._name, self._argv = place.host, step_command(place, job, program)
        self._silent_s = program.silent_s
        self._given_up = -PAUSE_S
        self._step: Step | None = None
        self._dropped: Step | None = None
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

    def _running(self) -> Step:
        with self._opening:
            if self._step is not None and self._step.lost:
                self._dropped, self._step = self._step, None
                if not self._dropped.was_up:
                    self._given_up = time.monotonic()
            if time.monotonic() - self._given_up < PAUSE_S:
                raise self._lost("given up")
            if self._step is None:
                self._step = Step(
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

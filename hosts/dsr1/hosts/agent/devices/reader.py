"""Reads this host's devices for whoever asks, in a child, without ever waiting for it."""

import contextlib
import os
import selectors
import signal
import time
from collections.abc import Callable
from pathlib import Path

from dsr1.hosts.agent.devices.own_files import own_lines
from dsr1.hosts.agent.devices.places import has_devices
from dsr1.hosts.agent.facts.reading.children import fork_child
from dsr1.hosts.agent.process.timers import Timers
from dsr1.hosts.protocol.facts.devices import LINK_ERRORS
from dsr1.hosts.protocol.http import HttpGet, HttpGot

MOST_BYTES, LONGEST_S = 256 << 10, 10.0
LINKS_S = 300.0
"""Seconds between two readings of NVLink's errors. An H200 has 72 such counters; the driver took
0.5 to 1.4 ms of CPU for each: every half a minute they were more than a hundredth of a core."""
OnDevices = Callable[[HttpGot], None]


def print_lines(root: Path, with_links: bool) -> None:
    """What a sick driver raises ends it: what was told before is kept."""
    from dsr1.hosts.agent.devices.gauges import device_lines

    for line in device_lines(root, with_links):
        os.write(1, line.encode() + b"\n")


class DevicesReader:
    """One child at a time: its answer is for all who ask meanwhile. Where it hangs it is killed;
    what the kernel still holds of it is reaped with the agent's other children."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        timers: Timers,
        folder: Path,
        root: Path = Path("/"),
        print_devices: Callable[[Path, bool], None] = print_lines,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`folder`: the agent's own. `print_devices` is what the child does, with or without the
        errors of links; `clock` is in seconds."""
        self._selector, self._timers, self._root = selector, timers, root
        self._print_devices = print_devices
        self._folder, self._clock = folder, clock
        self._links: dict[str, str] = {}  # lines, by name and labels
        self._links_due = clock()
        self._asked: list[tuple[HttpGet, OnDevices]] = []
        self._pid, self._pipe, self._round = 0, -1, 0
        self._output = b""

    def begin(self, order: HttpGet, tell: OnDevices) -> None:
        """`tell` is called once, at once or later."""
        if not has_devices(self._root):
            tell(HttpGot(order.number, 200, self._own()))
            return
        self._asked.append((order, tell))
        if self._pipe < 0:
            self._fork()
            now = self._round
            self._timers.after(min(order.timeout_s, LONGEST_S), lambda: self._give_up(now))

    def _fork(self) -> None:
        from dsr1.hosts.agent.devices import gauges  # noqa: F401 - once, not in every child

        work, root, with_links = self._print_devices, self._root, self._clock() >= self._links_due
        if with_links:
            self._links.clear()
        self._round, self._output = self._round + 1, b""
        self._pid, self._pipe = fork_child(lambda: work(root, with_links))
        self._selector.register(self._pipe, selectors.EVENT_READ, self._read)

    def _read(self) -> None:
        piece = os.read(self._pipe, MOST_BYTES)
        self._output += piece
        if not piece:
            self._end("")
        elif len(self._output) > MOST_BYTES:
            self._kill("its devices tell too much")

    def _give_up(self, of_round: int) -> None:
        if self._pipe >= 0 and of_round == self._round:
            self._kill("its devices can't be read in time: does nvidia-smi hang?")

    def _kill(self, problem: str) -> None:
        """It is no child of ours any more only once it was reaped, and then its pipe had ended."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._pid, signal.SIGKILL)
        self._end(problem)

    def _end(self, problem: str) -> None:
        self._selector.unregister(self._pipe)
        os.close(self._pipe)
        self._pipe, asked, self._asked = -1, self._asked, []
        told, end, _ = self._output.decode(errors="replace").rpartition("\n")
        body = self._with_links(told + end)
        for order, tell in asked:
            status = 0 if problem and not body else 200
            tell(HttpGot(order.number, status, body + self._own(), problem))

    def _with_links(self, body: str) -> str:
        """With the errors of links as they were read last, of the GPUs that it tells of."""
        lines = body.splitlines(keepends=True)
        read = {line.split()[0]: line for line in lines if line.startswith(LINK_ERRORS)}
        if read:
            self._links, self._links_due = read, self._clock() + LINKS_S
            return body
        kept = self._links.items()
        return body + "".join(line for name, line in kept if name[len(LINK_ERRORS) :] in body)

    def _own(self) -> str:
        return "".join(f"{line}\n" for line in own_lines(self._folder))

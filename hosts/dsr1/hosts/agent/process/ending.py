"""Ends processes and proves it: SIGTERM, their grace, SIGKILL, until nothing of them is alive or
can't be killed."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Collection, Mapping

from dsr1.hosts.agent.kin.belonging import AGENT_ITSELF, find_run_processes
from dsr1.hosts.agent.kin.lineage import agent_part, read_lineage
from dsr1.hosts.agent.kin.procfs import FoundProcesses
from dsr1.hosts.agent.process.timers import pause
from dsr1.hosts.protocol.events import Gone
from dsr1.hosts.protocol.identity import ProcStat, read_stat
from dsr1.hosts.protocol.marks import AgentIdentity

# A process in state D ends when its device or file system answers; longer than this is worth
# telling.
AFTER_KILL_S = 5.0


def _signal(stat: ProcStat, number: signal.Signals) -> None:
    """To the very process that was seen; one that has ended since, or isn't ours to signal, is the
    proof's business."""
    if is_still(stat):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(stat.pid, number)


def is_still(stat: ProcStat) -> bool:
    """Whether the very process that was seen is alive."""
    if stat.is_hidden:
        return bool(agent_part(read_lineage(stat.pid) or 0))
    found = read_stat(stat.pid)
    return found is not None and found.alive and found.start_time == stat.start_time


class Termination:
    """The end of some processes; `names` are told as gone. `find` gives what is alive of them, by
    name; `graces` are seconds by name, what has another name gets the longest.
    `number` is that of the order to end them."""

    def __init__(
        self,
        find: Callable[[], FoundProcesses],
        graces: Mapping[str, float],
        names: tuple[str, ...],
        number: int = 0,
    ) -> None:
        self._find, self.names, self._number = find, names, number
        now = time.monotonic()
        self._kill_at = {name: now + grace for name, grace in graces.items()}
        self._last_kill_at = max(self._kill_at.values(), default=now)
        self._give_up_at = self._last_kill_at + AFTER_KILL_S

    def ask(self, spared: Collection[str] = ()) -> None:
        """SIGTERM, to those that haven't had theirs."""
        for name, stats in self._find().items():
            for stat in stats if name not in spared else ():
                _signal(stat, signal.SIGTERM)

    def step(self) -> Gone | None:
        """None: something is still ending; step again soon."""
        found = self._find()
        now = time.monotonic()
        for name, stats in found.items():
            for stat in stats if self._is_due(name, found, now) else ():
                _signal(stat, signal.SIGKILL)
        if found and now < self._give_up_at:
            return None
        left = (
            f"{name} pid {stat.pid} state {stat.state}"
            for name, stats in found.items()
            for stat in stats
        )
        return Gone(self.names, tuple(left), self._number)

    def _is_due(self, name: str, found: FoundProcesses, now: float) -> bool:
        """An agent that hangs goes last: what left its process, and bears no mark, is known by
        coming back to it alone."""
        if name == AGENT_ITSELF:
            return len(found) == 1
        return now >= self._kill_at.get(name, self._last_kill_at)


def end_now(identity: AgentIdentity, graces: Mapping[str, float], names: tuple[str, ...]) -> Gone:
    """Everything that bears this identity, without an agent's loop: blocks until it is done, at
    most the longest grace and 5 s."""
    ending = Termination(lambda: find_run_processes(identity, names), graces, names)
    ending.ask(spared={AGENT_ITSELF})
    while (gone := ending.step()) is None:
        pause(0.05)
    return gone

"""Ends processes and proves it: SIGTERM, their grace, SIGKILL, until nothing of them is alive or
can't be killed."""

import contextlib
import os
import signal
import time
from collections.abc import Callable

from dsr1.hosts.agent.process.procfs import STRAYS, StopTarget, find_members
from dsr1.hosts.protocol.events import Gone
from dsr1.hosts.protocol.identity import ProcStat, start_time

# A process in state D ends when its device or file system answers; longer than this is worth
# telling.
AFTER_KILL_S = 5.0


def _signal(stat: ProcStat, number: signal.Signals) -> None:
    """To the very process that was seen; one that has ended since, or isn't ours to signal, is the
    proof's business."""
    if start_time(stat.pid) == stat.start_time:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(stat.pid, number)


def never_cancelled() -> bool:
    return False


class Termination:
    """The end of some processes; `names` are told as gone. `alone`: whether nothing else of the
    agent's runs now."""

    def __init__(
        self,
        targets: tuple[StopTarget, ...],
        names: tuple[str, ...],
        agent: int | None = None,
        alone: Callable[[], bool] = never_cancelled,
    ) -> None:
        self._names = names
        self._targets = targets
        self._agent = agent
        self._alone = alone
        now = time.monotonic()
        self._kill_at = {target.name: now + target.grace_s for target in targets}
        self._kill_at[STRAYS] = max(self._kill_at.values(), default=now)
        self._give_up_at = self._kill_at[STRAYS] + AFTER_KILL_S

    def ask(self, fresh: set[str]) -> None:
        """SIGTERM, to those that haven't had theirs."""
        for name, stats in self._find().items():
            for stat in stats if name in fresh | {STRAYS} else ():
                _signal(stat, signal.SIGTERM)

    def step(self) -> Gone | None:
        """None: something is still ending; step again soon."""
        found = self._find()
        now = time.monotonic()
        for name, stats in found.items():
            for stat in stats if now >= self._kill_at[name] else ():
                _signal(stat, signal.SIGKILL)
        if found and now < self._give_up_at:
            return None
        left = (
            f"{name} pid {stat.pid} state {stat.state}"
            for name, stats in found.items()
            for stat in stats
        )
        return Gone(self._names, tuple(left))

    def _find(self) -> dict[str, list[ProcStat]]:
        return find_members(self._targets, self._agent, strays=self._alone())


def end_now(targets: tuple[StopTarget, ...], names: tuple[str, ...]) -> Gone:
    """Without an agent's loop: blocks until it is done, at most the longest grace and 5 s."""
    ending = Termination(targets, names)
    ending.ask(set(names))
    while (gone := ending.step()) is None:
        time.sleep(0.05)
    return gone

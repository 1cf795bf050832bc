"""What a run does now, again and again: the snapshots that its supervisor adds."""

from collections import deque
from pathlib import Path

from dsr1.launcher.metrics.samples import Snapshot
from dsr1.launcher.metrics.store import MetricsReader

MOST = 60


class LiveMetrics:
    """The last snapshots of a run's folder."""

    def __init__(self, folder: Path) -> None:
        self._reader = MetricsReader(folder)
        self._number = 0
        self._kept: deque[Snapshot] = deque(maxlen=MOST)

    def look(self) -> tuple[bool, list[Snapshot]]:
        """Whether there are new ones, and all that are kept, oldest first. A file that was begun
        anew counts from its beginning."""
        newest = self._reader.last(1)
        if newest and newest[-1][0] < self._number:
            self._number = 0
            self._kept.clear()
        found = self._reader.since(self._number) if self._number else self._reader.last(MOST)
        if found:
            self._number = found[-1][0]
            self._kept.extend(one for _, one in found)
        return bool(found), list(self._kept)

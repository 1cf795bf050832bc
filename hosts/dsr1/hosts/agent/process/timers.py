"""What is due later, for a loop of one thread."""

import heapq
import itertools
import select
import time
from collections.abc import Callable


class Timers:
    """Callbacks in the order they are due. Nothing due: `wait` is None, and the loop sleeps until
    it is woken."""

    def __init__(self) -> None:
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._count = itertools.count()

    def after(self, seconds: float, callback: Callable[[], None]) -> None:
        heapq.heappush(self._due, (time.monotonic() + seconds, next(self._count), callback))

    def wait(self) -> float | None:
        """Seconds until the next one is due."""
        return max(0.0, self._due[0][0] - time.monotonic()) if self._due else None

    def run_due(self) -> None:
        now = time.monotonic()
        while self._due and self._due[0][0] <= now:
            heapq.heappop(self._due)[2]()


def pause(seconds: float) -> None:
    """A span of time, not a moment of a clock as time.sleep has it: libfaketime, which fakes a
    host's clock in tests, refuses such a moment at times (EINVAL)."""
    select.select((), (), (), seconds)

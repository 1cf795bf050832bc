"""How tests wait: for a condition, never for a time."""

import time
from collections.abc import Callable


def until(condition: Callable[[], bool], what: str = "the condition", seconds: float = 300) -> None:
    """Asked as seldom as its answer takes long: a command asked without a pause would keep a core
    from what it waits for."""
    deadline = time.monotonic() + seconds
    began = time.monotonic()
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s"
        time.sleep(max(0.01, 2 * (time.monotonic() - began)))
        began = time.monotonic()

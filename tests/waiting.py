"""How tests wait: for a condition, never for a time."""

import time
from collections.abc import Callable


def until(condition: Callable[[], bool], seconds: float = 300) -> None:
    """Asked as seldom as its answer takes long: a command asked without a pause would keep a core
    from what it waits for."""
    deadline = time.monotonic() + seconds
    began = time.monotonic()
    while not condition():
        assert time.monotonic() < deadline, "the condition never came true"
        time.sleep(max(0.05, 2 * (time.monotonic() - began)))
        began = time.monotonic()

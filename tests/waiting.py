"""How tests wait: for a condition, never for a time."""

import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

HANGS_S = 900
"""Longer than anything takes that works, on a machine ten times as busy as it should be."""


def until(
    condition: Callable[[], bool], what: str = "the condition", seconds: float = HANGS_S
) -> None:
    """Asked as seldom as its answer takes long: a command asked without a pause would keep a core
    from what it waits for."""
    deadline = time.monotonic() + seconds
    began = time.monotonic()
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s"
        time.sleep(max(0.01, 2 * (time.monotonic() - began)))
        began = time.monotonic()


@contextmanager
def begun(argv: Sequence[str], **more: Any) -> Iterator["subprocess.Popen[Any]"]:
    """A process that a test has begun; killed at the end of the block, if it lives, so that no wait
    for what it never does keeps it, or who waits for it, alive."""
    with subprocess.Popen(argv, **more) as process:
        try:
            yield process
        finally:
            process.kill()

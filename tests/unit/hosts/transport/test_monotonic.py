"""A clock that is set ends no wait for a host."""

import threading
import time
from itertools import count

import pytest
from paramiko import buffered_pipe

from dsr1.hosts.transport.monotonic import keep_monotonic_time


def test_a_clock_that_is_set_ends_no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an hour later whenever it is asked."""
    keep_monotonic_time()
    hours = count(0, 3600)
    monkeypatch.setattr(time, "time", lambda: float(next(hours)))
    pipe = buffered_pipe.BufferedPipe()
    threading.Timer(0.1, pipe.feed, (b"x",)).start()
    assert pipe.read(1, timeout=60)

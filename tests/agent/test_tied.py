"""A tied child: it ends as its command did, and with whoever tied it, all of its group with it."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dsr1.hosts.agent.process.bounded_child import start_bounded, wait_bounded
from dsr1.hosts.protocol.identity import read_stat

HOLD = """import sys
from dsr1.hosts.agent.process.bounded_child import start_bounded, wait_bounded
with start_bounded(("/bin/sh", "-c", f"sleep 600 & echo $$ $! > {sys.argv[1]}; wait"), {}) as child:
    wait_bounded([child], 600, lambda: False)
"""


@pytest.mark.parametrize(
    ("script", "code"),
    [("exit 0", 0), ("exit 7", 7), ("kill -KILL $$", -9), ("kill -TERM $$", -15)],
)
def test_it_ends_as_its_command_did(script: str, code: int) -> None:
    with start_bounded(("/bin/sh", "-c", script), {}) as child:
        assert wait_bounded([child], 30, lambda: False) == [True]
        assert child.process.returncode == code


def alive(pids: Path) -> list[int]:
    written = [int(word) for word in pids.read_text().split()] if pids.exists() else []
    return [pid for pid in written if (stat := read_stat(pid)) and stat.alive]


def test_who_tied_it_is_killed(tmp_path: Path, eventually: Any) -> None:
    """Its own child dies as well, which nobody but the one between knows."""
    pids = tmp_path / "pids"
    with subprocess.Popen(
        (sys.executable, "-c", HOLD, str(pids)), env={**os.environ, "TMPDIR": str(tmp_path)}
    ) as us:
        eventually(lambda: len(alive(pids)) == 2)
        us.send_signal(signal.SIGKILL)
    eventually(lambda: alive(pids) == [])

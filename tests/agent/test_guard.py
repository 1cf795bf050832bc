"""What tests started ends with them, however they end."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.guard import PATHS, ROOT

TEST_PROCESS = """
import secrets
import sys
from pathlib import Path
from tests.guard import guarded
from dsr1.hosts.protocol.commands import Spawn
from dsr1.hosts.protocol.process import HostPlan, Process
from dsr1.hosts.transport.local import LocalTransport

folder = Path(sys.argv[1])
with guarded("agents", folder):
    run_id = secrets.token_hex(16)
    transport = LocalTransport(folder, (sys.executable,), run_id)
    sleep = Process("a", "g", "h", ("sleep", "600"), grace_s=0.5)
    transport.start(HostPlan("r", "h", "127.0.0.1", (sleep,), run_id=run_id))
    transport.attach("h", 0).send(Spawn(("a",)))
    sys.stdin.read()
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_agents_end_with_the_test_process(
    tmp_path: Path,
    number: signal.Signals,
    eventually: Callable[[Callable[[], bool]], None],
    lives: Callable[[int], bool],
) -> None:
    record = tmp_path / "h" / "processes" / "a.json"

    def pid() -> int:
        return int(json.loads(record.read_text())["pid"] or 0) if record.exists() else 0

    command = (sys.executable, "-c", TEST_PROCESS, str(tmp_path))
    with subprocess.Popen(
        command, cwd=ROOT, env={"PYTHONPATH": PATHS}, stdin=subprocess.PIPE
    ) as process:
        eventually(lambda: pid() != 0)
        sleeper = pid()
        assert lives(sleeper)
        process.send_signal(number)
    eventually(lambda: not lives(sleeper))

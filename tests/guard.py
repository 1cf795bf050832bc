"""Ends what a test started, should the test itself be gone: killed, interrupted, or its machine's
CI stopped.

`python -m tests.guard KIND FOLDER` waits for the end of its stdin, which a test process holds open;
however that process ends, the kernel closes it. Then everything is ended that the folder has on
record, by its run's identity.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PATHS = ":".join(str(ROOT / part) for part in ("launcher", "hosts", "env", "slurm", "."))


@contextlib.contextmanager
def guarded(kind: str, folder: Path) -> Iterator[None]:
    """`runs`: FOLDER is a state folder. `agents`: it holds agents' folders, one a host."""
    command = (sys.executable, "-P", "-m", "tests.guard", kind, str(folder))
    env = os.environ | {"PYTHONPATH": PATHS, "DSR1_STATE_DIR": str(folder)}
    with subprocess.Popen(
        command, cwd=ROOT, env=env, stdin=subprocess.PIPE, start_new_session=True
    ) as guard:
        assert guard.stdin is not None
        with guard.stdin:
            yield
            guard.stdin.write(b"done")  # only where the test ended what it started itself


def end_runs() -> None:
    from dsr1.launcher.operate.status import stop_any
    from dsr1.launcher.run.store import list_runs

    for run in list_runs():
        stop_any(run)


def end_agents(folder: Path) -> None:
    from dsr1.hosts.transport.local import LocalTransport

    for plan in sorted(folder.glob("*/plan.json")):
        run_id = str(json.loads(plan.read_text())["run_id"])
        LocalTransport(folder, (sys.executable,), run_id).stop(plan.parent.name)


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    _, kind, folder = sys.argv
    if sys.stdin.buffer.read() == b"done":
        return
    if kind == "runs":
        end_runs()
    else:
        end_agents(Path(folder))


if __name__ == "__main__":
    main()

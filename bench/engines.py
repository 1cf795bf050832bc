"""engines.py: how soon an engine that died serves again beside its own start, and which requests
are lost. `make runtime model` first.

usage: python bench/engines.py [ROUNDS]
"""

import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), *(str(ROOT / part) for part in ("launcher", "hosts", "env", "slurm"))]
RUNTIME, MODEL = ROOT / ".cache" / "runtime", ROOT / ".cache" / "tiny-model"
LAUNCH = (
    *("launch", "tiny", "--name", "bench", "--venv", str(RUNTIME), "--model", str(MODEL)),
    *("--set", "stack=mocker", "--set", "engines.main={nodes: 1, replicas: 2}"),
    *("--set", "restart={max: 1000, backoff: 0.1}", "--set", "ports.base=14000"),
    *("--set", "frontend.port=24000", "--set", 'frontend.env={DYN_MIGRATION_LIMIT: "1"}'),
)


def dsr1(*argv: str) -> None:
    code = "from dsr1.launcher.cli.main import main; main()"
    env = os.environ | {"PYTHONPATH": ":".join(sys.path[1:5])}
    subprocess.run((sys.executable, "-c", code, *argv), env=env, check=True, capture_output=True)


def round_trip() -> tuple[float, float]:
    """Seconds from the death to the spawn of another, and from there until it serves."""
    from tests.end_to_end.deployment import pid_of, until

    from dsr1.launcher.run.record.history import read_history
    from dsr1.launcher.run.store import find_run

    run, since = find_run("bench"), time.time()
    os.kill(pid_of(run, "main-r1-0"), signal.SIGKILL)

    def steps() -> dict[str, float]:
        own = [one for one in read_history(run) if one.engine == "main-r1" and one.time > since]
        return {one.what: one.time for one in own}

    until(lambda: "serving" in steps(), 300)
    found = steps()
    return found["starting"] - since, found["serving"] - found["starting"]


def main(rounds: int) -> None:
    from tests.end_to_end.load import Load

    from dsr1.launcher.run.store import find_run

    os.environ["DSR1_STATE_DIR"] = tempfile.mkdtemp()
    dsr1(*LAUNCH)
    try:
        with Load(find_run("bench").plan().service) as load:
            spent = [round_trip() for _ in range(rounds)]
    finally:
        dsr1("stop", "bench")
    again, start = (statistics.median(one) for one in zip(*spent, strict=True))
    print(f"from death to the next start: {again:.2f} s, of which 0.1 s are the recipe's backoff")
    print(f"from that start until it serves, which is the engine's own: {start:.2f} s")
    print(f"requests answered meanwhile: {load.answered}, failed: {len(load.failed)}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)

"""Measure a tuning's own cost: a whole rehearsal of 12 points, and what resuming reads. Nothing is
asserted: machines differ.

usage: python bench/tune.py [--venv .cache/runtime]    (ports from 27000 on)
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from dsr1.launcher.tuning.goal import Figures, TuneGoal
from dsr1.launcher.tuning.search import Outcome, Sweep, Task, decide_next
from dsr1.launcher.tuning.store import SavedPoint, TuneFolder

ROOT = Path(__file__).parents[1]
POINTS, SAVED = 12, 1000
DSR1 = (sys.executable, "-c", "from dsr1.launcher.cli.main import main; main()")
ASKED = (
    *("tune", "dsr1-dep", "--rehearse", "--predictor", "recorded", "--points", str(POINTS)),
    *("--ttft", "5s", "--itl", "60ms", "--set", "engines.main.nodes=1"),
    *("--set", "ports.base=27000", "--set", "frontend.port=26999"),
)


def rehearse(venv: str) -> tuple[float, int]:
    """Wall seconds, and launches."""
    with tempfile.TemporaryDirectory() as state:
        began = time.monotonic()
        env = os.environ | {"DSR1_STATE_DIR": state}
        subprocess.run((*DSR1, *ASKED, "--venv", venv), env=env, check=True)
        took = time.monotonic() - began
        points = TuneFolder(Path(state) / "tunes" / "tune-dsr1-dep").points()
    return took, sum(point.launch_s > 0 for point in points)


def resume() -> float:
    """Wall seconds to read 1,000 points and decide what is next."""
    goal, sweeps = TuneGoal(4000, 1000, itl_ms=50), [Sweep(f"c{n}", 16) for n in range(250)]
    with tempfile.TemporaryDirectory() as folder:
        store = TuneFolder(Path(folder))
        for number in range(SAVED):
            figures = Figures(number, 100, 20, 300, 50)
            task = Task(f"c{number % 250}", number + 1)
            point = SavedPoint(Outcome(task, figures), 10, 1, "{}" * 2000)
            store.save_point(f"{number:016x}", point, "name: r\n")
        began = time.monotonic()
        outcomes = [point.outcome for point in store.points()]
        decide_next(sweeps, outcomes, goal, 2 * SAVED)
        return time.monotonic() - began


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--venv", default=str(ROOT / ".cache" / "runtime"))
    parser.add_argument("--resume-only", action="store_true")
    asked = parser.parse_args()
    print(f"{SAVED} points read, and the next decided: {resume():.2f} s (wanted: < 1)")
    if not asked.resume_only:
        took, launches = rehearse(asked.venv)
        print(f"a rehearsal of {POINTS} points, {launches} launches: {took:.0f} s (wanted: < 360)")


if __name__ == "__main__":
    main()

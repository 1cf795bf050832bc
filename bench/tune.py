"""Measure a tuning's own cost: a whole rehearsal of 12 points, and what resuming reads. Nothing is
asserted: machines differ.

usage: python bench/tune.py [--venv .cache/runtime]    (ports from 27000 on)
"""

import argparse
import json
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


def rehearse(venv: str) -> tuple[float, list[SavedPoint]]:
    """Wall seconds, and the points."""
    with tempfile.TemporaryDirectory() as state:
        began = time.monotonic()
        env = os.environ | {"DSR1_STATE_DIR": state}
        subprocess.run((*DSR1, *ASKED, "--venv", venv), env=env, check=True)
        took = time.monotonic() - began
        return took, TuneFolder(Path(state) / "tunes" / "tune-dsr1-dep").points()


def describe_parts(took: float, points: list[SavedPoint]) -> str:
    """Where the time went. A driver begins with nine CPU seconds of imports."""
    launches = [point.launch_s for point in points if point.launch_s]
    measured = sum(point.took_s for point in points)
    counted = sum(json.loads(point.bench)["seconds"] for point in points if point.bench)
    rest = took - sum(launches) - measured
    return (
        f"{len(launches)} launches: {sum(launches):.0f} s; requests that count: {counted:.0f} s;"
        f" the driver's start, warm-up and end: {measured - counted:.0f} s; stops and all else:"
        f" {rest:.0f} s"
    )


def resume() -> float:
    """Wall seconds to read 1,000 points and decide what is next."""
    goal, sweeps = TuneGoal(4000, 1000, itl_ms=50), [Sweep(f"c{n}", 16) for n in range(250)]
    with tempfile.TemporaryDirectory() as folder:
        store = TuneFolder(Path(folder))
        for number in range(SAVED):
            figures = Figures(number, 100, 20, 300, 50)
            task = Task(f"c{number % 250}", number + 1)
            point = SavedPoint(Outcome(task, figures), 10, 1, "{}" * 2000, number)
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
        took, points = rehearse(asked.venv)
        print(f"a rehearsal of {len(points)} points: {took:.0f} s (wanted: < 360)")
        print(describe_parts(took, points))


if __name__ == "__main__":
    main()

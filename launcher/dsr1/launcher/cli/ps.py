"""`dsr1 ps`: the runs of this user."""

import json

from dsr1.launcher.cli.options import AsJson
from dsr1.launcher.operate.status import UNREADABLE, phases
from dsr1.launcher.run.store import Run, list_runs


def ps(as_json: AsJson = False) -> None:
    """List the runs, newest last."""
    runs = list_runs()
    by_name = phases(runs)
    if as_json:
        print(json.dumps(by_name, indent=2))
    else:
        print("\n".join(_line(run, by_name[run.name]) for run in runs) or "there are no runs")


def _line(run: Run, phase: str) -> str:
    job = None if phase == UNREADABLE else run.job()
    return f"{run.name:<24} {phase:<12} {job or ''}".rstrip()

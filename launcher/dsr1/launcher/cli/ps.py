"""`dsr1 ps`: the runs of this user."""

import json

from dsr1.launcher.cli.options.common import AsJson, FoundHostOptions, Venv
from dsr1.launcher.operate.status import UNREADABLE, phases
from dsr1.launcher.run.store import Run, list_runs


def ps(hosts: FoundHostOptions, venv: Venv = "", as_json: AsJson = False) -> None:
    """List the runs, newest last.

    With --hosts: what lives on these hosts, whether this machine knows of it or not.
    """
    accesses = hosts.accesses()
    if accesses is None:
        _print_runs(as_json)
    else:
        from dsr1.launcher.cli.views.found_runs import host_python, print_found

        print_found(accesses, host_python(venv), as_json)


def _print_runs(as_json: bool) -> None:
    runs = list_runs()
    by_name = phases(runs)
    if as_json:
        print(json.dumps(by_name, indent=2))
    else:
        print("\n".join(_line(run, by_name[run.name]) for run in runs) or "there are no runs")


def _line(run: Run, phase: str) -> str:
    job = None if phase == UNREADABLE else run.job()
    return f"{run.name:<24} {phase:<12} {job or ''}".rstrip()

"""`dsr1 ps`: the runs of this user."""

import sys

from dsr1.hosts.inventory.names import fold_names
from dsr1.launcher.cli.answers.envelope import ANSWER
from dsr1.launcher.cli.answers.run_answers import RunAnswer, run_answer
from dsr1.launcher.cli.options.common import AsJson, FoundHostOptions, Venv
from dsr1.launcher.cli.views.ages import age_text, seconds_since
from dsr1.launcher.cli.views.columns import render_columns
from dsr1.launcher.operate.status import UNREADABLE, phases
from dsr1.launcher.operate.summary import summarize
from dsr1.launcher.run.store import Run, list_runs

HEAD = ("NAME", "PHASE", "AGE", "RECIPE", "HOSTS", "URL", "JOB")


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
    by_name = phases(runs, lambda text: print(f"dsr1: note: {text}", file=sys.stderr))
    if as_json:
        ANSWER.put("runs", [_answer(run, by_name) for run in runs])
    elif runs:
        print(render_columns([HEAD, *(_row(run, by_name) for run in runs)]))
    else:
        print("there are no runs")


def _answer(run: Run, by_name: dict[str, str]) -> RunAnswer:
    return run_answer(run, by_name[run.name], _job(run, by_name), summarize(run))


def _row(run: Run, by_name: dict[str, str]) -> tuple[str, ...]:
    summary = summarize(run)
    age = age_text(seconds_since(summary.launched_at))
    hosts = fold_names(summary.hosts)
    return (
        run.name,
        by_name[run.name],
        age,
        summary.recipe,
        hosts,
        summary.url,
        _job(run, by_name),
    )


def _job(run: Run, by_name: dict[str, str]) -> str:
    return "" if by_name[run.name] == UNREADABLE else str(run.job() or "")

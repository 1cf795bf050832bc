"""`dsr1 stop`: the end of a run, and the proof of it."""

from collections.abc import Iterator, Sequence
from typing import Annotated

import typer

from dsr1.hosts.errors import Dsr1Error, InputError, LaunchFailed
from dsr1.launcher.cli.answers.envelope import ANSWER
from dsr1.launcher.cli.options.common import AsJson, FoundHostOptions, RunName, Venv
from dsr1.launcher.cli.views.spared import print_spared
from dsr1.launcher.operate.removal import how_it_is
from dsr1.launcher.operate.status import find_any, stop_any
from dsr1.launcher.run.store import Run, list_runs


def stop(
    hosts: FoundHostOptions,
    run: RunName = None,
    venv: Venv = "",
    every: Annotated[bool, typer.Option("--all", help="All of this user's runs.")] = False,
    as_json: AsJson = False,
) -> None:
    """Stop a run and prove that nothing of it is left.

    With --hosts: a run whose folder is lost, by what lives on these hosts.
    """
    accesses = hosts.accesses()
    if every and (run or accesses is not None):
        raise InputError("--all means all runs of this machine: it goes with no RUN and no --hosts")
    if accesses is not None:
        from dsr1.launcher.cli.views.found_runs import host_python, stop_by_hosts

        stop_by_hosts(run, accesses, host_python(venv))
        return
    _stop(list(_living()) if every else [find_any(run)], as_json)


def _living() -> Iterator[Run]:
    """Those that aren't over, the newest first."""
    for run in reversed(list_runs()):
        state = how_it_is(run)
        if state is None or not state.ended or state.left:
            yield run


def _stop(runs: Sequence[Run], as_json: bool) -> None:
    """One that can't be stopped keeps none of the others."""
    left = {run.name: _what_is_left(run) for run in runs}
    if as_json:
        rows = [
            {"run": run.name, "stopped": not words, "left": words, "spared": run.spared}
            for run, words in zip(runs, left.values(), strict=True)
        ]
        ANSWER.put("stop", rows)
    else:
        print_spared([line for run in runs for line in run.spared])
        for name in (name for name, words in left.items() if not words):
            print(f"{name}: stopped, nothing of it is alive")
        if not runs:
            print("no run lives")
    failed = {name: words for name, words in left.items() if words}
    if failed:
        lines = (f"{name}: may still run: {'; '.join(words)}" for name, words in failed.items())
        raise LaunchFailed("\n".join(lines))


def _what_is_left(run: Run) -> list[str]:
    try:
        return list(stop_any(run))
    except Dsr1Error as error:
        return [str(error)]

"""`dsr1 rm`: what is kept of runs that are over, removed."""

from collections.abc import Iterator
from typing import Annotated

import typer

from dsr1.hosts.errors import InputError
from dsr1.launcher.cli.answers.envelope import ANSWER
from dsr1.launcher.cli.options.durations import parse_span
from dsr1.launcher.cli.views.ages import seconds_since
from dsr1.launcher.operate.removal import how_it_is, refuse_living, remove_run
from dsr1.launcher.operate.status import find_any
from dsr1.launcher.run.store import Run, list_runs


def rm(
    runs: Annotated[
        list[str] | None, typer.Argument(metavar="RUN...", help="The runs' names.")
    ] = None,
    older: Annotated[
        str,
        typer.Option(
            "--older", metavar="TIME", help="Also all that ended longer ago than this: 7d, 12h."
        ),
    ] = "",
) -> None:
    """Remove what is kept of runs that are over: their folders, with their logs.

    A run that lives, or of which something may live, is refused: stop it first.
    """
    if not runs and not older:
        raise InputError("rm: give RUNs or --older TIME; `dsr1 ps` lists the runs")
    age_s = parse_span(older, "--older") if older else None
    named = [find_any(name) for name in dict.fromkeys(runs or ())]
    for run in named:
        refuse_living(run, how_it_is(run))  # all, before the first is removed
    chosen = {run.name: run for run in (*named, *(_ended(age_s) if age_s is not None else ()))}
    for number, run in enumerate(chosen.values(), 1):
        remove_run(run)
        ANSWER.put("removed-runs", [{"run": name} for name in tuple(chosen)[:number]])
        print(f"{run.name}: removed")
    if not chosen:
        ANSWER.put("removed-runs", [])
        print(f"no run ended longer than {older} ago")


def _ended(age_s: float) -> Iterator[Run]:
    for run in list_runs():
        state = how_it_is(run)
        over = state is not None and state.ended and not state.left
        if state is not None and over and seconds_since(state.since) > age_s:
            yield run

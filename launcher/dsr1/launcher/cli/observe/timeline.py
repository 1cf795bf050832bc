"""`dsr1 timeline`: a run's start as a picture."""

from dataclasses import asdict
from typing import Annotated

import typer

from dsr1.hosts.errors import InputError, LaunchFailed
from dsr1.launcher.cli.answers.envelope import ANSWER
from dsr1.launcher.cli.options.common import AsJson, RunName
from dsr1.launcher.cli.views.console import make_console
from dsr1.launcher.cli.views.timeline import timeline_lines
from dsr1.launcher.operate.status import find_any
from dsr1.launcher.report.earlier import earlier_start
from dsr1.launcher.report.sentences import start_sentences
from dsr1.launcher.report.start import start_of
from dsr1.launcher.report.timeline import Timeline
from dsr1.launcher.run.record.starts import read_phases
from dsr1.launcher.run.store import Run

OfEngine = Annotated[
    str, typer.Option("--engine", metavar="ENGINE", help="Show this engine alone.")
]


def timeline(
    run: RunName = None,
    engine: OfEngine = "",
    show_all: Annotated[
        bool, typer.Option("--all", help="Show every rank, not the slowest alone.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show how a run started: the phases of each rank, the slowest first.

    With what took longest, what said nothing, and how the last start of the same recipe was. With
    --engine, the last start of that engine.
    """
    found = find_any(run)
    start = read_timeline(found, engine)
    sentences = list(start_sentences(start, earlier_start(found, start)))
    if as_json:
        ANSWER.put("timeline", {"run": found.name, **asdict(start), "said": sentences})
        return
    console = make_console(highlight=False, soft_wrap=True)
    for line in timeline_lines(start, console.width, show_all):
        console.print(line)
    print("\n".join(sentences))


def read_timeline(run: Run, engine: str = "") -> Timeline:
    """LaunchFailed: its supervisor has told nothing of a start; InputError: it has no such
    engine."""
    begun = read_phases(run)
    if not begun:
        raise LaunchFailed(f"{run.name}: nothing of its start is recorded")
    found = start_of(run, engine)
    if found is None:
        known = ", ".join(dict.fromkeys(one.engine for one in begun))
        raise InputError(f"--engine {engine!r}: there is none; there are {known}")
    return found

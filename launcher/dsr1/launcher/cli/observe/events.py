"""`dsr1 events`: what happened to a run, a line of JSON each."""

from dataclasses import asdict
from typing import Annotated

import typer

from dsr1.launcher.cli.answers.envelope import iso_time, print_line
from dsr1.launcher.cli.observe.timeline import read_timeline
from dsr1.launcher.cli.options.common import AsLines, RunName
from dsr1.launcher.operate.status import EndWatch, find_any
from dsr1.launcher.report.events import event_line, events_of_run, follow_events
from dsr1.launcher.report.traces import send_trace


def events(
    run: RunName = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what happens, until the run ends.")
    ] = False,
    otlp: Annotated[
        str,
        typer.Option(
            "--otlp", metavar="URL", help="Send the start as a trace there instead (OTLP, HTTP)."
        ),
    ] = "",
    ndjson: AsLines = False,
) -> None:
    """Print what happened to a run, a line of JSON for each event.

    Phases of the run and of its engines, verdicts on ranks, and the phases of every rank's start.
    The lines' form is documented, and stays.
    """
    found = find_any(run)
    if otlp:
        sent = send_trace(found.name, read_timeline(found), otlp)
        if ndjson:
            print_line("sent-trace", {"spans": sent, "url": otlp})
        else:
            print(f"{sent} spans sent to {otlp}")
        return
    lines = follow_events(found, EndWatch(found).is_over) if follow else events_of_run(found)
    for event in lines:
        if ndjson:
            print_line("event", {**asdict(event), "time": iso_time(event.time)})
        else:
            print(event_line(event), flush=follow)

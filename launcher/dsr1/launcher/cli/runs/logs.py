"""`dsr1 logs`: what every process of a run has logged."""

import time
from typing import Annotated

import typer

from dsr1.hosts.errors import InputError
from dsr1.launcher.cli.answers.envelope import iso_time, print_line
from dsr1.launcher.cli.options.common import AsLines, Follow, RunName
from dsr1.launcher.cli.options.durations import parse_span
from dsr1.launcher.cli.views.logs import print_logs
from dsr1.launcher.operate.log_filter import (
    LogFilter,
    TimedLine,
    as_chunks,
    by_time,
    parse_pattern,
    timed_lines,
)
from dsr1.launcher.operate.logs import stream_logs
from dsr1.launcher.operate.status import find_any, refuse_unplanned
from dsr1.launcher.run.store import Run


def logs(
    run: RunName = None,
    process: Annotated[
        str, typer.Argument(metavar="PROCESS", help="Only this process: decode-3.")
    ] = "",
    follow: Follow = False,
    tail: Annotated[
        int | None,
        typer.Option("--tail", min=1, metavar="LINES", help="Only the last lines of each log."),
    ] = None,
    since: Annotated[
        str,
        typer.Option("--since", metavar="TIME", help="Only what is not older than this: 5m, 2h."),
    ] = "",
    grep: Annotated[
        str,
        typer.Option("--grep", metavar="RE", help="Only lines with this regular expression."),
    ] = "",
    host: Annotated[str, typer.Option("--host", metavar="HOST", help="Show this host alone.")] = "",
    errors: Annotated[
        bool, typer.Option("--errors", help="Only causes of failures, and what each means.")
    ] = False,
    ndjson: AsLines = False,
) -> None:
    """Print the logs of every process of a run.

    Those that are chosen by --tail, --since, --grep or --errors are merged by time; all of them, or
    with --follow, come as they are read. Each line begins with the name of its process. With
    --errors, what only follows from a failure elsewhere is left out.
    """
    if follow and tail is not None:
        raise InputError("--tail and --follow exclude each other; --since 5m goes with --follow")
    back_s = parse_span(since, "--since") if since else None
    pattern = parse_pattern(grep) if grep else None
    found = find_any(run)
    refuse_unplanned(found)
    _refuse_unknown(found, process, host)
    wanted = LogFilter(process, host, _before(back_s), pattern, errors)
    year, offset_s = time.localtime().tm_year, float(time.localtime().tm_gmtoff)
    lines = timed_lines(stream_logs(found, follow), wanted, year, offset_s)
    chosen = tail is not None or errors or back_s is not None or pattern is not None
    shown = by_time(lines, tail) if chosen and not follow else lines
    if not ndjson:
        print_logs(as_chunks(shown), flush=follow)
        return
    for line in shown:
        print_line("log-line", _values(line))


def _before(seconds: float | None) -> float | None:
    """Since the epoch, by this machine's clock."""
    return None if seconds is None else time.time() - seconds


def _values(line: TimedLine) -> dict[str, object]:
    where = {"host": line.host, "process": line.process}
    return {**where, "time": iso_time(line.time), "text": line.text}


def _refuse_unknown(run: Run, process: str, host: str) -> None:
    if not (process or host):
        return
    plan = run.plan()
    for what, value, known in (
        ("process", process, [one.name for one in plan.processes]),
        ("host", host, [one.host for one in plan.hosts]),
    ):
        if value and value not in known:
            raise InputError(f"{run.name}: has no {what} {value!r}; it has {', '.join(known)}")

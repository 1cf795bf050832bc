"""`dsr1 wait`: until a run serves."""

import sys
import time
from typing import Annotated

import typer

from dsr1.launcher.cli.answers.envelope import ANSWER
from dsr1.launcher.cli.options.common import RunName
from dsr1.launcher.cli.options.durations import parse_span
from dsr1.launcher.cli.runs.status import NOT_SERVING
from dsr1.launcher.cli.views.start import start_view
from dsr1.launcher.operate.backends import backend_of
from dsr1.launcher.operate.status import find_any
from dsr1.launcher.operate.summary import summarize
from dsr1.launcher.run.launch import failure
from dsr1.launcher.run.state import RunState
from dsr1.launcher.run.store import Run

ASK_S = 1.0


def wait(
    run: RunName = None,
    timeout: Annotated[
        str,
        typer.Option("--timeout", metavar="TIME", help="At most so long: 90s, 30m, 2h."),
    ] = "",
) -> None:
    """Wait until a run serves, and show how far it is.

    Exit code 0: it serves; 4: it has failed or was stopped; 7: it doesn't serve in time.
    """
    limit_s = parse_span(timeout, "--timeout") if timeout else None
    found = find_any(run)
    state = _await(found, limit_s)
    summary = summarize(found)
    ANSWER.put(
        "wait",
        {
            "run": found.name,
            "phase": state.phase,
            "serves": state.serves,
            "url": summary.url,
            "model": summary.model,
        },
    )
    if state.serves:
        print(f"{found.name}: {state.phase}, {summary.url}/v1")
        return
    if state.ended:
        raise failure(found, state)
    print(f"{found.name}: {state.phase} after {timeout}: it goes on", file=sys.stderr)
    raise typer.Exit(NOT_SERVING)


def _await(run: Run, limit_s: float | None) -> RunState:
    """Until it serves or has ended, or the time is over."""
    backend, deadline = backend_of(run), time.monotonic() + (limit_s or 0)
    with start_view(run.name, run.claimed_at()) as show:
        while True:
            state = backend.state(run)
            show(state)
            over = limit_s is not None and time.monotonic() >= deadline
            if state.serves or state.ended or over:
                return state
            time.sleep(ASK_S)

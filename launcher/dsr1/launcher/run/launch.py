"""Start runs whose supervisor is a process of this machine, and follow them until they serve."""

import os
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from dsr1.hosts.errors import CheckFailed, LaunchFailed
from dsr1.launcher.recipe.models import Recipe
from dsr1.launcher.run.signals import deferred_interrupt, interrupted_if
from dsr1.launcher.run.spawn import start_supervisor
from dsr1.launcher.run.state import OnState, RunState
from dsr1.launcher.run.stop import POLL_S, stop_run
from dsr1.launcher.run.store import Run, new_run

PrepareRun = Callable[[Run], None]
"""Surveys and judges the hosts, and writes the plan down."""


def prepare_run(run: Run, recipe: Recipe, prepare: PrepareRun) -> None:
    """Take the name, and prepare the run. What fails or is interrupted here leaves no run.

    Until there is a supervisor this process is recorded in its place: `stop` ends a launch that
    still asks its hosts, from another machine, too.
    """
    with ExitStack() as undo:
        with deferred_interrupt(), run.written_whole():
            run.claim(recipe, "starting")
            undo.callback(run.discard)
            run.record_supervisor(os.getpid())
        with interrupted_if(run.is_asked_to_stop):
            prepare(run)
        undo.pop_all()


def launch_run(recipe: Recipe, name: str, prepare: PrepareRun, show: OnState) -> Run:
    """Start a run and show every state until it serves. Ctrl-C or failure leaves nothing running,
    and touches no other run.

    Raises InputError for a name that is taken, LaunchFailed, or CheckFailed when a host isn't fit.
    """
    run = new_run(name)
    try:
        prepare_run(run, recipe, prepare)
    except KeyboardInterrupt:
        raise LaunchFailed(f"{run.name}: interrupted; nothing was started") from None
    try:
        _start_first(run)
        state = _wait(run, show)
    except KeyboardInterrupt:
        raise LaunchFailed(f"{run.name}: {interrupted(stop_run(run))}") from None
    if not state.serves:
        raise failure(run, state)
    return run


def _start_first(run: Run) -> None:
    try:
        start_supervisor(run)
    except LaunchFailed:
        run.discard()
        raise


def interrupted(left: Sequence[str]) -> str:
    """`left`: what may still run once everything was ended."""
    said = _say_left(left) or "; everything that had been started is gone"
    return f"interrupted{said}"


def failure(run: Run, state: RunState, more: str = "") -> LaunchFailed | CheckFailed:
    """Of a run that ended before it served. `more`: where else something is logged."""
    kind = CheckFailed if state.exit_code == 3 else LaunchFailed
    how = "stopped: " if state.phase == "stopped" else ""
    words = (f"{run.name}: {how}{state.reason}{_say_left(state.left)}", f"logs: {_logs(run)}{more}")
    return kind("\n".join((*words, *state.cause_lines)))


def _logs(run: Run) -> str:
    """Where they lie: over SSH on the hosts themselves, in a job where all nodes see them."""
    told = f"`dsr1 logs {run.name} --errors`"
    if run.is_remote() and not run.is_in_job():
        return f"{told}; on each host in /tmp/dsr1-UID/{run.name}/HOST/logs"
    return f"{told}; {run.folder}/hosts/*/logs"


def _say_left(left: Sequence[str]) -> str:
    return f"\nMAY STILL RUN: {'; '.join(left)}" if left else ""


def _stamp(run: Run) -> tuple[int, int]:
    """Another one: its state was written anew."""
    try:
        status = (run.folder / "state.json").stat()
    except OSError:
        return -1, time.monotonic_ns()
    return status.st_ino, status.st_mtime_ns


def _wait(run: Run, show: OnState) -> RunState:
    """Until it serves or has ended."""
    state, stamp = run.state(), (0, 0)
    while True:
        alive = run.supervisor()
        if (found := _stamp(run)) != stamp:  # to read it each time costs a tenth of a core
            stamp, state = found, run.state()
            show(state)
        if state.serves or state.ended:
            return state
        if alive is None:
            why = f"its supervisor is gone ({run.folder}/supervisor.log)"
            raise LaunchFailed(f"{run.name}: {why}; `dsr1 stop {run.name}` ends what it left")
        time.sleep(POLL_S)

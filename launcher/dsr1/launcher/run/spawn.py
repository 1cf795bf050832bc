"""The supervisor's process on this machine: begun with a launch, or for agents that lost theirs."""

import os
import subprocess
import sys
import time
from contextlib import suppress

from dsr1.hosts.errors import InputError, LaunchFailed
from dsr1.launcher.run.folder import SUPERVISOR_FILE
from dsr1.launcher.run.liveness.watching import HAS_LEFT
from dsr1.launcher.run.signals import deferred_interrupt
from dsr1.launcher.run.store import Run

POLL_S, TAKE_OVER_S = 0.05, 120.0


class WatchedElsewhere(InputError):
    """A run's agents hear another supervisor, of another folder."""


def start_supervisor(run: Run, *more: str) -> None:
    """One that can't be recorded is ended: LaunchFailed. It imports nothing (-P) from the user's
    working directory."""
    argv = [
        sys.executable,
        "-P",
        "-m",
        "dsr1.launcher.run.supervision",
        str(run.folder),
        *more,
    ]
    try:
        with (run.folder / "supervisor.log").open("ab") as log, deferred_interrupt():
            child = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
            try:
                run.record_supervisor(child.pid)
            except OSError:
                child.kill()
                child.wait()
                raise
    except OSError as error:
        raise LaunchFailed(
            f"{run.folder}: no supervisor can be started: {error.strerror}"
        ) from None


def take_place(run: Run) -> bool:
    """Of this very process, whether it is to be the run's supervisor. Who began it may have been
    killed before that was written down; the run may have been stopped since, which nobody told this
    one of, or have another."""
    with run.locked():
        other = run.supervisor() not in (None, os.getpid(), os.getppid())
        if other or run.state().ended:
            return False
        with suppress(OSError):  # no room: who began it ends it, if it lives
            run.record_supervisor(os.getpid())
    return True


def take_over(run: Run, seconds: float = TAKE_OVER_S) -> None:
    """A new supervisor for agents that run without one. Returns when it has saved a state.

    Raises InputError when there is nothing to take over, WatchedElsewhere when the new supervisor
    has left again for that, LaunchFailed when it is gone at once, or has saved nothing for so many
    seconds.
    """
    with run.locked():
        _refuse_take_over(run)
        before, noted = run.save_mark(), run.state().notes
        start_supervisor(run, "--take-over")
    await_save(run, before, seconds)
    notes = run.state().notes
    if notes != noted and notes and notes[-1].endswith(HAS_LEFT):
        raise WatchedElsewhere(f"{run.name}: {notes[-1]}; see to it from there")


def await_save(run: Run, before: tuple[int, int], seconds: float) -> None:
    """Until the run's state was saved after `before`. LaunchFailed as in `take_over`."""
    deadline, log = time.monotonic() + seconds, run.folder / "supervisor.log"
    while run.save_mark() == before:
        pid = run.supervisor()
        if pid is None and run.save_mark() == before:
            raise LaunchFailed(f"{run.name}: its new supervisor is gone; {log} says why")
        if time.monotonic() > deadline:
            raise LaunchFailed(
                f"{run.name}: its new supervisor (pid {pid}) has saved no state for {seconds:g} s;"
                f" is there room in {run.folder}, and are its hosts reached? See {log};"
                f" `dsr1 stop {run.name}` ends it"
            )
        time.sleep(POLL_S)


def _refuse_take_over(run: Run) -> None:
    if run.supervisor() is not None:
        raise InputError(
            f"{run.name}: its supervisor lives (pid {run.supervisor()}); there is nothing to take"
            " over"
        )
    if (host := run.elsewhere()) and not run.state().ended:
        raise InputError(
            f"{run.name}: its supervisor was started on {host}, and whether it lives can't be told"
            f" from here: `dsr1 supervise {run.name}` there. If that machine is gone for good,"
            f" remove {run.folder / SUPERVISOR_FILE} first"
        )
    if run.state().ended:
        raise InputError(f"{run.name}: has ended ({run.state().phase}); launch it anew")
    if not run.is_planned():
        raise InputError(
            f"{run.name}: its launch ended before anything was started; stop it, and launch it anew"
        )

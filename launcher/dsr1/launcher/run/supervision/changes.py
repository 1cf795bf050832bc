"""The change that is wanted of a deployment: a file in the run's folder, which whoever wants it
writes, and the supervisor carries on, whichever it is."""

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Mapping

from dsr1.hosts.errors import InputError, LaunchFailed
from dsr1.launcher.lifecycle.changes import MOVE, STOP, WantedChange, go_on
from dsr1.launcher.lifecycle.deployment import EngineUnit
from dsr1.launcher.lifecycle.events import AskedEvent
from dsr1.launcher.run.store import Run
from dsr1.launcher.run.supervision.history import SUPERVISOR, Change, record


def ask_for(run: Run, change: WantedChange) -> None:
    """InputError: another is going on."""
    folder = os.open(run.folder, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        known = run.wanted_change()
        if known and not known.is_over:
            raise InputError(
                f"{run.name}: {known.what} of {', '.join(known.engines)}, which {known.who} wants,"
                " is going on; wait for its end"
            )
        run.save_wanted_change(change)
    finally:
        os.close(folder)
    what = f"{change.what} {', '.join(change.engines)}"
    record(run, Change(change.asked_at, change.who, what, change.why, host=change.host))


class ChangeInProgress:
    """`tell` takes an engine's event; `leave` a host that is to be given up."""

    def __init__(
        self, run: Run, tell: Callable[[str, AskedEvent], None], leave: Callable[[str, bool], None]
    ) -> None:
        self._run, self._tell, self._leave = run, tell, leave

    def look(self, engines: Mapping[str, EngineUnit]) -> None:
        """Written down before the engine is told. A full disk delays it."""
        with contextlib.suppress(LaunchFailed, OSError):
            known = self._run.wanted_change()
            if known is None or known.is_over:
                return
            change, order = go_on(known, engines, time.time())
            if change != known:
                self._write(known, change)
            if order:
                self._order(change, *order)

    def _order(self, change: WantedChange, engine: str, event: AskedEvent) -> None:
        if change.what == MOVE:
            self._leave(change.host, False)
        self._tell(engine, event)

    def _write(self, before: WantedChange, change: WantedChange) -> None:
        self._run.save_wanted_change(change)
        if change.phase == before.phase:
            return
        what = f"{change.what} {change.phase}"
        record(self._run, Change(time.time(), SUPERVISOR, what, change.words or change.why))
        if change.what == STOP and change.phase == "done" and change.host:
            self._leave(change.host, True)

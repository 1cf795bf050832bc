"""The start of a run, or how far it has come."""

import time
from collections.abc import Callable

from dsr1.hosts.errors import LaunchFailed
from dsr1.launcher.report.timeline import Timeline, make_timeline
from dsr1.launcher.run.record.history import read_history
from dsr1.launcher.run.record.starts import read_phases
from dsr1.launcher.run.state import ENDED
from dsr1.launcher.run.store import Run

OVER = ("stopping", *ENDED)


def start_of(run: Run, engine: str = "", clock: Callable[[], float] = time.time) -> Timeline | None:
    """None: nothing was recorded, or not of this engine. The last phase of a start that was given
    up lasted until then, and that of one which goes on until now: it may be the longest."""
    begun = read_phases(run)
    found = make_timeline(begun, engine)
    if found is None or found.ready:
        return found
    told = found.began + found.seconds
    return make_timeline(begun, engine, _over(run, told) or clock())


def _over(run: Run, told: float) -> float | None:
    """None: it goes on."""
    ends = (one.time for one in read_history(run) if one.time >= told and one.what in OVER)
    try:
        state = run.state()
    except LaunchFailed:
        return next(ends, told)
    return next(ends, state.since if state.ended else None)

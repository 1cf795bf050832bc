"""What happened to a run, as one stream that sites may build on: docs/events.md says what of it
stays as it is."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict

from dsr1.hosts.dataclass import dataclass
from dsr1.launcher.run.record import history, starts
from dsr1.launcher.run.record.history import SUPERVISOR, Change, read_history
from dsr1.launcher.run.record.starts import PhaseBegun, read_phases
from dsr1.launcher.run.store import Run

VERSION, POLL_S = 1, 0.5


@dataclass(frozen=True, slots=True)
class RunEvent:
    """`kind`: `run` (its phase), `engine` (its), `rank` (a verdict on its health) or `start` (a
    phase of a rank's start). What isn't of it is empty, or null."""

    version: int
    time: float
    kind: str
    what: str
    why: str = ""
    who: str = SUPERVISOR
    engine: str = ""
    rank: int | None = None
    host: str = ""
    process: str = ""


def event_line(event: RunEvent) -> str:
    return json.dumps(asdict(event))


def events_of_run(run: Run) -> list[RunEvent]:
    """Oldest first."""
    changes = [_of_change(one) for one in read_history(run)]
    starts = [_of_start(one) for one in read_phases(run)]
    return sorted((*changes, *starts), key=lambda event: event.time)


def follow_events(run: Run, is_over: Callable[[], bool]) -> Iterator[RunEvent]:
    """All so far, then each as it comes, until the run is over."""
    told: set[RunEvent] = set()
    seen: list[int] = []
    while True:
        over, sizes = is_over(), _sizes(run)  # before the last look
        for event in events_of_run(run) if sizes != seen else ():
            if event not in told:
                told.add(event)
                yield event
        if over:
            return
        seen = sizes
        time.sleep(POLL_S)


def _sizes(run: Run) -> list[int]:
    """Whatever is added changes one of them."""
    files = (run.folder / name for name in (history.FILE, starts.FILE))
    return [file.stat().st_size if file.exists() else -1 for file in files]


def _of_change(one: Change) -> RunEvent:
    kind = "run" if not one.engine else "engine" if one.rank is None else "rank"
    return RunEvent(
        VERSION, one.time, kind, one.what, one.why, one.who, one.engine, one.rank, one.host
    )


def _of_start(one: PhaseBegun) -> RunEvent:
    own = {"engine": one.engine, "rank": one.rank, "host": one.host, "process": one.process}
    return RunEvent(VERSION, one.time, "start", one.phase, **own)  # type: ignore[arg-type]

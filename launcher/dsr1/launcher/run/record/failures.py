"""Failures of a run, by its history. Pure."""

import math
from collections.abc import Iterator, Sequence

from dsr1.launcher.run.record.history import SUPERVISOR, Change
from dsr1.launcher.triage.earlier import EarlierFailure

REPAIRED = ("failed", "waiting")  # an engine that was ended on purpose starts at once, or is down


def earlier_failures(
    changes: Sequence[Change], seen_at: float = math.inf
) -> tuple[EarlierFailure, ...]:
    """Those that were over before the newest began of which something was seen at `seen_at`;
    without it all that are over."""
    found = sorted(_failures(changes), key=lambda one: one.began)
    newest = max((one.began for one in found if one.began <= seen_at), default=seen_at)
    until = seen_at if seen_at == math.inf else newest
    return tuple(one for one in found if one.over <= until and one.over < math.inf)


def _failures(changes: Sequence[Change]) -> Iterator[EarlierFailure]:
    """Of one that goes on `over` is infinite."""
    going: dict[str, Change] = {}
    told: set[str] = set()
    for change in changes:
        if change.rank is not None or change.who != SUPERVISOR:
            continue
        if change.what == ("ending" if change.engine else "stopping"):
            _note(change, going, told)
            continue
        for engine in _closed(change, going):
            began = going.pop(engine)
            if change.what in REPAIRED or not change.engine:
                yield EarlierFailure(engine, began.why, began.time, change.time)
    yield from (EarlierFailure(one, it.why, it.time, math.inf) for one, it in going.items())


def _note(change: Change, going: dict[str, Change], told: set[str]) -> None:
    """A run that ends because an engine had failed for good ends by that engine's failure."""
    why = change.why.partition("\n")[0]
    if change.engine or why not in told:
        going.setdefault(change.engine, change)
    told.add(why)


def _closed(change: Change, going: dict[str, Change]) -> list[str]:
    """The whole run starts anew once nothing of it is alive."""
    if not change.engine:
        return list(going) if change.what == "starting" else []
    return [change.engine] if change.engine in going else []

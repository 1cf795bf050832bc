"""What has become of a run, change after change: when, by whom, of what, and why. Kept in its
folder, for who looks later."""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import asdict

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.protocol.plain import from_plain
from dsr1.launcher.health.verdicts import HEALTHY, RankHealth
from dsr1.launcher.run.folder import RunFolder
from dsr1.launcher.run.state import RunState

FILE, OLDER = "history.jsonl", "history.1.jsonl"
MOST_BYTES = 4 << 20
SUPERVISOR = "supervisor"


@dataclass(frozen=True, slots=True)
class Change:
    """`time`: seconds since the epoch; `who`: the supervisor, or a user's verb; `what`: a phase, a
    rank's verdict, or what was ordered. Without `engine` it is of the whole run, without `rank` of
    the whole engine."""

    time: float
    who: str
    what: str
    why: str = ""
    engine: str = ""
    rank: int | None = None
    host: str = ""


def record(run: RunFolder, change: Change) -> None:
    """A full disk costs the line. The file is bounded: an older part of it stays beside it."""
    file = run.folder / FILE
    with contextlib.suppress(OSError):
        if file.exists() and file.stat().st_size > MOST_BYTES:
            file.replace(run.folder / OLDER)
        with file.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(asdict(change)) + "\n")


def read_history(run: RunFolder) -> list[Change]:
    """Oldest first. A line that was cut short is left out."""
    found = []
    for name in (OLDER, FILE):
        with contextlib.suppress(OSError):
            found += list(_parse((run.folder / name).read_text(errors="replace")))
    return found


def _parse(text: str) -> Iterator[Change]:
    for line in text.splitlines():
        with contextlib.suppress(ValueError):
            yield from_plain(Change, json.loads(line), FILE)


def changes_between(before: RunState, after: RunState, now: float) -> Iterator[Change]:
    """Verdicts first: a phase follows from them."""
    known, found = _by_rank(before), _by_rank(after)
    for key, row in found.items():
        if key not in known or known[key].verdict != row.verdict:
            yield _of_rank(row, row.verdict, row.why, now)
    for key in known.keys() - found.keys():
        yield _of_rank(known[key], HEALTHY, "", now)
    if before.phase != after.phase:
        yield Change(now, SUPERVISOR, after.phase, why_so(after))


def _by_rank(state: RunState) -> dict[tuple[str, int], RankHealth]:
    return {(row.engine, row.rank): row for row in state.ailing}


def _of_rank(row: RankHealth, what: str, why: str, now: float) -> Change:
    return Change(now, SUPERVISOR, what, why, row.engine, row.rank, row.host)


def why_so(state: RunState) -> str:
    """Why it is in its phase: its ranks, or its engines."""
    ailing = "; ".join(row.words for row in state.ailing) if state.serves else ""
    return ailing or state.reason

"""When each rank began each phase of its starts, by the supervisor's clock. Kept in the run's
folder, for who looks later."""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import asdict

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.protocol.bounded import parse_bounded
from dsr1.hosts.protocol.plain import from_plain
from dsr1.launcher.commands.phases import PHASES
from dsr1.launcher.run.folder import RunFolder
from dsr1.launcher.run.ranks import RankTable

FILE, MOST_BYTES = "phases.jsonl", 8 << 20


@dataclass(frozen=True, slots=True)
class PhaseBegun:
    """`time`: seconds since the epoch."""

    time: float
    engine: str
    rank: int
    host: str
    process: str
    phase: str


def record_phases(run: RunFolder, before: RankTable, after: RankTable) -> None:
    """Those that ranks have begun in between. A full disk, or a file that is full, costs them."""
    known = {(row.engine, row.rank): (row.phase, row.host) for row in before}
    begun = [
        PhaseBegun(row.since, row.engine, row.rank, row.host, row.process, row.phase)
        for row in after
        if known.get((row.engine, row.rank)) != (row.phase, row.host)
    ]
    file = run.folder / FILE
    with contextlib.suppress(OSError):
        if begun and not (file.exists() and file.stat().st_size > MOST_BYTES):
            with file.open("a", encoding="utf-8") as lines:
                lines.writelines(json.dumps(asdict(one)) + "\n" for one in begun)


def read_phases(run: RunFolder) -> list[PhaseBegun]:
    """In the order in which they were told. A line that was cut short is left out."""
    with contextlib.suppress(OSError):
        return list(parse_phases((run.folder / FILE).read_text(errors="replace")))
    return []


def parse_phases(text: str) -> Iterator[PhaseBegun]:
    for line in text.splitlines():
        with contextlib.suppress(ValueError):
            begun = from_plain(PhaseBegun, parse_bounded(line), FILE)
            if begun.phase in PHASES:
                yield begun

"""How far every rank has come: one row a rank, moved by the log's phases, and judged by the
recipe's limits. Pure."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.protocol.events import Progress
from dsr1.launcher.commands.phases import PHASES

if TYPE_CHECKING:
    from dsr1.launcher.plan.plan import Plan


@dataclass(frozen=True, slots=True)
class RankRow:
    """One DP rank. `since` is when it last moved, in seconds since the epoch, for people;
    `moved_at` the same by the supervisor's monotonic clock, which no clock step moves. `done` of
    `total` counts in its phase. `spoken`: a line of the log was of this rank alone."""

    engine: str
    rank: int
    host: str
    process: str
    phase: str
    since: float
    done: int | None = None
    total: int | None = None
    moved_at: float = 0.0
    spoken: bool = False

    @property
    def said(self) -> str:
        return f"{self.phase} {self.done}/{self.total}" if self.total else self.phase


RankTable = tuple[RankRow, ...]


@dataclass(frozen=True, slots=True)
class Moment:
    """Now, by both clocks, in seconds: since the epoch, and monotonic."""

    epoch: float
    monotonic: float


def first_table(plan: "Plan", now: Moment) -> RankTable:
    """Every rank of the plan, starting."""
    return tuple(
        RankRow(p.engine, p.rank, p.host, p.process, PHASES[0], now.epoch, moved_at=now.monotonic)
        for p in plan.ranks
    )


def advance(table: RankTable, step: Progress, now: Moment) -> RankTable:
    """Move the ranks that a step speaks of, and with it those of the same process that never speak:
    vLLM logs most of a start for a process's first rank alone. A rank never goes back."""
    return tuple(_advanced(row, step, now) for row in table)


def all_ready(table: RankTable, now: Moment) -> RankTable:
    """The deployment serves: so does every rank of it."""
    return tuple(
        replace(
            row, phase=PHASES[-1], since=now.epoch, moved_at=now.monotonic, done=None, total=None
        )
        for row in table
    )


def heard_again(table: RankTable, now: Moment) -> RankTable:
    """Taken over by another supervisor: nobody is late who hasn't been heard."""
    return tuple(replace(row, moved_at=now.monotonic) for row in table)


def overdue(table: RankTable, limits: Mapping[str, float], now: float) -> str:
    """The least advanced process that has made no progress for longer than the recipe allows, by
    the last of its ranks that moved; else nothing. `now` is monotonic."""
    late = [row for row in _last_moved(table) if _is_late(row, limits, now)]
    if not late:
        return ""
    row = min(late, key=_advancement)
    where = f"rank {row.rank} of engine {row.engine} on {row.host} ({row.process})"
    return (
        f"{where} has been {row.said} for more than {limits[row.phase]:g} s without progress"
        " (recipe timeouts)"
    )


def _last_moved(table: RankTable) -> list[RankRow]:
    """One row a process: of those that moved last, the most advanced."""
    last: dict[str, RankRow] = {}
    for row in table:
        other = last.get(row.process)
        key = (row.moved_at, _advancement(row))
        if other is None or key > (other.moved_at, _advancement(other)):
            last[row.process] = row
    return list(last.values())


def _is_late(row: RankRow, limits: Mapping[str, float], now: float) -> bool:
    limit = limits.get(row.phase)
    return limit is not None and now - row.moved_at > limit


def _advancement(row: RankRow) -> tuple[int, float]:
    return PHASES.index(row.phase), (row.done or 0) / (row.total or 1)


def phase_limits(importing_s: float, loading_s: float, compiling_s: float) -> dict[str, float]:
    """Seconds a rank may stay in each phase. Silent phases (JIT) print nothing, so theirs must be
    long."""
    early = dict.fromkeys(("starting", "importing", "initialising", "connecting"), importing_s)
    late = dict.fromkeys(
        ("compiling", "profiling", "warming up", "capturing", "registering"), compiling_s
    )
    return {**early, "loading": loading_s, **late}


def _advanced(row: RankRow, step: Progress, now: Moment) -> RankRow:
    if step.process != row.process or not _is_further(step.phase, row.phase):
        return row
    if step.rank in (None, row.rank):
        spoken = row.spoken or step.rank is not None
        moved = replace(row, phase=step.phase, done=step.done, total=step.total, spoken=spoken)
    elif not row.spoken and step.phase != row.phase:
        moved = replace(row, phase=step.phase, done=None, total=None)
    else:
        return row
    return replace(moved, since=now.epoch, moved_at=now.monotonic)


def _is_further(phase: str, than: str) -> bool:
    """Or the same; what an agent says may be no phase at all."""
    return phase in PHASES and PHASES.index(phase) >= PHASES.index(than)


def lateness(
    table: RankTable, limits: Mapping[str, float], now: float, deadline: float, doing: str
) -> str:
    """Why a start is late, by a rank or as a whole; empty: it isn't."""
    late = overdue(table, limits, now)
    return late or (_not_in_time(table, doing) if now > deadline else "")


def _not_in_time(table: RankTable, doing: str) -> str:
    last = ", ".join(f"rank {row.rank} {row.said}" for row in table[:16])
    return f"it did not {doing} in time (recipe timeouts); last seen: {last}"

"""How far every rank has come: one row a rank, moved by the log's phases, and judged by the
recipe's limits. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from dsr1.hosts.protocol.events import Progress
from dsr1.launcher.commands.phases import PHASES
from dsr1.launcher.plan.plan import Plan


@dataclass(frozen=True, slots=True)
class RankRow:
    """One DP rank. `since` is when it last moved, in seconds since the epoch; `done` of `total`
    counts in its phase."""

    engine: str
    rank: int
    host: str
    process: str
    phase: str
    since: float
    done: int | None = None
    total: int | None = None

    @property
    def said(self) -> str:
        return f"{self.phase} {self.done}/{self.total}" if self.total else self.phase


RankTable = tuple[RankRow, ...]


def first_table(plan: Plan, now: float) -> RankTable:
    """Every rank of the plan, starting."""
    return tuple(RankRow(p.engine, p.rank, p.host, p.process, PHASES[0], now) for p in plan.ranks)


def advance(table: RankTable, step: Progress, now: float) -> RankTable:
    """Move the ranks that a step speaks of; a rank never goes back."""
    return tuple(_moved(row, step, now) if _concerns(step, row) else row for row in table)


def all_ready(table: RankTable, now: float) -> RankTable:
    """The deployment serves: so does every rank of it."""
    return tuple(replace(row, phase=PHASES[-1], since=now, done=None, total=None) for row in table)


def overdue(table: RankTable, limits: Mapping[str, float], now: float) -> str:
    """The first rank that has stayed in a phase, without progress, for longer than the recipe
    allows; else nothing."""
    for row in table:
        limit = limits.get(row.phase)
        if limit is not None and now - row.since > limit:
            where = f"rank {row.rank} of engine {row.engine} on {row.host} ({row.process})"
            return (
                f"{where} has been {row.said} for more than {limit:g} s without progress (recipe"
                " timeouts)"
            )
    return ""


def phase_limits(importing_s: float, loading_s: float, compiling_s: float) -> dict[str, float]:
    """Seconds a rank may stay in each phase. Silent phases (JIT) print nothing, so theirs must be
    long."""
    early = dict.fromkeys(("starting", "importing", "initialising"), importing_s)
    late = dict.fromkeys(
        ("compiling", "profiling", "warming up", "capturing", "registering"), compiling_s
    )
    return {**early, "loading": loading_s, **late}


def _concerns(step: Progress, row: RankRow) -> bool:
    return step.process == row.process and step.rank in (None, row.rank)


def _moved(row: RankRow, step: Progress, now: float) -> RankRow:
    if PHASES.index(step.phase) < PHASES.index(row.phase):
        return row
    return replace(row, phase=step.phase, done=step.done, total=step.total, since=now)

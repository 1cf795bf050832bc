"""What is known of the health of ranks that serve, and what follows for the deployment. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

HEALTHY, SUSPECT, FAILED = "healthy", "suspect", "failed"
READY, DEGRADED = "ready", "degraded"
SHOWN = 3  # ranks of one engine that are told of, one by one


@dataclass(frozen=True, slots=True)
class RankHealth:
    """`verdict`: healthy, suspect or failed, and why; `since`: when it first seemed unwell, in
    seconds since the epoch."""

    engine: str
    rank: int
    host: str
    process: str
    verdict: str = HEALTHY
    why: str = ""
    since: float = 0.0

    @property
    def words(self) -> str:
        where = f"rank {self.rank} of engine {self.engine} on {self.host}"
        return f"{where} {self.why}"


@dataclass(frozen=True, slots=True)
class HealthReport:
    """Of every rank of the deployment; told whenever a verdict changes, by whoever watches them, to
    the supervisor, which takes it from its queue."""

    ranks: tuple[RankHealth, ...]

    @property
    def ailing(self) -> tuple[RankHealth, ...]:
        return tuple(row for row in self.ranks if row.verdict != HEALTHY)

    @property
    def phase(self) -> str:
        """Of a deployment that serves."""
        return DEGRADED if self.ailing else READY

    @property
    def failed_engines(self) -> tuple[str, ...]:
        """An engine fails with any of its ranks."""
        return tuple(dict.fromkeys(row.engine for row in self.ranks if row.verdict == FAILED))

    def words_of(self, engine: str) -> str:
        """Why it failed: its ranks that did."""
        failed = [row for row in self.ranks if row.engine == engine and row.verdict == FAILED]
        more = f"; so do {len(failed) - SHOWN} more" if len(failed) > SHOWN else ""
        return "; ".join(row.words for row in failed[:SHOWN]) + more


def still_serving(ranks: Sequence[RankHealth]) -> tuple[str, ...]:
    """Engines none of whose ranks is unwell."""
    ailing = {row.engine for row in ranks if row.verdict != HEALTHY}
    return tuple(dict.fromkeys(row.engine for row in ranks if row.engine not in ailing))


def describe(report: HealthReport) -> Iterator[str]:
    """A line for every rank that is unwell, and one for what still serves."""
    yield from (f"{row.verdict}: {row.words}" for row in report.ailing)
    if report.ailing:
        yield f"still serving: {', '.join(still_serving(report.ranks)) or 'nothing for certain'}"

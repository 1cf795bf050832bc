"""What is known of the health of ranks that serve, and what follows for the deployment. Pure."""

from collections.abc import Iterator, Sequence

from dsr1.hosts.dataclass import dataclass

HEALTHY, SUSPECT, FAILED = "healthy", "suspect", "failed"
GARBLED, ERROR, UNLISTED = "garbled", "error", "unlisted"  # its own fault
SICK, MUTE, WAITS, STALLED = "sick", "mute", "waits", "stalled"  # or it waits for a peer
READY, DEGRADED = "ready", "degraded"
SHOWN = 3  # ranks of one engine that are told of, one by one


@dataclass(frozen=True, slots=True)
class RankHealth:
    """Of a rank; a frontend counts as one of an engine of its own. `verdict`: healthy, suspect or
    failed; `kind` and `why` say of what. `since`: when it first seemed unwell, in seconds since
    the epoch."""

    engine: str
    rank: int
    host: str
    process: str
    verdict: str = HEALTHY
    kind: str = ""
    why: str = ""
    since: float = 0.0

    @property
    def is_frontend(self) -> bool:
        """An engine of one process, whose name it has; a worker's name has a number more."""
        return self.engine == self.process

    @property
    def words(self) -> str:
        who = f"rank {self.rank} of engine {self.engine}"
        who = self.process if self.is_frontend else who
        return f"{who} on {self.host} {self.why}"


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
    engines = dict.fromkeys(row.engine for row in ranks if not row.is_frontend)
    return tuple(engine for engine in engines if engine not in ailing)


def unwell_lines(report: HealthReport) -> Iterator[str]:
    """A line for every rank that is unwell, and one for what still serves."""
    yield from (f"{row.verdict}: {row.words}" for row in report.ailing)
    if report.ailing:
        yield f"still serving: {', '.join(still_serving(report.ranks)) or 'nothing for certain'}"

"""A start as spans of phases, rank by rank. Pure."""

from collections.abc import Iterator, Mapping, Sequence

from dsr1.hosts.dataclass import dataclass
from dsr1.launcher.commands.phases import IMPORTS, PHASES
from dsr1.launcher.run.record.starts import PhaseBegun

STARTING, READY = PHASES[0], PHASES[-1]
COUNTED = ("loading", "warming up", "capturing")
"""Phases whose logs count; the others say nothing until they are over."""
SILENT_S = 20.0


@dataclass(frozen=True, slots=True)
class PhaseSpan:
    """`begin` and `end`: seconds from the start's beginning."""

    phase: str
    begin: float
    end: float

    @property
    def seconds(self) -> float:
        return self.end - self.begin


@dataclass(frozen=True, slots=True)
class RankStart:
    """`done`: when it had nothing more to do itself, since all are ready at once; of a start that
    wasn't ready, when it began its last phase; in seconds."""

    engine: str
    rank: int
    host: str
    process: str
    spans: tuple[PhaseSpan, ...]
    done: float

    @property
    def name(self) -> str:
        return f"{self.engine} rank {self.rank} on {self.host}"


@dataclass(frozen=True, slots=True)
class Timeline:
    """The last start of each rank of one attempt. `began`: seconds since the epoch; `seconds`:
    until it was ready, or until the last that is known. The slowest rank is the first: of a start
    that wasn't ready, the one whose last phase began the earliest."""

    began: float
    seconds: float
    ready: bool
    ranks: tuple[RankStart, ...]

    @property
    def slowest(self) -> RankStart:
        return self.ranks[0]

    @property
    def phases(self) -> dict[str, float]:
        """Seconds of each, of the slowest rank."""
        found: dict[str, float] = {}
        for span in self.slowest.spans:
            found[span.phase] = found.get(span.phase, 0.0) + span.seconds
        return found

    @property
    def imports(self) -> dict[str, float]:
        """Seconds that the slowest rank's processes spent on loading their modules, one after the
        other. Empty where its log doesn't tell them from other work: no engine, or an old one."""
        found = self.phases
        if "connecting" not in found:
            return {}
        return {whose: found[phase] for phase, whose in IMPORTS.items() if phase in found}

    @property
    def silent(self) -> tuple[PhaseSpan, ...]:
        """Of the slowest rank, the longest first."""
        long = [span for span in self.slowest.spans if _is_silent(span)]
        return tuple(sorted(long, key=lambda span: span.seconds, reverse=True))


def phase_words(phase: str) -> str:
    """For a legend."""
    return f"{phase} ({IMPORTS[phase]}'s imports)" if phase in IMPORTS else phase


def _is_silent(span: PhaseSpan) -> bool:
    return span.phase not in COUNTED and span.seconds > SILENT_S


def make_timeline(
    begun: Sequence[PhaseBegun], engine: str = "", until: float = 0.0
) -> Timeline | None:
    """Of the whole run's last start, or of an engine's, which may have been started since. `until`:
    when it was given up, where it was never ready. None: nothing was recorded."""
    own = [one for one in begun if engine in ("", one.engine)]
    starts = _last_starts(own) if engine else _common_starts(own)
    if not starts:
        return None
    began = min(start[0].time for start in starts)
    ready = all(start[-1].phase == READY for start in starts)
    ended = max(one.time for start in starts for one in start)
    ended = ended if ready else max(ended, until)
    late = starts if ready else [one for one in starts if one[-1].phase != READY]
    slow = [_rank_start(start, began, ended) for start in late]
    slow.sort(key=lambda one: (-one.done if ready else one.done, one.engine, one.rank))
    ranks = slow + [_rank_start(start, began, ended) for start in starts if start not in late]
    return Timeline(began, ended - began, ready, tuple(ranks))


def _by_rank(begun: Sequence[PhaseBegun]) -> Mapping[tuple[str, int], list[list[PhaseBegun]]]:
    """The starts of each rank: each begins with `starting`."""
    found: dict[tuple[str, int], list[list[PhaseBegun]]] = {}
    for one in begun:
        starts = found.setdefault((one.engine, one.rank), [])
        if one.phase == STARTING or not starts:
            starts.append([])
        starts[-1].append(one)
    return found


def _last_starts(begun: Sequence[PhaseBegun]) -> list[list[PhaseBegun]]:
    return [starts[-1] for starts in _by_rank(begun).values()]


def _common_starts(begun: Sequence[PhaseBegun]) -> list[list[PhaseBegun]]:
    """Of the last start of the whole run: an engine that was started alone since has more."""
    by_rank = _by_rank(begun)
    count = min((len(starts) for starts in by_rank.values()), default=0)
    return [starts[count - 1] for starts in by_rank.values()]


def _rank_start(start: Sequence[PhaseBegun], began: float, ended: float) -> RankStart:
    first = start[0]
    own = [one for one in start if one.phase != READY]
    done = max((one.time for one in own), default=began) - began
    spans = tuple(_spans(start, began, ended))
    return RankStart(first.engine, first.rank, first.host, first.process, spans, done)


def _spans(start: Sequence[PhaseBegun], began: float, ended: float) -> Iterator[PhaseSpan]:
    """A clock that was set back makes a span of no length."""
    ends = [one.time for one in start[1:]] + [ended]
    for one, end in zip(start, ends, strict=True):
        if one.phase != READY:
            yield PhaseSpan(one.phase, one.time - began, max(one.time, end) - began)


@dataclass(frozen=True, slots=True)
class PhaseDifference:
    """Seconds of a phase in this start and in another; None: it had none."""

    phase: str
    now: float | None
    before: float | None

    @property
    def saved(self) -> float:
        return (self.before or 0.0) - (self.now or 0.0)


def compare_starts(now: Timeline, before: Timeline) -> tuple[PhaseDifference, ...]:
    """Of the slowest ranks, in the phases' order."""
    one, other = now.phases, before.phases
    return tuple(
        PhaseDifference(phase, one.get(phase), other.get(phase))
        for phase in PHASES
        if phase in one or phase in other
    )

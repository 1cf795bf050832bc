"""Whether a rank is well, from what samples of it show, one after the other. Pure.

A busy rank is not hung: as long as its counters move it is well, however long a question waits.
"""

from dataclasses import replace

from dsr1.hosts.dataclass import dataclass
from dsr1.launcher.health.counters import RankCounters
from dsr1.launcher.health.verdicts import (
    ERROR,
    FAILED,
    GARBLED,
    HEALTHY,
    MUTE,
    SICK,
    STALLED,
    SUSPECT,
    UNLISTED,
    WAITS,
    RankHealth,
)

GARBLED_SAMPLES = 2


@dataclass(frozen=True, slots=True)
class Sample:
    """What was seen of a rank at one moment. `time` is in seconds since the epoch. None: not read.

    `well`: what its /health says; `sick`: and why not. `problem`: why its server can't be read.
    `listed`: whether every frontend lists its worker. `waits_s`: how long a question has had no
    answer. `garbled` and `error` are of an answer since the last sample; `answered`: there was one.
    """

    time: float
    well: bool | None = None
    sick: str = ""
    problem: str = ""
    listed: bool | None = None
    counters: RankCounters | None = None
    waits_s: float | None = None
    answered: bool = False
    garbled: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True)
class RankRecord:
    """A rank between two samples. `bad`: bad samples in a row, `garbled` those with a wrong answer.
    `was_well`: its /health has said so, and may be believed; a simulator's never does."""

    health: RankHealth
    bad: int = 0
    garbled: int = 0
    was_well: bool = False
    was_listed: bool = False
    counters: RankCounters | None = None


@dataclass(frozen=True, slots=True)
class Complaint:
    """What is bad in a sample: a kind of verdicts', and words that follow the rank's name."""

    kind: str
    words: str


def judge(before: RankRecord, sample: Sample, patience: int, interval_s: float) -> RankRecord:
    """After one more sample. `interval_s`: how long an answer may take before it counts."""
    bad = complaint(before, sample, interval_s)
    if bad:
        return _worse(before, sample, bad, patience)
    after = seen(before, sample)
    if _decides_nothing(before, sample):
        return after
    return replace(after, bad=0, garbled=0, health=as_new(before.health))


def _decides_nothing(before: RankRecord, sample: Sample) -> bool:
    """What was bad stays so: only an answer takes back a wrong one, and a question that waits again
    is no answer."""
    if sample.answered:
        return False
    unread = sample.counters is None and sample.well is None
    waits = sample.waits_s is not None and not has_moved(before, sample)
    return unread or before.garbled > 0 or waits


def complaint(before: RankRecord, sample: Sample, interval_s: float) -> Complaint | None:
    """The worst that a sample shows; None: nothing is bad."""
    if sample.garbled:
        return Complaint(GARBLED, sample.garbled)
    if before.was_listed and sample.listed is False:
        return Complaint(UNLISTED, "is no longer registered with the frontend")
    if sample.error and not is_busy(before, sample):
        return Complaint(ERROR, f"doesn't answer a question: {sample.error}")
    moves = sample.answered or has_moved(before, sample)
    return None if moves else _standstill(before, sample, interval_s)


def _standstill(before: RankRecord, sample: Sample, interval_s: float) -> Complaint | None:
    """Of a rank that shows no sign of life."""
    if before.was_well and sample.well is False:
        return Complaint(SICK, f"says that it is unwell: {sample.sick}")
    if sample.problem:
        return Complaint(MUTE, f"can't be asked how it is: {sample.problem}")
    if sample.waits_s is not None and sample.waits_s >= interval_s:
        return Complaint(WAITS, f"has not answered a question for {sample.waits_s:.0f} s")
    if sample.counters and _is_stalled(before, sample.counters):
        return Complaint(STALLED, f"makes no progress with {sample.counters.pending} requests")
    return None


def is_busy(before: RankRecord, sample: Sample) -> bool:
    """It has work, and gets on with it."""
    return bool(sample.counters and sample.counters.pending and has_moved(before, sample))


def has_moved(before: RankRecord, sample: Sample) -> bool:
    known = before.counters is not None and sample.counters is not None
    return known and before.counters.moving != sample.counters.moving  # type: ignore[union-attr]


def _is_stalled(before: RankRecord, now: RankCounters) -> bool:
    """It had work at the last sample, too."""
    return before.counters is not None and before.counters.pending > 0 and now.pending > 0


def seen(before: RankRecord, sample: Sample) -> RankRecord:
    """What a sample has shown of it, without a judgement."""
    return replace(
        before,
        was_well=_trusts_health(before, sample),
        was_listed=before.was_listed or sample.listed is True,
        counters=sample.counters or before.counters,
    )


def _trusts_health(before: RankRecord, sample: Sample) -> bool:
    """A /health that says unwell while its rank answers isn't believed until it says well again."""
    if sample.well is False and sample.answered:
        return False
    return before.was_well or sample.well is True


def _worse(before: RankRecord, sample: Sample, why: Complaint, patience: int) -> RankRecord:
    bad = before.bad + 1
    garbled = before.garbled + (why.kind == GARBLED)
    failed = garbled >= GARBLED_SAMPLES if why.kind == GARBLED else bad >= patience
    health = replace(
        before.health,
        verdict=FAILED if failed else SUSPECT,
        kind=why.kind,
        why=why.words,
        since=before.health.since or sample.time,
    )
    return replace(seen(before, sample), health=health, bad=bad, garbled=garbled)


def as_new(health: RankHealth) -> RankHealth:
    return replace(health, verdict=HEALTHY, kind="", why="", since=0.0)

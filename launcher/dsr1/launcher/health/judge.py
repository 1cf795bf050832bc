"""Whether a rank is well, from what looks at it show, one after the other. Pure.

A busy rank is not hung: as long as its counters move it is well, however long a question waits.
"""

from dataclasses import dataclass, replace

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

GARBLED_LOOKS = 2


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at a rank showed. `time` is in seconds since the epoch. None: not read.

    `well`: what its /health says; `sick`: and why not. `problem`: why its server can't be read.
    `listed`: whether every frontend lists its worker. `waits_s`: how long a question has had no
    answer. `garbled` and `error` are of an answer since the last look; `answered`: there was one.
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
class Standing:
    """A rank between two looks. `bad`: bad looks in a row, `garbled` those with a wrong answer.
    `was_well`: its /health has said so, and may be believed; a simulator's never does."""

    health: RankHealth
    bad: int = 0
    garbled: int = 0
    was_well: bool = False
    was_listed: bool = False
    counters: RankCounters | None = None


@dataclass(frozen=True, slots=True)
class Complaint:
    """What a look shows that is bad: a kind of verdicts', and words that follow the rank's name."""

    kind: str
    words: str


def judge(before: Standing, look: Look, patience: int, look_s: float) -> Standing:
    """After one more look. `look_s`: how long an answer may take before it counts."""
    bad = complaint(before, look, look_s)
    if bad:
        return _worse(before, look, bad, patience)
    after = seen(before, look)
    if _decides_nothing(before, look):
        return after
    return replace(after, bad=0, garbled=0, health=as_new(before.health))


def _decides_nothing(before: Standing, look: Look) -> bool:
    """What was bad stays so: only an answer takes back a wrong one, and a question that waits again
    is no answer."""
    if look.answered:
        return False
    unread = look.counters is None and look.well is None
    waits = look.waits_s is not None and not has_moved(before, look)
    return unread or before.garbled > 0 or waits


def complaint(before: Standing, look: Look, look_s: float) -> Complaint | None:
    """The worst that a look shows; None: nothing is bad."""
    if look.garbled:
        return Complaint(GARBLED, look.garbled)
    if before.was_listed and look.listed is False:
        return Complaint(UNLISTED, "is no longer registered with the frontend")
    if look.error and not is_busy(before, look):
        return Complaint(ERROR, f"doesn't answer a question: {look.error}")
    moves = look.answered or has_moved(before, look)
    return None if moves else _standstill(before, look, look_s)


def _standstill(before: Standing, look: Look, look_s: float) -> Complaint | None:
    """Of a rank that shows no sign of life."""
    if before.was_well and look.well is False:
        return Complaint(SICK, f"says that it is unwell: {look.sick}")
    if look.problem:
        return Complaint(MUTE, f"can't be asked how it is: {look.problem}")
    if look.waits_s is not None and look.waits_s >= look_s:
        return Complaint(WAITS, f"has not answered a question for {look.waits_s:.0f} s")
    if look.counters and _is_stalled(before, look.counters):
        return Complaint(STALLED, f"makes no progress with {look.counters.pending} requests")
    return None


def is_busy(before: Standing, look: Look) -> bool:
    """It has work, and gets on with it."""
    return bool(look.counters and look.counters.pending and has_moved(before, look))


def has_moved(before: Standing, look: Look) -> bool:
    known = before.counters is not None and look.counters is not None
    return known and before.counters.moving != look.counters.moving  # type: ignore[union-attr]


def _is_stalled(before: Standing, now: RankCounters) -> bool:
    """It had work at the last look, too."""
    return before.counters is not None and before.counters.pending > 0 and now.pending > 0


def seen(before: Standing, look: Look) -> Standing:
    """What a look has shown of it, without a judgement."""
    return replace(
        before,
        was_well=_trusts_health(before, look),
        was_listed=before.was_listed or look.listed is True,
        counters=look.counters or before.counters,
    )


def _trusts_health(before: Standing, look: Look) -> bool:
    """A /health that says unwell while its rank answers isn't believed until it says well again."""
    if look.well is False and look.answered:
        return False
    return before.was_well or look.well is True


def _worse(before: Standing, look: Look, why: Complaint, patience: int) -> Standing:
    bad = before.bad + 1
    garbled = before.garbled + (why.kind == GARBLED)
    failed = garbled >= GARBLED_LOOKS if why.kind == GARBLED else bad >= patience
    health = replace(
        before.health,
        verdict=FAILED if failed else SUSPECT,
        kind=why.kind,
        why=why.words,
        since=before.health.since or look.time,
    )
    return replace(seen(before, look), health=health, bad=bad, garbled=garbled)


def as_new(health: RankHealth) -> RankHealth:
    return replace(health, verdict=HEALTHY, kind="", why="", since=0.0)

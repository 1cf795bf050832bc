"""What is measured next: a pure function of what was measured. Pure.

A launch takes minutes and a load seconds, so all loads of a deployment are measured while it runs.
A sweep begins at the predicted knee, goes outward, and closes in on the highest load that meets the
limits; no load is visited twice. Then knobs of the best are turned one by one, and the best is
repeated.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean

from dsr1.hosts.dataclass import dataclass
from dsr1.launcher.tuning.goal import Figures, TuneGoal, best, meets, score

CLOSE = 1.25
"""Loads that are nearer than this factor tell nothing new."""
GAIN = 1.05
"""More at once that gives less than this is a plateau."""
MOST_LOST = 3


@dataclass(frozen=True, slots=True, order=True)
class Task:
    """`repeat` 0 is the first time."""

    candidate: str
    concurrency: int
    repeat: int = 0


@dataclass(frozen=True, slots=True)
class Sweep:
    """A candidate, where its sweep begins, and its single knobs by name of the variant."""

    candidate: str
    start: int
    variants: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """`figures` None: it failed; `lost`: of the whole candidate, which doesn't start."""

    task: Task
    figures: Figures | None
    failure: str = ""
    lost: bool = False


@dataclass(frozen=True, slots=True)
class Allowance:
    """How many points for what: sweeps, knobs, repeats."""

    sweeps: int
    knobs: int
    repeats: int


@dataclass(frozen=True, slots=True)
class Done:
    why: str


def share_points(points: int) -> Allowance:
    """Of so many in all."""
    repeats = 0 if points < 5 else 1 if points < 12 else 2
    knobs = points // 5 if points >= 5 else 0
    return Allowance(points - knobs - repeats, knobs, repeats)


def decide_next(
    sweeps: Sequence[Sweep],
    outcomes: Sequence[Outcome],
    goal: TuneGoal,
    points: int,
) -> Task | Done:
    """`sweeps` in the order of their promise, `outcomes` in that of time: of the candidate that was
    measured last, and so may still run, all is measured first."""
    if len(outcomes) >= points:
        return Done(f"{points} points were wanted")
    if gone := _gone(outcomes):
        return Done(gone)
    share = share_points(points)
    swept = [one for one in outcomes if one.task.repeat == 0 and not _is_variant(sweeps, one)]
    if len(swept) < share.sweeps and (task := _sweep(sweeps, swept, goal, share)):
        return task
    return _polish(sweeps, outcomes, goal, share) or Done("nothing is left that would tell more")


def _is_variant(sweeps: Sequence[Sweep], outcome: Outcome) -> bool:
    return any(outcome.task.candidate in sweep.variants for sweep in sweeps)


def _gone(outcomes: Sequence[Outcome]) -> str:
    """Whether nothing starts at all."""
    lost = [one for one in outcomes if one.lost]
    if len(lost) >= MOST_LOST and not any(one.figures for one in outcomes):
        return f"{len(lost)} deployments didn't start, the last: {lost[-1].failure}"
    return ""


def _sweep(
    sweeps: Sequence[Sweep],
    outcomes: Sequence[Outcome],
    goal: TuneGoal,
    share: Allowance,
) -> Task | None:
    running = outcomes[-1].task.candidate if outcomes else ""
    tried = max(1, min(len(sweeps), max(2, share.sweeps // 3)))
    quota = max(1, share.sweeps // tried)
    order = sorted(sweeps[:tried], key=lambda one: one.candidate != running)
    spare = [*order, *sweeps[tried:]]
    for sweep, most in (*((one, quota) for one in order), *((one, share.sweeps) for one in spare)):
        own = [one for one in outcomes if one.task.candidate == sweep.candidate]
        if any(one.lost for one in own) or len(own) >= most:
            continue
        known = {one.task.concurrency: one.figures for one in own}
        if load := next_load(known, sweep.start, goal):
            return Task(sweep.candidate, load)
    return None


def next_load(known: Mapping[int, Figures | None], start: int, goal: TuneGoal) -> int:
    """0: no load would tell more. A load that failed met nothing."""
    if not known:
        return max(1, start)
    good = [load for load, one in known.items() if one and meets(goal, one)]
    bad = [load for load in known if load not in good]
    if not good:
        return min(known) // 2
    if not bad:
        return _outward(known, good)
    return _between(max(good), min([load for load in bad if load > max(good)], default=0), known)


def _outward(known: Mapping[int, Figures | None], good: Sequence[int]) -> int:
    """Upward until a plateau, then once downward: a front has two ends."""
    ordered = [one for load in sorted(good) if (one := known[load])]
    flat = len(ordered) > 1 and ordered[-1].tokens_s_gpu < GAIN * ordered[-2].tokens_s_gpu
    if not flat:
        return max(good) * 2
    return _below(known)


def _below(known: Mapping[int, Figures | None]) -> int:
    below = min(known) // 4
    return below if below >= 1 and len(known) < 4 else 0


def _between(good: int, bad: int, known: Mapping[int, Figures | None]) -> int:
    middle = round(math.sqrt(good * bad))
    if bad and bad / good > CLOSE and middle not in known:
        return middle
    return _below(known)


def merged(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """A load that was measured several times is the mean of them, with how far they lay apart."""
    groups: dict[tuple[str, int], list[Figures]] = {}
    for one in outcomes:
        if one.figures:
            groups.setdefault((one.task.candidate, one.task.concurrency), []).append(one.figures)
    return [Outcome(Task(*key), _mean(figures)) for key, figures in groups.items()]


def _mean(figures: Sequence[Figures]) -> Figures:
    if len(figures) == 1:
        return figures[0]
    rates = [one.tokens_s_gpu for one in figures]
    spread = f"{len(figures)} times, {(max(rates) / min(rates) - 1) * 100:.0f} % apart"
    return replace(
        figures[0],
        ttft_ms=fmean(one.ttft_ms for one in figures),
        itl_ms=fmean(one.itl_ms for one in figures),
        tokens_s_gpu=fmean(rates),
        tokens_s_user=fmean(one.tokens_s_user for one in figures),
        good_s_gpu=fmean(one.good_s_gpu for one in figures),
        notes=(*figures[0].notes, spread),
    )


def winner(outcomes: Sequence[Outcome], goal: TuneGoal) -> Outcome | None:
    """The best that was measured and meets the limits, repeats taken together."""
    measured = {id(one.figures): one for one in merged(outcomes)}
    found = best(goal, (one.figures for one in measured.values() if one.figures))
    return measured[id(found)] if found else None


def _polish(
    sweeps: Sequence[Sweep], outcomes: Sequence[Outcome], goal: TuneGoal, share: Allowance
) -> Task | None:
    """Knobs of the best mapping at its best load, then the best of all again."""
    plain = [one for one in outcomes if not _is_variant(sweeps, one)]
    base = winner(plain, goal)
    if base is None:
        return None
    tried = {one.task.candidate for one in outcomes}
    sweep = next(one for one in sweeps if one.candidate == base.task.candidate)
    open_knobs = [name for name in sweep.variants if name not in tried]
    turned = sum(_is_variant(sweeps, one) for one in outcomes)
    if open_knobs and turned < share.knobs:
        return Task(open_knobs[0], base.task.concurrency)
    first = winner(outcomes, goal) or base
    again = sum(one.task.repeat > 0 for one in outcomes)
    if again < share.repeats:
        return Task(first.task.candidate, first.task.concurrency, again + 1)
    return None


def promise(goal: TuneGoal, figures: Sequence[Figures]) -> tuple[bool, float]:
    """To sort by, the best last: whether the limits are met, and how well."""
    found = best(goal, figures)
    return (
        (True, score(goal, found)) if found else (False, max(one.tokens_s_gpu for one in figures))
    )

"""Which deployments of a space are measured, the most promising first. Pure."""

from collections.abc import Sequence
from dataclasses import replace

from dsr1.hosts.errors import InputError
from dsr1.launcher.recipe.load import Resolved
from dsr1.launcher.tuning.candidate import Candidate
from dsr1.launcher.tuning.estimate import curve, knee
from dsr1.launcher.tuning.goal import Figures, TuneGoal
from dsr1.launcher.tuning.knobs import variants
from dsr1.launcher.tuning.mapping.recipe import apply_changes
from dsr1.launcher.tuning.prediction.table import TimeTable
from dsr1.launcher.tuning.search import Sweep, promise
from dsr1.launcher.tuning.space import Space, deployments
from dsr1.launcher.tuning.store import Chosen, Prediction

MOST_SHOWN, MOST_SWEPT = 24, 8


def predict(
    space: Space, source: str, tables: dict[str, TimeTable], refused: dict[str, str], goal: TuneGoal
) -> Prediction:
    """The best split of hosts for each pair of mappings: prefill's rate matched to decode's."""
    found: dict[tuple[str, ...], tuple[Candidate, tuple[Figures, ...]]] = {}
    for candidate in (space.given, *deployments(space)):
        if any(part.mapping.label not in tables for part in candidate.parts):
            continue
        figures = curve(candidate, tables, goal)
        kind = ("given",) if candidate.is_given else _kind(candidate)
        if kind not in found or promise(goal, figures) > promise(goal, found[kind][1]):
            found[kind] = (candidate, figures)
    ordered = sorted(found.values(), key=lambda pair: promise(goal, pair[1]), reverse=True)
    return Prediction(source, tables, refused, {one.name: figures for one, figures in ordered})


def _kind(candidate: Candidate) -> tuple[str, ...]:
    return tuple(part.mapping.label for part in candidate.parts)


def choose(space: Space, prediction: Prediction, goal: TuneGoal, given: Resolved) -> Chosen:
    """The recipe as it is and a wide layout are always among the first three."""
    order = _ordered(space, prediction)
    wide = next((one for one in order if one.is_wide and not one.is_given), None)
    first = [order[0], space.given, *([wide] if wide else [])] if order else [space.given]
    picked: dict[str, Candidate] = {}
    for one in (*first, *order):
        picked.setdefault(_same(one), one)
    swept = list(picked.values())[:MOST_SWEPT]
    sweeps, candidates = [], list(swept)
    for one in swept:
        turned = _turned(one, given)
        candidates += turned
        sweeps.append(Sweep(one.name, _start(one, prediction, goal), tuple(v.name for v in turned)))
    return Chosen(tuple(candidates), tuple(sweeps))


def _same(candidate: Candidate) -> str:
    return candidate.name


def _ordered(space: Space, prediction: Prediction) -> list[Candidate]:
    """By promise; without a prediction the widest first, as the built-in recipes are."""
    by_name = {one.name: one for one in (*deployments(space), space.given)}
    if prediction.curves:
        return [by_name[name] for name in prediction.curves if name in by_name]
    return sorted(by_name.values(), key=lambda one: -max(part.mapping.gpus for part in one.parts))


def _turned(candidate: Candidate, given: Resolved) -> list[Candidate]:
    """Those whose recipe is one."""
    found = []
    for one in variants(candidate, apply_changes(given, candidate.changes).recipe):
        try:
            apply_changes(given, one.changes)
        except InputError:
            continue
        found.append(one)
    return found


def _start(candidate: Candidate, prediction: Prediction, goal: TuneGoal) -> int:
    """The predicted knee; without one eight sequences a rank of decode."""
    figures = prediction.curves.get(candidate.name)
    ranks = candidate.parts[-1].ranks
    return knee(goal, figures) if figures else 8 * ranks


def with_starts_of_most(sweeps: Sequence[Sweep], most: int) -> tuple[Sweep, ...]:
    """For a place that carries only so many at once."""
    return tuple(replace(one, start=min(one.start, most)) for one in sweeps)

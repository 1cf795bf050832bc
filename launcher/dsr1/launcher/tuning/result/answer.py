"""What a tuning came to: the front, the recipe, and a report of both. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from dsr1.hosts.dataclass import dataclass
from dsr1.launcher.tuning.candidate import Candidate
from dsr1.launcher.tuning.goal import (
    Figures,
    TuneGoal,
    best,
    closest,
    describe_excess,
    meets,
)
from dsr1.launcher.tuning.result.drawing import Series
from dsr1.launcher.tuning.search import Outcome, merged, winner
from dsr1.launcher.tuning.space import Dropped
from dsr1.launcher.tuning.store import Prediction

MOST_PREDICTED = 6


@dataclass(frozen=True, slots=True)
class FrontPoint:
    """A row of the answer. `source`: measured, predicted, or extrapolated. `on_front`: nothing of
    its source beats it in both."""

    candidate: str
    source: str
    figures: Figures
    meets: bool
    on_front: bool


@dataclass(frozen=True, slots=True)
class TuneAnswer:
    """`best` None: nothing that was measured (or, where nothing was, predicted) meets the limits;
    then `nearest` and how far it is from them."""

    best: FrontPoint | None
    nearest: FrontPoint | None
    excess: str
    rows: tuple[FrontPoint, ...]
    why_done: str


def make_answer(
    goal: TuneGoal, prediction: Prediction, outcomes: Sequence[Outcome], why_done: str
) -> TuneAnswer:
    together = merged(outcomes)
    measured = [(one.task.candidate, one.figures) for one in together if one.figures]
    predicted = [(name, one) for name, curve in prediction.curves.items() for one in curve]
    rows = (*_rows(goal, measured, "measured"), *_rows(goal, predicted, "predicted"))
    asked = [row for row in rows if row.source == "measured"] or list(rows)
    found = winner(together, goal)
    chosen = _row_of(asked, found) if found else _best_predicted(goal, asked, bool(measured))
    close = None if chosen else _nearest(goal, asked)
    excess = describe_excess(goal, close.figures) if close else ""
    return TuneAnswer(chosen, close, excess, rows, why_done)


def _rows(
    goal: TuneGoal, figures: Sequence[tuple[str, Figures]], source: str
) -> Iterator[FrontPoint]:
    front = {id(one) for one in pareto(one for _, one in figures)}
    for name, one in figures:
        is_guess = source == "predicted" and "extrapolated" in one.notes
        kind = "extrapolated" if is_guess else source
        yield FrontPoint(name, kind, one, meets(goal, one), id(one) in front)


def _row_of(rows: Sequence[FrontPoint], found: Outcome) -> FrontPoint:
    return next(row for row in rows if row.figures is found.figures)


def _best_predicted(
    goal: TuneGoal, rows: Sequence[FrontPoint], was_measured: bool
) -> FrontPoint | None:
    """Where nothing was measured."""
    if was_measured:
        return None
    names = {id(row.figures): row for row in rows if row.meets}
    found = best(goal, (row.figures for row in rows))
    return names[id(found)] if found else None


def _nearest(goal: TuneGoal, rows: Sequence[FrontPoint]) -> FrontPoint | None:
    found = closest(goal, [row.figures for row in rows])
    return next((row for row in rows if row.figures is found), None)


def series_of(answer: TuneAnswer) -> list[Series]:
    """All that was measured, and the best of what was predicted."""
    grouped: dict[tuple[str, str], list[Figures]] = {}
    for row in answer.rows:
        grouped.setdefault((row.source, row.candidate), []).append(row.figures)
    keys = [key for key in grouped if key[0] == "measured"]
    keys += [key for key in grouped if key[0] != "measured"][:MOST_PREDICTED]
    return [_series(source, name, grouped[source, name]) for source, name in keys]


def _series(source: str, name: str, figures: Sequence[Figures]) -> Series:
    ordered = sorted(figures, key=lambda one: one.concurrency)
    points = tuple((one.tokens_s_user, one.tokens_s_gpu) for one in ordered)
    return Series(name, points, source)


def answer_table(answer: TuneAnswer) -> list[tuple[str, ...]]:
    """A head and rows, as text: everything measured, what was predicted of the same deployments at
    their best, and the predicted front."""
    head = (
        "deployment",
        "source",
        "at once",
        "tok/s/GPU",
        "tok/s/user",
        "TTFT",
        "ITL",
        "limit",
        "",
    )
    measured = {row.candidate for row in answer.rows if row.source == "measured"}
    beside = [id(row) for name in measured for row in _best_of(name, answer.rows)]
    return [
        head,
        *(
            _cells(row, answer)
            for row in answer.rows
            if row.source == "measured" or row.on_front or id(row) in beside
        ),
    ]


def _best_of(name: str, rows: Sequence[FrontPoint]) -> list[FrontPoint]:
    """What was predicted of it where it is best within the limits, or comes nearest to them."""
    own = [row for row in rows if row.candidate == name and row.source != "measured"]
    met = [row for row in own if row.meets]
    return [max(met, key=lambda row: row.figures.tokens_s_gpu)] if met else own[:1]


def _cells(row: FrontPoint, answer: TuneAnswer) -> tuple[str, ...]:
    one = row.figures
    told = [note for note in one.notes if note.endswith("apart")]
    marks = ("best" if row == answer.best else "", "" if row.meets else "over the limits")
    return (
        row.candidate,
        row.source,
        str(one.concurrency),
        f"{one.tokens_s_gpu:.1f}",
        f"{one.tokens_s_user:.1f}",
        f"{one.ttft_ms:.0f} ms",
        f"{one.itl_ms:.1f} ms",
        one.limit,
        ", ".join(filter(None, (*marks, "front" if row.on_front else "", *told))),
    )


def render_tune_report(
    title: str,
    goal: TuneGoal,
    answer: TuneAnswer,
    prediction: Prediction,
    outcomes: Sequence[Outcome],
    dropped: Sequence[Dropped],
    notes: Sequence[str],
) -> str:
    """Markdown, with the SVG beside it."""
    parts = [
        f"# {title}",
        "",
        *_head(goal, answer, prediction, notes),
        "",
        "![front](front.svg)",
        "",
    ]
    parts += _markdown(answer_table(answer))
    failed = [one for one in outcomes if one.failure]
    if failed:
        parts += ["", "## Failed", ""]
        parts += [
            f"- {one.task.candidate}, {one.task.concurrency} at once: {one.failure}"
            for one in failed
        ]
    refused = prediction.refused.items()
    if refused:
        parts += ["", "## Not predicted", "", *(f"- {name}: {why}" for name, why in refused)]
    if dropped:
        parts += ["", "## Not tried", "", *(f"- {one.what}: {one.why}" for one in dropped)]
    return "\n".join(parts) + "\n"


def _head(
    goal: TuneGoal, answer: TuneAnswer, prediction: Prediction, notes: Sequence[str]
) -> Iterator[str]:
    limits = [
        f"{name} {limit:g} ms"
        for name, limit in (("TTFT", goal.ttft_ms), ("ITL", goal.itl_ms))
        if limit
    ]
    within = f", 90 % of the requests within {' and '.join(limits)}" if limits else ""
    tokens = f"Prompts of {goal.isl} tokens, answers of {goal.osl}"
    yield f"{tokens}{within}; objective {goal.objective}."
    yield f"Predicted by {prediction.source}." if prediction.source else "Nothing was predicted."
    yield from notes
    yield describe_best(answer)
    yield f"Done: {answer.why_done}." if answer.why_done else ""


def describe_best(answer: TuneAnswer) -> str:
    if answer.best:
        one = answer.best.figures
        return (
            f"Best: {answer.best.candidate} at {one.concurrency} at once, {answer.best.source}:"
            f" {one.tokens_s_gpu:.1f} tokens/s/GPU, {one.tokens_s_user:.1f} tokens/s/user."
        )
    if answer.nearest:
        near = answer.nearest
        return (
            f"Nothing meets the limits. The nearest: {near.candidate} at"
            f" {near.figures.concurrency} at once, {near.source}: {answer.excess}."
        )
    return "Nothing was measured or predicted."


def _markdown(table: Sequence[Sequence[str]]) -> Iterator[str]:
    for number, row in enumerate(table):
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"
        if number == 0:
            yield "|" + "---|" * len(row)


def whys_of(candidate: Candidate) -> Mapping[str, str]:
    """Of each key that it changes, by dotted keys."""
    return {
        one.key: f"was {'not given' if one.was is None else one.was}: {one.why}"
        for one in candidate.changes
    }


def pareto(figures: Iterable[Figures]) -> list[Figures]:
    """The front of tokens/s/GPU against tokens/s/user: those that no other beats in both, the
    fastest a user first."""
    front: list[Figures] = []
    for one in sorted(figures, key=lambda one: (-one.tokens_s_user, -one.tokens_s_gpu)):
        if not front or one.tokens_s_gpu > front[-1].tokens_s_gpu:
            front.append(one)
    return front

"""What a predictor is asked and what it answers, whichever it is. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, Protocol

from dsr1.hosts.dataclass import dataclass
from dsr1.launcher.tuning.mapping.label import ParallelMapping
from dsr1.launcher.tuning.prediction.table import TimeTable

BATCHES = (1, 8, 32, 128, 512)
"""Sequences of a rank that a step is asked for."""


@dataclass(frozen=True, slots=True)
class StepQuestion:
    """How long a step takes: `prefill` of prompts of `isl` tokens, or `decode` at that context.
    `batch` is of each rank."""

    phase: Literal["prefill", "decode"]
    data: int
    tensor: int
    experts: bool
    batch: int
    isl: int
    osl: int


StepTime = float | str
"""Milliseconds, or why there are none."""


class Predictor(Protocol):
    """`source`: what it is, with its version, for the report."""

    source: str

    def ask(self, questions: Sequence[StepQuestion]) -> list[StepTime]:
        """In the order of the questions."""
        ...


def questions_for(mapping: ParallelMapping, isl: int, osl: int) -> list[StepQuestion]:
    shape = (mapping.data, mapping.tensor, mapping.experts)
    prompts = sorted({max(1, isl // 4), isl})
    prefill = [StepQuestion("prefill", *shape, 1, tokens, osl) for tokens in prompts]
    return [*prefill, *(StepQuestion("decode", *shape, batch, isl, osl) for batch in BATCHES)]


def predict_mappings(
    predictor: Predictor, mappings: Iterable[ParallelMapping], isl: int, osl: int
) -> tuple[dict[str, TimeTable], dict[str, str]]:
    """By label: the tables, and why others have none."""
    asked = {one.label: questions_for(one, isl, osl) for one in mappings}
    flat = [question for questions in asked.values() for question in questions]
    answers = dict(zip(flat, predictor.ask(flat), strict=True))
    tables, refused = {}, {}
    for label, questions in asked.items():
        told = {question: answers[question] for question in questions}
        if made := _table(told):
            tables[label] = made
        else:
            refused[label] = next(str(one) for one in told.values() if isinstance(one, str))
    return tables, refused


def _table(answers: Mapping[StepQuestion, StepTime]) -> TimeTable | None:
    """None: a phase has no time at all. What fails at large batches alone leaves the others."""
    known = {question: ms for question, ms in answers.items() if not isinstance(ms, str)}
    prefill = [(float(one.isl), ms) for one, ms in known.items() if one.phase == "prefill"]
    decode = [(float(one.batch), ms) for one, ms in known.items() if one.phase == "decode"]
    return TimeTable(tuple(prefill), tuple(decode)) if prefill and decode else None

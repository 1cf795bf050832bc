"""What a tuning was asked, whole: a second one in the same folder must have been asked the same."""

from dataclasses import fields

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.errors import InputError
from dsr1.launcher.tuning.goal import TuneGoal

NOT_ASKED = ("points", "budget_s")
"""What may change when it goes on."""


@dataclass(frozen=True, slots=True)
class TuneQuestion:
    """`recipe` is the resolved one as JSON, `versions` of what measures and is measured. `hosts`
    are names; in a job `hosts` is empty. `budget_s` 0: no limit."""

    extends: str
    recipe: str
    hosts: tuple[str, ...]
    nodes: int
    gpu: str
    goal: TuneGoal
    points: int
    budget_s: float
    predictor: str
    place: str
    rehearsed: bool
    versions: tuple[str, ...] = ()


def refuse_other(before: TuneQuestion, now: TuneQuestion) -> None:
    """InputError: what was measured there answers another question."""
    for one in fields(TuneQuestion):
        old, new = getattr(before, one.name), getattr(now, one.name)
        if old == new or one.name in NOT_ASKED:
            continue
        shown = "" if one.name == "recipe" else f": was {old!r}, and is {new!r}"
        raise InputError(
            f"--resume: {one.name} isn't what this tuning was asked{shown}; give it as it was, or"
            " another --name"
        )

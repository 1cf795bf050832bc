"""What is looked for: the load, what an answer must meet, and what counts. Pure."""

from collections.abc import Iterable
from dataclasses import field

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.errors import InputError

OBJECTIVES = ("throughput", "latency", "goodput")
"""Most tokens/s/GPU; most tokens/s/user; most requests/s/GPU of those that meet the limits. Each
among loads that meet them."""


@dataclass(frozen=True, slots=True)
class TuneGoal:
    """Tokens of a prompt and of an answer. `ttft_ms` and `itl_ms`: what 90 % of the requests must
    meet; None: no limit."""

    isl: int
    osl: int
    ttft_ms: float | None = None
    itl_ms: float | None = None
    objective: str = "throughput"

    def check(self) -> None:
        """InputError names the option."""
        if self.objective not in OBJECTIVES:
            raise InputError(
                f"--objective {self.objective}: unknown; there are {', '.join(OBJECTIVES)}"
            )
        if self.isl < 1 or self.osl < 2:
            raise InputError(
                f"--isl {self.isl} --osl {self.osl}: a prompt has a token and an answer two, at"
                " least: between two tokens there is a time"
            )
        if self.objective == "goodput" and self.ttft_ms is None and self.itl_ms is None:
            raise InputError("--objective goodput: needs --ttft or --itl, which say what is good")


@dataclass(frozen=True, slots=True)
class Figures:
    """Of a deployment under one load, predicted or measured. `ttft_ms` and `itl_ms` of the 90th
    percentile, where they were measured. `good_s_gpu`: requests a second and GPU within limits.
    `limit`: what keeps it from more."""

    concurrency: int
    ttft_ms: float
    itl_ms: float
    tokens_s_gpu: float
    tokens_s_user: float
    good_s_gpu: float = 0.0
    limit: str = ""
    notes: tuple[str, ...] = field(default=())


def excess(goal: TuneGoal, figures: Figures) -> float:
    """How far above the limits, as a factor; 1 and less: they are met."""
    pairs = ((figures.ttft_ms, goal.ttft_ms), (figures.itl_ms, goal.itl_ms))
    return max((seen / wanted for seen, wanted in pairs if wanted), default=0.0)


def meets(goal: TuneGoal, figures: Figures) -> bool:
    return excess(goal, figures) <= 1


def score(goal: TuneGoal, figures: Figures) -> float:
    """More is better."""
    if goal.objective == "latency":
        return figures.tokens_s_user
    return figures.good_s_gpu if goal.objective == "goodput" else figures.tokens_s_gpu


def best(goal: TuneGoal, figures: Iterable[Figures]) -> Figures | None:
    """Of those that meet the limits; None: none does."""
    return max(
        (one for one in figures if meets(goal, one)), key=lambda one: score(goal, one), default=None
    )


def closest(goal: TuneGoal, figures: Iterable[Figures]) -> Figures | None:
    """Of those that don't meet them."""
    return min(figures, key=lambda one: excess(goal, one), default=None)


def describe_excess(goal: TuneGoal, figures: Figures) -> str:
    """`TTFT 2.4 s where 2 s is wanted`."""
    rows = (("TTFT", figures.ttft_ms, goal.ttft_ms), ("ITL", figures.itl_ms, goal.itl_ms))
    over = [
        f"{name} {seen:.0f} ms where {wanted:g} is wanted"
        for name, seen, wanted in rows
        if wanted and seen > wanted
    ]
    return " and ".join(over)

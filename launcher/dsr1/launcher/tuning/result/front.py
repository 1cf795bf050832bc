"""The Pareto front of tokens/s/GPU against tokens/s/user. Pure."""

from collections.abc import Iterable

from dsr1.launcher.tuning.goal import Figures


def pareto(figures: Iterable[Figures]) -> list[Figures]:
    """Those that no other beats in both, by tokens/s/user, the fastest first."""
    front: list[Figures] = []
    for one in sorted(figures, key=lambda one: (-one.tokens_s_user, -one.tokens_s_gpu)):
        if not front or one.tokens_s_gpu > front[-1].tokens_s_gpu:
            front.append(one)
    return front

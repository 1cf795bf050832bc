"""How often a run may be started again: a number in all, or in any time of some length, so that
health earns them back."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class RestartBudget:
    """`most` restarts, in any `within_s` seconds; None: in all. Times are monotonic."""

    most: int
    within_s: float | None = None
    taken_at: list[float] = field(default_factory=list)

    def take(self, now: float) -> bool:
        """Whether there is one left, which is then taken."""
        if self.within_s is not None:
            self.taken_at = [at for at in self.taken_at if now - at < self.within_s]
        if len(self.taken_at) >= self.most:
            return False
        self.taken_at.append(now)
        return True

"""How a run is: what its supervisor writes, and everybody reads."""

from collections.abc import Callable

from dsr1.hosts.dataclass import dataclass
from dsr1.launcher.health.verdicts import DEGRADED, READY, RankHealth
from dsr1.launcher.lifecycle.deployment import EngineUnit
from dsr1.launcher.run.ranks import RankTable
from dsr1.launcher.triage.judge import Cause
from dsr1.launcher.triage.render import render_cause

ENDED = ("stopped", "failed")
ABANDONED, UNSUPERVISED = "abandoned", "unsupervised"


@dataclass(frozen=True, slots=True)
class RunState:
    """How a run is. `phase`: queued, starting, ready, degraded, unavailable,
    stopping, stopped, failed. Seconds.

    Shown, never written: abandoned, whose launch died before it had started anything, and
    suspended, whose job is. `left`: what may still run. `cause`: the first cause of the
    failure, from the evidence of all hosts. `engines`: how each is, where they fail alone.
    `ailing`: ranks that seem unwell, or have failed, while it serves.
    """

    phase: str
    since: float
    ready_after: float | None = None
    reason: str = ""
    exit_code: int = 0
    ranks: RankTable = ()
    left: tuple[str, ...] = ()
    restarts: int = 0
    notes: tuple[str, ...] = ()
    cause: Cause | None = None
    ailing: tuple[RankHealth, ...] = ()
    engines: tuple[EngineUnit, ...] = ()

    @property
    def cause_lines(self) -> tuple[str, ...]:
        """The first cause, what to do about it, and the lines that matter."""
        return tuple(render_cause(self.cause)) if self.cause else ()

    @property
    def serves(self) -> bool:
        """Requests are answered, if perhaps not by every engine."""
        return self.phase in (READY, DEGRADED)

    @property
    def ended(self) -> bool:
        return self.phase in ENDED


OnState = Callable[[RunState], None]

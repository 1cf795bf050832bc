"""What is known of an engine, and how often it may be restarted."""

from dsr1.hosts.dataclass import dataclass
from dsr1.launcher.lifecycle.events import EngineOrder

DROWSY = ("falling asleep", "asleep", "waking")
RUNNING = ("starting", "asking", "serving", *DROWSY)
RESTING = ("down", "failed")
Orders = tuple[EngineOrder, ...]


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """At most `most` restarts, in any `within_s` seconds; None: in all. `backoff_s` before each."""

    most: int
    within_s: float | None
    backoff_s: float


@dataclass(frozen=True, slots=True)
class EngineState:
    """`hosts` are those of its plan, `unproven` those where something of it may live, `lost` those
    that can't be given orders, `leaving` those that it is to leave. `then` is what follows the
    proof of its end: a restart as the policy allows ("again"), "start", or "down". `number` counts
    the orders to end it, and `gently` tells whether the last gave its requests their time;
    `taken_at` are its restarts, and `since` its last change of phase, in seconds since the
    epoch; `asked_at` is that of the last order of somebody's."""

    hosts: tuple[str, ...]
    phase: str = "down"
    why: str = ""
    then: str = "again"
    unproven: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    leaving: tuple[str, ...] = ()
    number: int = 0
    gently: bool = False
    taken_at: tuple[float, ...] = ()
    since: float = 0.0
    asked_at: float = 0.0

    @property
    def is_running(self) -> bool:
        """Whether it is to have processes."""
        return self.phase in RUNNING

    @property
    def awaited(self) -> tuple[str, ...]:
        """The hosts that have to prove its end."""
        return tuple(host for host in self.unproven if host not in self.lost)


Step = tuple[EngineState, Orders]

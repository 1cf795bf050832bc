"""What ends a run, of all that a supervisor hears. Pure."""

import signal

from dsr1.hosts.errors import HostError, LaunchFailed
from dsr1.hosts.protocol.events import Ending, Exited, MemberDied
from dsr1.hosts.protocol.evidence import SPAWNED, kind_of
from dsr1.launcher.health.verdicts import HealthReport
from dsr1.launcher.run.agents import AgentLost, AgentTaken
from dsr1.launcher.run.liveness.watching import HAS_LEFT
from dsr1.launcher.run.supervision.messages import RanksUnfit, StopRequested, Superseded

# Seconds. What a process died of may be its host's end, and what ends an agent may be Slurm's order
# to stop, which it gives to a job's steps before the supervisor hears of it.
AFTER_EXIT_S, AFTER_ENDING_S = 0.5, 3.0
ENDED_BY_OTHERS = (0, None, -signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP)


def end_of(item: object) -> Exception | None:
    """None: it ends nothing. Only an order is a stop. A process that was asked to end follows the
    one that was not, or the order."""
    if isinstance(item, StopRequested):
        return item
    if isinstance(item, AgentLost | AgentTaken):
        return _end_of_watch(item)
    if isinstance(item, RanksUnfit):
        return LaunchFailed(f"it is not ready: {item.words}")
    if isinstance(item, HealthReport):
        return failure_of(item)
    if isinstance(item, Ending) and item.ordered:
        return StopRequested(item.reason)
    if isinstance(item, Ending):
        return HostError(f"{item.on} {item.reason}")
    if isinstance(item, Exited | MemberDied) and _is_failure(item):
        return LaunchFailed(item.words)
    return None


def _end_of_watch(item: AgentLost | AgentTaken) -> Exception:
    if isinstance(item, AgentTaken):
        return superseded(item)
    return HostError(f"{item.host} is lost: {item.why}")


def superseded(taken: AgentTaken) -> Superseded:
    return Superseded(f"{taken.host} is watched by {taken.by} now{HAS_LEFT}")


def _is_failure(item: Exited | MemberDied) -> bool:
    """What one without a name yet means for its process, that one decides."""
    nameless = isinstance(item, MemberDied) and kind_of(item.component) == SPAWNED
    return not item.requested and not nameless


def failure_of(report: HealthReport) -> LaunchFailed | None:
    """The one place that says what becomes of an engine that fails while its processes live: it
    counts as one that ended unasked."""
    failed = report.failed_engines
    return LaunchFailed("; ".join(map(report.words_of, failed))) if failed else None


def waits_s(item: object) -> float:
    """How long to wait for what says more of an end."""
    if isinstance(item, Ending) and not item.ordered:
        return AFTER_ENDING_S
    if isinstance(item, MemberDied):
        return AFTER_ENDING_S if item.code in ENDED_BY_OTHERS else 0.0
    return AFTER_EXIT_S if isinstance(item, Exited) else 0.0


def says_more(first: Exception, later: Exception) -> bool:
    """An order explains everything, and a host's end that of its processes."""
    if isinstance(later, StopRequested | Superseded):
        return True
    return isinstance(later, HostError) and not isinstance(first, HostError)

"""What an agent can be asked: one JSON object a line, `command` is the name of the class."""

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.protocol.http import HttpGet
from dsr1.hosts.protocol.process import Process


@dataclass(frozen=True, slots=True)
class Prepare:
    """Reserve the ports, and see whether there is room. Answered by Prepared."""


@dataclass(frozen=True, slots=True)
class Spawn:
    """Start these processes at once, in this order. Answered by a Spawned or an Exited for each."""

    processes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Stop:
    """End these processes, all when None. Answered by an Exited for each that ran, then one Gone
    that names them, with this `number`. `grace_s`: seconds from SIGTERM to SIGKILL, instead of what
    each process's plan says."""

    processes: tuple[str, ...] | None = None
    number: int = 0
    grace_s: float | None = None


@dataclass(frozen=True, slots=True)
class Replan:
    """These are the host's processes from now on. What runs stays as it was started."""

    processes: tuple[Process, ...]


@dataclass(frozen=True, slots=True)
class Quiet:
    """Everything is ready: stop following the logs."""


@dataclass(frozen=True, slots=True)
class Quit:
    """Start nothing more, and exit once every process is gone. Stops nothing itself. `reason` is
    why whoever ordered it did."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Tell this connection every event with a `seq` above `since`, past ones first."""

    since: int = 0


AgentCommand = Prepare | Replan | Spawn | Stop | Quiet | Quit | Subscribe | HttpGet

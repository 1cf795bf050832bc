"""What an agent tells: one JSON object a line, numbered, so that a reader can resume where it
stopped.

Every event has `seq` (1, 2, ...), `time` (seconds since the epoch on the agent's host) and `host`
beside its fields.
"""

import signal

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.protocol.http import HttpGot


@dataclass(frozen=True, slots=True)
class Finding:
    """A judgement of one thing on one host. `verdict`: PASS, WARN, FAIL, SKIP or UNKNOWN."""

    host: str
    check: str
    verdict: str
    seen: str
    wanted: str
    fix: str


@dataclass(frozen=True, slots=True)
class AgentUp:
    """The agent runs; `pid` and `boot_id` identify it."""

    pid: int
    boot_id: str


@dataclass(frozen=True, slots=True)
class Prepared:
    """What the run needs of the host was taken, or not: any FAIL means that nothing may be started
    on it."""

    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Spawned:
    """A process runs, in a session and group of its own: `pid` is also its process group."""

    process: str
    pid: int
    start_time: float


@dataclass(frozen=True, slots=True)
class Listening:
    """A process answers on its `listen_port`: it listens there, and says nothing of being
    unwell."""

    process: str


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a process's start has come, from its log. `rank` None: every rank of the process."""

    process: str
    phase: str
    rank: int | None = None
    done: int | None = None
    total: int | None = None


@dataclass(frozen=True, slots=True)
class Exited:
    """A process's main ended. `code` is its exit status, negative for a signal; `tail` its last log
    lines.

    `requested` tells whether its end had been asked for; `error` is why it could not even be
    started.
    """

    process: str
    code: int
    requested: bool
    tail: tuple[str, ...]
    error: str = ""

    @property
    def words(self) -> str:
        """Which process, how it ended, and its last lines."""
        if self.error:
            return f"{self.process} could not be started: {self.error}"
        lines = "\n".join(f"  {line}" for line in self.tail)
        return f"{self.process} ended {_how(self.code)}, unasked\n{lines}".rstrip()


@dataclass(frozen=True, slots=True)
class MemberNamed:
    """A member of a process's tree whose end would be a failure is watched, by this name: who it
    was is known when its end is told by a pid alone, as the kernel does."""

    process: str
    component: str
    pid: int


@dataclass(frozen=True, slots=True)
class MemberDied:
    """A member of a process's tree ended whose end is a failure: an EngineCore, a Worker, a
    coordinator, an API server. Its main notices seconds later. Fields: see ProcessDeath."""

    process: str
    component: str
    pid: int
    code: int | None
    requested: bool = False

    @property
    def words(self) -> str:
        """Which member of which process, and how it ended."""
        how = "nobody saw how" if self.code is None else _how(self.code)
        return f"{self.component} of {self.process} ended {how}, unasked"


@dataclass(frozen=True, slots=True)
class Ending:
    """The agent ends everything it has `on` its host. `ordered`: by an order to stop the run; else
    `reason` says by what else, as when the host shuts down."""

    on: str
    ordered: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Alive:
    """The agent's sign of life, to whoever listens; it isn't kept."""


@dataclass(frozen=True, slots=True)
class Restored:
    """Files of the agent `on` a host had vanished, and were put back."""

    on: str
    folder: str


@dataclass(frozen=True, slots=True)
class DiskFull:
    """There is hardly any room left for logs and records `on` a host."""

    on: str
    folder: str
    free_bytes: int


@dataclass(frozen=True, slots=True)
class Gone:
    """After a stop: nothing of these processes' groups is alive. `left` names what could not be
    ended; `number` is that of the order, 0 where there was none. `spared`: processes that live with
    a copy of the run's environment, and weren't started by it."""

    processes: tuple[str, ...]
    left: tuple[str, ...] = ()
    number: int = 0
    spared: tuple[str, ...] = ()


def _how(code: int) -> str:
    """Real-time signals have no name."""
    if code >= 0:
        return f"with exit code {code}"
    return f"by signal {next((known.name for known in signal.Signals if known == -code), -code)}"


Event = (
    AgentUp
    | Prepared
    | Spawned
    | Listening
    | Progress
    | Exited
    | MemberNamed
    | MemberDied
    | Gone
    | Ending
    | Alive
    | Restored
    | DiskFull
    | HttpGot
)

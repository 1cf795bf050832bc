"""One process of a plan: everything that an agent must know to start it, watch it and end it."""

import time

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.protocol.marks import AgentIdentity


@dataclass(frozen=True, slots=True)
class Variable:
    """An environment variable and where its value came from ("recipe runtime.env", "route to
    10.0.0.1 (facts)")."""

    name: str
    value: str
    source: str


@dataclass(frozen=True, slots=True)
class SecretVariable:
    """A variable whose value is never in a plan: the text of the agent's own file of that name, or
    its path."""

    name: str
    file: str
    as_path: bool = False


@dataclass(frozen=True, slots=True)
class PhaseRule:
    """A line of a process's log that says how far a start has come.

    `pattern` is searched in every line. Its named groups are optional: `rank` (global DP rank;
    absent: every rank of the process), `done` and `total` (a counter within the phase). It counts
    only once a line with `after` has been seen, where that is given.
    """

    phase: str
    pattern: str
    after: str = ""


@dataclass(frozen=True, slots=True)
class Process:
    """One command to run on a host.

    `name` is unique in the plan and fit for a file name. Processes that share a `group` live and
    die together: an engine's on all its hosts. `wave` orders the start: a wave begins once every
    process of the earlier ones is `spawned`, and answers on its `listen_port`, if it has one.
    `ports` are every TCP port that it binds on its host. `secrets` name the agent's own files.
    `grace_s` is the time in seconds between SIGTERM and SIGKILL.
    """

    name: str
    group: str
    host: str
    argv: tuple[str, ...]
    env: tuple[Variable, ...] = ()
    ranks: tuple[int, ...] = ()
    ports: tuple[int, ...] = ()
    phases: tuple[PhaseRule, ...] = ()
    wave: int = 0
    listen_port: int | None = None
    grace_s: float = 10.0
    secrets: tuple[SecretVariable, ...] = ()


@dataclass(frozen=True, slots=True)
class Origin:
    """Who launched a run: the user, the launching host, and when, in seconds since the epoch."""

    user: str = ""
    host: str = ""
    since: float = 0.0

    @property
    def words(self) -> str:
        since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(self.since))
        return f"{self.user} on {self.host} since {since}" if self.user else ""


@dataclass(frozen=True, slots=True)
class HostPlan:
    """One host's part of a plan: what its agent is given. `logs` is a folder for the logs, if not
    the agent's own.

    `free_bytes` must be free below the agent's folder. `run_id` is the run's identity, see Plan.
    `beat_s` is how often the agent gives a sign of life, in seconds. An agent that nobody has
    listened to for `orphaned_s` ends what it has while that starts; what serves it keeps, unless
    `orphans` is "end". A process's log is bounded to `log_most_bytes` (0: not), and `log_keep`
    older parts of it.
    """

    run: str
    host: str
    address: str
    processes: tuple[Process, ...]
    free_bytes: int = 64 * 2**20
    logs: str = ""
    run_id: str = ""
    origin: Origin = Origin()
    beat_s: float = 5.0
    orphans: str = "keep"
    orphaned_s: float = 600.0
    log_most_bytes: int = 0
    log_keep: int = 2

    @property
    def identity(self) -> AgentIdentity:
        return AgentIdentity(self.run_id, self.host)

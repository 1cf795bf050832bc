"""One process of a plan: everything that an agent must know to start it, watch it and end it."""

from dataclasses import dataclass


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
class HostPlan:
    """One host's part of a plan: what its agent is given. `logs` is a folder for the logs, if not
    the agent's own.

    `free_bytes` must be free below the agent's folder. `run_id` is the run's identity, see Plan.
    """

    run: str
    host: str
    address: str
    processes: tuple[Process, ...]
    free_bytes: int = 64 * 2**20
    logs: str = ""
    run_id: str = ""

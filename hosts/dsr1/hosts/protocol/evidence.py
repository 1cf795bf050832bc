"""What a host shows of a failure, before anything on it is ended: observed, never judged."""

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.protocol.events import Event, Exited, MemberDied
from dsr1.hosts.protocol.log_scan import UNREAD, LogPattern, LogScan

SPAWNED = "spawned"
"""A component that has no name yet: Python's multiprocessing started it, and vLLM imports for
seconds before it names one. Its end is evidence, but its parent decides whether it is a failure."""


def kind_of(component: str) -> str:
    """Without its ranks: Worker of Worker_DP1_EP1."""
    return component.partition("_")[0]


@dataclass(frozen=True, slots=True)
class ProcessRanks:
    """A process of a host, the engine that it is of, and its global DP ranks."""

    name: str
    engine: str
    ranks: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class EvidenceRequest:
    """`within_s`: what came longer ago than so many seconds has nothing to do with the failure. A
    span, since clocks of two hosts differ, and may be set. `hang`: nothing has ended, so there is
    time to ask what everybody is in the middle of."""

    patterns: tuple[LogPattern, ...]
    ranks: tuple[ProcessRanks, ...]
    within_s: float
    hang: bool = False


@dataclass(frozen=True, slots=True)
class ProcessDeath:
    """The end of a member of a process's tree. `component` is vLLM's name for it (EngineCore_DP0,
    Worker ...), or `main`. `code` is its exit status, negative for a signal, None where nobody
    could read it. `time` is seconds since the epoch by the host's clock. `requested`: after our own
    order to end it. `error` says that it could not even be started, and why.
    """

    process: str
    component: str
    pid: int
    code: int | None
    time: float
    requested: bool = False
    error: str = ""


@dataclass(frozen=True, slots=True)
class MemberState:
    """A member of a process's tree that lives. `state` is /proc's letter (R, S, D, T, Z),
    `waits_in` the kernel's function, `stack` the innermost frames first, where they could be had:
    of Python, else of the kernel.
    """

    process: str
    component: str
    pid: int
    state: str
    waits_in: str = ""
    stack: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ProcessLog:
    """A process's log, scanned."""

    of: ProcessRanks
    scan: LogScan


@dataclass(frozen=True, slots=True)
class KernelLine:
    time: float
    text: str


@dataclass(frozen=True, slots=True)
class GpuState:
    """None: NVML doesn't tell. `pids` use it; `problem` says why it can't be asked, as when it has
    fallen off the bus."""

    index: int
    pids: tuple[int, ...] = ()
    used_bytes: int | None = None
    total_bytes: int | None = None
    busy_percent: int | None = None
    ecc_uncorrected: int | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class CollectiveState:
    """How far a rank has come in a process group, by torch's flight recorder: the numbers of the
    last collective that it began and of the last that it has done, and its name."""

    rank: int
    group: str
    begun: int
    done: int
    name: str
    file: str


@dataclass(frozen=True, slots=True)
class HostEvidence:
    """`now`: the host's clock when it looked. `ahead_s`: how far the host's clock is ahead of ours.
    `utc_offset_s`: what its local time, in which vLLM writes, is ahead of UTC. `lost` says why the
    host could not be asked, `late` that it did not answer in time, `rebooted` that its boot id is
    another, `hang` that nothing ended. `full` are folders without room. `problems` is what could
    not be looked at.
    """

    host: str
    now: float = 0.0
    ahead_s: float = 0.0
    utc_offset_s: float = 0.0
    lost: str = ""
    late: bool = False
    rebooted: bool = False
    hang: bool = False
    oom_kills: int = 0
    full: tuple[str, ...] = ()
    deaths: tuple[ProcessDeath, ...] = ()
    members: tuple[MemberState, ...] = ()
    logs: tuple[ProcessLog, ...] = ()
    kernel: tuple[KernelLine, ...] = ()
    gpus: tuple[GpuState, ...] = ()
    collectives: tuple[CollectiveState, ...] = ()
    problems: tuple[str, ...] = ()

    def log_of(self, process: str) -> ProcessLog:
        """An unread one of no engine, where there is none."""
        known = (log for log in self.logs if log.of.name == process)
        return next(known, ProcessLog(ProcessRanks(process, "", ()), UNREAD))


def death_of(event: Event, time: float) -> ProcessDeath | None:
    """What an event tells of the end of a process. `time`: of the event, in seconds since the
    epoch. None: it tells of no end."""
    match event:
        case MemberDied(process, component, pid, code, requested):
            return ProcessDeath(process, component, pid, code, time, requested)
        case Exited(process, code, requested, _, error):
            return ProcessDeath(process, "main", 0, code, time, requested, error)
    return None

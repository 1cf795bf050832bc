"""What happens to an engine, and what is to be done about it."""

from dsr1.hosts.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Begin:
    """It is to be started."""


@dataclass(frozen=True, slots=True)
class Started:
    """All its processes run, and what listens does so."""


@dataclass(frozen=True, slots=True)
class Answered:
    """Every rank of it is registered and has answered."""


@dataclass(frozen=True, slots=True)
class Failed:
    """Something of it died, hangs, answers wrongly, is late or isn't registered any more."""

    why: str


@dataclass(frozen=True, slots=True)
class HostLost:
    """One of its hosts can't be reached, goes down, or has no agent any more."""

    host: str
    why: str


@dataclass(frozen=True, slots=True)
class Ended:
    """A host has proven that nothing of it is alive there, after the order to end of this number:
    an older proof says nothing of what was started since."""

    host: str
    number: int


@dataclass(frozen=True, slots=True)
class NotEnded:
    """Something of it can't be ended on a host, and why."""

    host: str
    number: int
    why: str


@dataclass(frozen=True, slots=True)
class Due:
    """The time is over that was to be waited."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A host that was lost is whole again, with nothing of the run on it, or another has taken its
    place; what may still live on the old one is the deployment's to end."""

    lost: str
    host: str


@dataclass(frozen=True, slots=True)
class NotPlaced:
    """No host is there for one that is lost."""

    why: str


@dataclass(frozen=True, slots=True)
class RestartAsked:
    """Somebody wants it restarted; its requests get their time. `at` tells this order from
    others."""

    why: str
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class MoveAsked:
    """Somebody wants it away from a host; its requests get their time."""

    host: str
    why: str
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class StopAsked:
    """Somebody wants it ended, and not started again; its requests get their time."""

    why: str
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class SleepAsked:
    """Somebody wants all ranks of it asleep; its requests get their time."""

    why: str
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class WakeAsked:
    """Somebody wants all ranks of it awake."""

    why: str
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class Asleep:
    """All ranks of it are."""


@dataclass(frozen=True, slots=True)
class NotAsleep:
    """Not all ranks of it are, and why."""

    why: str


@dataclass(frozen=True, slots=True)
class Awake:
    """All ranks of it are."""


@dataclass(frozen=True, slots=True)
class StartProcesses:
    """Start its processes."""


@dataclass(frozen=True, slots=True)
class Ask:
    """Wait until it is registered, then ask every rank. Answered by Answered or Failed."""


@dataclass(frozen=True, slots=True)
class End:
    """End its processes on these hosts, and prove it. Answered by Ended or NotEnded of each, or by
    HostLost. `gently`: its requests get their time."""

    hosts: tuple[str, ...]
    number: int
    gently: bool = False


@dataclass(frozen=True, slots=True)
class Wait:
    """Answered by Due, so many seconds later."""

    seconds: float


@dataclass(frozen=True, slots=True)
class FindHosts:
    """Find hosts for those that are lost. Answered by a Placed for each, or by NotPlaced."""

    lost: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PutToSleep:
    """All ranks of it, once its requests are done or have had their time. Answered by Asleep or
    NotAsleep."""


@dataclass(frozen=True, slots=True)
class Wake:
    """All ranks of it. Answered by Awake, or by Failed."""


HostEvent = HostLost | Ended | NotEnded | Placed | NotPlaced
AskedEvent = RestartAsked | MoveAsked | StopAsked | SleepAsked | WakeAsked
OwnEvent = Begin | Started | Answered | Failed | Due | Asleep | NotAsleep | Awake
EngineEvent = OwnEvent | AskedEvent | HostEvent
EngineOrder = StartProcesses | Ask | End | Wait | FindHosts | PutToSleep | Wake

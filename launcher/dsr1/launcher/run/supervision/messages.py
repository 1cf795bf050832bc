"""What a supervisor's own threads, and whoever asks for its end, put into its queue beside the
agents' events."""

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.protocol.events import DiskFull, Restored
from dsr1.launcher.health.ready import FirstAnswers
from dsr1.launcher.lifecycle.events import End, EngineEvent
from dsr1.launcher.triage.judge import Cause


class StopRequested(Exception):
    """Somebody asked for the end of the run; the words say why."""


class Superseded(Exception):
    """Another supervisor watches the run, and it is that one's now; the words say whose."""


@dataclass(frozen=True, slots=True)
class ServiceReady:
    """Every rank has answered; put into the queue by the prober, with the answers."""

    first: FirstAnswers


@dataclass(frozen=True, slots=True)
class StillMissing:
    """Why there is no answer yet; put into the queue by the prober."""

    words: str


@dataclass(frozen=True, slots=True)
class NoteAdded:
    """What was done beside the start; put into the queue by the harvester."""

    words: tuple[str, ...]


class FolderGone(Exception):
    """The run's folder was removed on the launching machine."""


@dataclass(frozen=True, slots=True)
class EngineHeard:
    """What befell an engine, beside what agents tell; put into the queue by its orders' threads and
    timers."""

    engine: str
    event: EngineEvent


@dataclass(frozen=True, slots=True)
class EvidenceTaken:
    """A failure's evidence is taken: its engine may be ended."""

    engine: str
    order: End
    cause: Cause | None


@dataclass(frozen=True, slots=True)
class HostPlaced:
    """An agent is on a host, for one that was lost; put into the queue by the thread that looked
    for it."""

    lost: str
    host: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HostNotPlaced:
    """There is no host for one that was lost, and why."""

    lost: str
    why: str


@dataclass(frozen=True, slots=True)
class HostLeft:
    """A host that was given up has proven that nothing of the run is there."""

    host: str


@dataclass(frozen=True, slots=True)
class RanksUnfit:
    """Ranks that don't answer as they should, again and again, before the deployment is ready; put
    into the queue by the prober."""

    words: str


def notes_of(item: object) -> tuple[str, ...]:
    """What a run's state keeps of it, in words."""
    if isinstance(item, HostPlaced):
        return item.notes
    if isinstance(item, NoteAdded):
        return tuple(item.words)
    if isinstance(item, Restored):
        return (f"{item.on}: {item.folder} had been emptied, and was put back",)
    if isinstance(item, DiskFull):
        return (f"{item.on}: {item.folder}: {item.free_bytes >> 10} KiB are left there",)
    return ()

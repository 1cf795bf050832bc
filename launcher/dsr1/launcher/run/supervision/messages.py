"""What a supervisor's own threads, and whoever asks for its end, put into its queue beside the
agents' events."""

from dataclasses import dataclass

from dsr1.hosts.protocol.events import DiskFull, Restored
from dsr1.launcher.health.ready import FirstAnswers


class StopRequested(Exception):
    """Somebody asked for the end of the run; the words say why."""


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
class RanksUnfit:
    """Ranks that don't answer as they should, again and again, before the deployment is ready; put
    into the queue by the prober."""

    words: str


def notes_of(item: object) -> tuple[str, ...]:
    """What a run's state keeps of it, in words."""
    if isinstance(item, NoteAdded):
        return tuple(item.words)
    if isinstance(item, Restored):
        return (f"{item.on}: {item.folder} had been emptied, and was put back",)
    if isinstance(item, DiskFull):
        return (f"{item.on}: {item.folder}: {item.free_bytes >> 10} KiB are left there",)
    return ()

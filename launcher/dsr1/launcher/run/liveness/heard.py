"""What an agent's events tell of its processes: pure."""

from collections.abc import Iterable

from dsr1.hosts.protocol.events import Event, Exited, Gone, Spawned


class HeardProcesses:
    """Of one agent. A process whose main has ended may have left others behind: until they are
    proven gone nobody knows but the host."""

    def __init__(self, running: Iterable[str] = ()) -> None:
        """`running`: those that were seen before the first event."""
        self._living = dict.fromkeys(running)
        self._unsure: set[str] = set()

    def hear(self, event: Event) -> None:
        match event:
            case Spawned(name):
                self._living[name] = None
                self._unsure.discard(name)
            case Exited(name) if name in self._living:
                del self._living[name]
                self._unsure.add(name)
            case Gone(names, left):
                for name in names:
                    self._living.pop(name, None)
                self._unsure = self._unsure - {*names} | {*left}

    @property
    def living(self) -> tuple[str, ...] | None:
        """Names, as they were started. None: the host has to be asked."""
        return None if self._unsure else tuple(self._living)

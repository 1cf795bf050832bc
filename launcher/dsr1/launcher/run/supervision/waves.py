"""A start in waves: a leader's process before the others', etcd before all."""

from collections.abc import Sequence

from dsr1.hosts.protocol.commands import Spawn
from dsr1.hosts.protocol.events import Listening, Spawned
from dsr1.hosts.protocol.process import Process
from dsr1.launcher.run.agents import Agents


class WavedStart:
    """What a start waits for: a wave begins once all of the earlier one runs, and listens."""

    def __init__(self, processes: Sequence[Process]) -> None:
        waves = sorted({process.wave for process in processes})
        self._ahead = [[one for one in processes if one.wave == wave] for wave in waves]
        self._waiting: set[tuple[type, str]] = set()

    def next_wave(self) -> list[Process]:
        """To be started now. Empty: all is."""
        wave = self._ahead.pop(0) if self._ahead else []
        self._waiting = {(Spawned, one.name) for one in wave}
        self._waiting |= {(Listening, one.name) for one in wave if one.listen_port}
        return wave

    def is_there(self, item: object) -> bool:
        """Whether the wave is, with what was heard."""
        if not isinstance(item, Spawned | Listening):
            return False
        awaited = (type(item), item.process) in self._waiting
        self._waiting.discard((type(item), item.process))
        return awaited and not self._waiting


def send_spawns(agents: Agents, wave: Sequence[Process]) -> None:
    """Each host gets one order."""
    for host in dict.fromkeys(process.host for process in wave):
        agents.send(host, Spawn(tuple(one.name for one in wave if one.host == host)))

"""Tells the end of a lasting member of a process's tree (EngineCore, Worker ...) the moment it
happens, within an agent's loop."""

from collections.abc import Callable

from dsr1.hosts.agent.process.cgroup import KillCount
from dsr1.hosts.agent.process.owner import ProcessOwner
from dsr1.hosts.agent.process.timers import Timers
from dsr1.hosts.agent.process.tree_watch import TreeWatch
from dsr1.hosts.protocol.events import Event, MemberDied, MemberNamed

STARTING_S, SERVING_S = 0.2, 1.0  # between two looks for new members and new names


class MemberWatch:
    """`collect` is to be called when `fileno` is readable."""

    def __init__(
        self, owner: ProcessOwner, tell: Callable[[Event], None], timers: Timers, kills: KillCount
    ) -> None:
        self._owner, self._tell, self._timers, self._kills = owner, tell, timers, kills
        kills.note()
        self._tree, self._every_s = TreeWatch(), STARTING_S
        self.fileno = self._tree.fileno
        timers.after(STARTING_S, self._scan)

    def calm(self) -> None:
        """All has started: new members are rare from now on."""
        self._every_s = SERVING_S

    def hurry(self) -> None:
        """Something was started: new members come."""
        self._every_s = STARTING_S

    def collect(self) -> None:
        """A main that is gone is known first: its members follow it."""
        self._owner.reap()
        for death in self._tree.collect():
            requested = self._owner.is_ending(death.process)
            self._tell(MemberDied(death.process, death.component, death.pid, death.code, requested))

    def _scan(self) -> None:
        self._look()
        self._timers.after(self._every_s, self._scan)

    def _look(self) -> None:
        self._kills.note()
        if mains := self._owner.running():
            for member in self._tree.look_for_members(mains):
                self._tell(MemberNamed(member.process, member.component, member.pid))

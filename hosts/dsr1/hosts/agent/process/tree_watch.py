"""Watches the whole tree of each process: which member ended first, when, and how.

A main process notices late that its EngineCore or Worker is gone (six to nine seconds were seen),
and then tells of its own exit alone. A pidfd for each member is readable the moment it ends.
"""

import errno
import os
import select
import time
from collections.abc import Mapping
from dataclasses import replace

from dsr1.hosts.agent.process.exit_status import exit_code_of
from dsr1.hosts.agent.process.member_name import LASTING, component_of, with_rank
from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.protocol.evidence import SPAWNED, ProcessDeath, kind_of
from dsr1.hosts.protocol.identity import read_stat

CRASHES = (-4, -5, -6, -7, -8, -9, -11, -31)
"""Exit codes, by signals that nobody asks a process to end with, but for SIGKILL."""


@dataclass(frozen=True, slots=True)
class Member:
    """A process below a main one. `parents_name` is its parent's component: a child of a Worker has
    its parent's title until it runs something else, and is a helper for as long."""

    process: str
    component: str
    pid: int
    pidfd: int
    parent: int
    parents_name: str = ""

    @property
    def lasting(self) -> bool:
        """Whether its end is a failure."""
        own = kind_of(self.component) != kind_of(self.parents_name)
        return own and bool(LASTING.match(self.component))

    @property
    def nameless(self) -> bool:
        """It becomes a lasting one when it has imported vLLM: a main's or an EngineCore's child."""
        return kind_of(self.component) == SPAWNED and kind_of(self.parents_name) != "Worker"


class TreeWatch:
    """`fileno` is readable when a member has ended."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._members: dict[int, Member] = {}
        self._seen: set[int] = set()
        self._owners: dict[int, str] = {}  # processes by pid, of mains and members

    def fileno(self) -> int:
        return self._epoll.fileno()

    def look_for_members(self, mains: Mapping[str, int]) -> list[Member]:
        """`mains`: pids by process. Gives the lasting members that have got another name since. Of
        /proc only what is new is read: about a millisecond where thousands of processes run."""
        if not set(mains.values()) <= self._owners.keys():
            self._seen.clear()
        self._owners.update({pid: process for process, pid in mains.items()})
        there = {int(name) for name in os.listdir("/proc") if name.isdigit()}  # noqa: PTH208 - thousands of Paths
        found = [stat for pid in there - self._seen if (stat := read_stat(pid)) and stat.alive]
        self._seen = there
        self._owners = {pid: owner for pid, owner in self._owners.items() if pid in there}
        self._adopt({stat.pid: stat.ppid for stat in found})
        return self._name_members()

    def collect(self) -> list[ProcessDeath]:
        """The members that ended since the last call and whose end matters."""
        ended = [self._members.pop(fd) for fd, _ in self._epoll.poll(0)]
        deaths = [death for member in ended if (death := _death(member))]
        for member in ended:
            self._owners.pop(member.pid, None)
            self._epoll.unregister(member.pidfd)
            os.close(member.pidfd)
        return deaths

    def close(self) -> None:
        for member in self._members.values():
            os.close(member.pidfd)
        self._members.clear()
        self._epoll.close()

    def _adopt(self, parents: Mapping[int, int]) -> None:
        """Round by round, since a new one may be another new one's parent."""
        left = {pid: parent for pid, parent in parents.items() if pid not in self._owners}
        while of_ours := [pid for pid, parent in left.items() if parent in self._owners]:
            for pid in of_ours:
                self._watch(self._owners[left[pid]], pid, left.pop(pid))

    def _watch(self, process: str, pid: int, parent: int) -> None:
        try:
            pidfd = os.pidfd_open(pid)
        except OSError as error:
            if error.errno == errno.ESRCH:
                return
            raise
        self._owners[pid] = process
        self._members[pidfd] = Member(process, "", pid, pidfd, parent)
        self._epoll.register(pidfd, select.EPOLLIN)

    def _name_members(self) -> list[Member]:
        """A member names itself only some time after it has begun."""
        news = [named for member in self._members.values() if (named := _named(member)) != member]
        self._members.update({member.pidfd: member for member in news})
        return [member for member in news if member.lasting]


def _named(member: Member) -> Member:
    """As it is called now. One that is going keeps its name: the kernel knows only its beginning,
    and then nothing."""
    name, known = component_of(member.pid), member.component
    if LASTING.match(known) and (known.startswith(name) or not LASTING.match(name)):
        return member
    parents_name = component_of(member.parent) or member.parents_name
    known_as = with_rank(name, parents_name) if name else known
    return replace(member, component=known_as, parents_name=parents_name)


def _death(member: Member) -> ProcessDeath | None:
    now, code = time.time(), exit_code_of(member.pid, member.pidfd)
    if not member.lasting and not member.nameless:
        member = _named(member)
    if member.lasting or (member.nameless and code in CRASHES):
        return ProcessDeath(member.process, member.component, member.pid, code, now)
    return None

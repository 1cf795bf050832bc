"""Watches the whole tree of each process: which member ended first, when, and how.

A main process notices late that its EngineCore or Worker is gone (six to nine seconds were seen),
and then tells of its own exit alone. A pidfd for each member is readable the moment it ends; it
tells the exit status on Linux 6.15 and later. Before that it is read from /proc, as long as the
parent has not collected it.
"""

import errno
import fcntl
import os
import re
import select
import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from dsr1.hosts.agent.process.procfs import ProcessTable, descendants, read_process_table
from dsr1.hosts.protocol.evidence import ProcessDeath

INFO = struct.Struct("QQ11Ii")  # struct pidfd_info of linux/pidfd.h, its first version
EXIT = 1 << 3  # PIDFD_INFO_EXIT
GET_INFO = 3 << 30 | INFO.size << 16 | 0xFF << 8 | 11  # PIDFD_GET_INFO
EXIT_CODE_FIELD = 49  # of /proc/PID/stat behind the name: exit_code, proc(5) field 52
_TITLE = re.compile(r"VLLM::(\S+)")  # vLLM names its processes so


# Those that live as long as their process. All others come and go: compilers, shells, resource
# trackers, pools of torch.compile.
LASTING = re.compile(r"(EngineCore|Worker|DPCoordinator|A[Pp][Ii]Server)(_|\Z)")


@dataclass(frozen=True, slots=True)
class Member:
    """A process below a main one. `parents_name` is its parent's component: a child of a Worker has
    its parent's title until it runs something else, and is a helper for as long."""

    process: str
    component: str
    pid: int
    pidfd: int
    parent: int = 0
    parents_name: str = ""

    @property
    def lasting(self) -> bool:
        """Whether its end is a failure."""
        return bool(LASTING.match(self.component)) and self.component != self.parents_name


class TreeWatch:
    """`fileno` is readable when a member has ended. `deaths` are those of lasting members, oldest
    first."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._members: dict[int, Member] = {}
        self._known: set[tuple[int, float]] = set()
        self.deaths: list[ProcessDeath] = []

    def fileno(self) -> int:
        return self._epoll.fileno()

    def look_for_members(self, mains: Mapping[str, int], table: ProcessTable | None = None) -> None:
        """`mains`: pids by process. A scan of /proc: once a second while a run starts is enough,
        and every ten seconds later."""
        found = read_process_table() if table is None else table
        self._name_members()
        for process, main in mains.items():
            for pid in descendants(found, {main}):
                identity = (pid, found[pid].start_time)
                if identity not in self._known:
                    self._known.add(identity)
                    self._watch(process, pid, found[pid].ppid)

    def collect(self) -> list[ProcessDeath]:
        """The members that ended since the last call and whose end is a failure."""
        ended = [self._members.pop(fd) for fd, _ in self._epoll.poll(0)]
        deaths = [_death(member) for member in ended if member.lasting]
        for member in ended:
            self._epoll.unregister(member.pidfd)
            os.close(member.pidfd)
        self.deaths.extend(deaths)
        return deaths

    def close(self) -> None:
        for member in self._members.values():
            os.close(member.pidfd)
        self._members.clear()
        self._epoll.close()

    def _name_members(self) -> None:
        """A member names itself only some time after it has begun."""
        for fd, member in self._members.items():
            name = component_of(member.pid)
            if name and name != member.component:
                parents_name = component_of(member.parent)
                self._members[fd] = replace(member, component=name, parents_name=parents_name)

    def _watch(self, process: str, pid: int, parent: int) -> None:
        try:
            pidfd = os.pidfd_open(pid)
        except OSError as error:
            if error.errno == errno.ESRCH:
                return
            raise
        names = (component_of(pid), component_of(parent))
        self._members[pidfd] = Member(process, names[0], pid, pidfd, parent, names[1])
        self._epoll.register(pidfd, select.EPOLLIN)


def component_of(pid: int) -> str:
    """vLLM's name of a process, such as EngineCore_DP0, else its command's; empty: it is gone."""
    try:
        words = (
            Path(f"/proc/{pid}/cmdline")
            .read_bytes()
            .replace(b"\0", b" ")
            .decode("utf-8", "replace")
        )
        found = _TITLE.search(words)
        return found[1] if found else Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def _death(member: Member) -> ProcessDeath:
    code = _exit_code(member)
    return ProcessDeath(member.process, member.component, member.pid, code, time.time())


def _exit_code(member: Member) -> int | None:
    """Negative for a signal; None: neither the kernel nor /proc tells any more."""
    status = _status_by_pidfd(member.pidfd)
    if status is None:
        status = _status_by_proc(member.pid)
    return None if status is None else os.waitstatus_to_exitcode(status)


def _status_by_pidfd(pidfd: int) -> int | None:
    buffer = bytearray(INFO.size)
    struct.pack_into("Q", buffer, 0, EXIT)
    try:
        fcntl.ioctl(pidfd, GET_INFO, buffer)
    except OSError:
        return None
    mask, *_, status = INFO.unpack(buffer)
    return int(status) if mask & EXIT else None


def _status_by_proc(pid: int) -> int | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
        return int(text[text.rindex(")") + 2 :].split()[EXIT_CODE_FIELD])
    except (OSError, ValueError, IndexError):
        return None

"""Owns a host's processes: starts them, watches them, ends a whole group when one of it ends, and
proves it gone."""

import contextlib
import os
import re
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from dsr1.hosts.agent.kin.lineage import lineage_of
from dsr1.hosts.agent.kin.procfs import FoundProcesses
from dsr1.hosts.agent.process.ending import Termination
from dsr1.hosts.agent.process.folder import AgentFolder
from dsr1.hosts.agent.process.logs import LogFollower, read_tail
from dsr1.hosts.agent.process.members import StopTarget, find_members
from dsr1.hosts.agent.process.own_marks import own_marks
from dsr1.hosts.agent.process.records import ProcessRecord, log_path
from dsr1.hosts.agent.process.rotation import LogRotation
from dsr1.hosts.agent.process.say import say
from dsr1.hosts.agent.process.spawn import spawn
from dsr1.hosts.agent.process.timers import Timers
from dsr1.hosts.protocol.events import Event, Exited, Gone, Listening, Spawned
from dsr1.hosts.protocol.marks import AgentIdentity
from dsr1.hosts.protocol.process import HostPlan, Process

FOLLOW_S, PROBE_S, ANSWER_S = 0.2, 0.05, 0.2
HEALTH, UNWELL = b"GET /health HTTP/1.0\r\n\r\n", b" 503 "
PROOF_S, PROOF_MOST_S = 0.02, 0.5
ROTATE_S, BETWEEN_PIECES_S = 5.0, 0.02


@dataclass(slots=True)
class OwnedProcess:
    """A process that was let go, until its group is proven gone."""

    process: Process
    record: ProcessRecord
    pid: int
    follower: LogFollower | None
    running: bool = True
    stopping: bool = False


def answers(address: str, port: int) -> bool:
    """Whether what listens there serves: etcd listens before it leads itself, and until then says
    nothing.

    A connection to one's own free port can meet itself (TCP's simultaneous open); that is nobody
    listening.
    """
    try:
        with socket.create_connection((address, port), timeout=ANSWER_S) as line:
            return line.getsockname() != line.getpeername() and _is_healthy(line)
    except OSError:
        return False


def _is_healthy(line: socket.socket) -> bool:
    """One that speaks TLS, and would want a certificate, says that this is none, or hangs up: it
    serves, too."""
    try:
        line.sendall(HEALTH)
        return UNWELL not in line.recv(64)
    except ConnectionResetError:
        return True


class ProcessOwner:
    """`closing`: nothing more may be started. `idle`: nothing runs and nothing is being ended."""

    def __init__(
        self,
        plan: HostPlan,
        folder: AgentFolder,
        tell: Callable[[Event], None],
        timers: Timers,
    ) -> None:
        self._plan = plan
        self._records, self._folder = folder, folder.path
        self._marks = own_marks(plan, folder.path)
        self._tell = tell
        self._timers = timers
        self._known = {process.name: process for process in plan.processes}
        self._children: dict[str, OwnedProcess] = {}
        self._endings: list[Termination] = []
        self._following = False
        self._rotations: dict[str, LogRotation] = {}
        self._bound_logs()
        self.closing = False

    @property
    def idle(self) -> bool:
        return not self._endings and not self._children

    def running(self) -> dict[str, int]:
        """Pids of the main processes, by name."""
        return {name: child.pid for name, child in self._children.items() if child.running}

    def is_ending(self, name: str) -> bool:
        """Whether its end was asked for; of one that is gone, it was."""
        child = self._children.get(name)
        return child is None or child.stopping

    def spawn(self, names: tuple[str, ...]) -> None:
        """A process whose group can't be whole isn't started."""
        failed: set[str] = set()
        for name in names:
            if refusal := self._refuse(name, failed):
                self._tell(Exited(name, 127, True, (), refusal))
            elif not self._spawn(self._known[name]):
                failed.add(self._known[name].group)

    def replan(self, processes: tuple[Process, ...]) -> None:
        """What may be spawned from now on."""
        self._known = {process.name: process for process in processes}

    def stop(
        self, names: tuple[str, ...] | None, number: int = 0, grace_s: float | None = None
    ) -> None:
        """Names of processes that don't run are told as gone too."""
        wanted = tuple(self._known) if names is None else names
        children = [self._children[name] for name in wanted if name in self._children]
        fresh = {child.process.name for child in children if not child.stopping}
        for child in children:
            child.stopping = True
        targets = tuple(_target(child, grace_s, self._plan.identity) for child in children)
        graces = {target.name: target.grace_s for target in targets}
        ending = Termination(lambda: self._find(targets, wanted), graces, wanted, number)
        self._endings.append(ending)
        ending.ask(spared={child.process.name for child in children} - fresh)
        self._prove(ending, PROOF_S)

    def _find(self, targets: tuple[StopTarget, ...], wanted: tuple[str, ...]) -> FoundProcesses:
        """What belongs to no process counts once nothing else runs."""
        return find_members(targets, os.getpid(), strays=set(self._children) <= set(wanted))

    def quiet(self) -> None:
        for child in self._children.values():
            child.follower = None

    def reap(self) -> None:
        """Every child that has ended, orphans that came back to us included."""
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                self._ended(ended[0], os.waitstatus_to_exitcode(ended[1]))

    def _refuse(self, name: str, failed: set[str]) -> str:
        if name not in self._known:
            return "the plan of this host has no such process"
        if self.closing:
            return "everything on this host is being stopped"
        if name in self._children:
            return "it is running or not yet gone"
        group = self._known[name].group
        if group in failed:
            return f"another process of its group {group} could not be started"
        mates = (child for child in self._children.values() if child.process.group == group)
        return (
            f"its group {group} is being stopped" if any(child.stopping for child in mates) else ""
        )

    def _spawn(self, process: Process) -> bool:
        try:
            follower = LogFollower(process, log_path(self._folder, process.name))
            born = spawn(process, self._marks, self._folder)
        except (OSError, ValueError, re.error) as error:
            self._tell(Exited(process.name, 127, False, (), f"could not be started: {error}"))
            self._fail(process)
            return False
        child = OwnedProcess(process, born.record, born.pid, follower)
        self._children[process.name] = child
        self._records.record_process(process.name, born.record)
        self._bound_log(process.name)
        self._tell(Spawned(process.name, born.pid, born.record.start_time))
        self._follow_soon()
        if process.listen_port is not None:
            self._probe(child, process.listen_port)
        return True

    def _probe(self, child: OwnedProcess, port: int) -> None:
        if not child.running or child.stopping:
            return
        if answers(self._plan.address, port):
            self._tell(Listening(child.process.name))
        else:
            self._timers.after(PROBE_S, lambda: self._probe(child, port))

    def _follow_soon(self) -> None:
        if not self._following:
            self._following = True
            self._timers.after(FOLLOW_S, self._follow)

    def _follow(self) -> None:
        self._following = False
        for child in self._children.values():
            if child.follower and child.running:
                self._tell_all(child.follower.read())
                self._follow_soon()

    def _bound_log(self, name: str) -> None:
        most, path = self._plan.log_most_bytes, log_path(self._folder, name)
        if most:
            self._rotations[name] = LogRotation(path, most, self._plan.log_keep)

    def _bound_logs(self) -> None:
        """A piece at a time: others wait for this loop."""
        more = False
        for name, rotation in tuple(self._rotations.items()):
            try:
                more = rotation.step() or more
            except OSError as error:
                say(f"{log_path(self._folder, name)}: {error}")
        self._timers.after(BETWEEN_PIECES_S if more else ROTATE_S, self._bound_logs)

    def _tell_all(self, events: Iterable[Event]) -> None:
        for event in events:
            self._tell(event)

    def _ended(self, pid: int, code: int) -> None:
        child = next(
            (child for child in self._children.values() if child.pid == pid and child.running), None
        )
        if child is None:
            return
        child.running = False
        if child.follower:
            self._tell_all(child.follower.read(last=True))
        tail = read_tail(log_path(self._folder, child.process.name))
        self._tell(Exited(child.process.name, code, child.stopping, tail))
        if not child.stopping:
            self._fail(child.process)

    def _fail(self, process: Process) -> None:
        """One of a group is down: all of it is, and what a dead main leaves behind too."""
        mates = (
            name for name, child in self._children.items() if child.process.group == process.group
        )
        self.stop(tuple(dict.fromkeys((process.name, *mates))))

    def _prove(self, ending: Termination, wait: float) -> None:
        self._timers.after(wait, lambda: self._step(ending, min(wait * 1.5, PROOF_MOST_S)))

    def _step(self, ending: Termination, wait: float) -> None:
        gone = ending.step()
        self.reap()
        if gone is None or self._is_behind(ending) or (not gone.left and self._unreaped(gone)):
            self._prove(ending, wait)
            return
        self._endings.remove(ending)
        for name in gone.processes:
            self._children.pop(name, None)
        self._tell(gone)

    def _is_behind(self, ending: Termination) -> bool:
        """An earlier one still looks for what has these names: whatever were started on this one's
        word, it would end."""
        before = self._endings[: self._endings.index(ending)]
        return any(not set(ending.names).isdisjoint(one.names) for one in before)

    def _unreaped(self, gone: Gone) -> bool:
        """Its Exited comes before its Gone."""
        return any(
            self._children[name].running for name in gone.processes if name in self._children
        )


def _target(child: OwnedProcess, grace_s: float | None, identity: AgentIdentity) -> StopTarget:
    lineage = lineage_of(identity, child.process.name)
    grace_s = child.process.grace_s if grace_s is None else grace_s
    return StopTarget(child.process.name, child.record, grace_s, lineage)

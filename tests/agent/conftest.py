"""Real agents with small children, each in a folder of its own, and all ended afterwards."""

import queue
import secrets
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from tests.guard import guarded
from tests.waiting import HANGS_S, until

from dsr1.hosts.protocol.commands import AgentCommand
from dsr1.hosts.protocol.events import Event, Gone
from dsr1.hosts.protocol.identity import read_stat
from dsr1.hosts.protocol.process import HostPlan, Process
from dsr1.hosts.transport.link import StreamLink
from dsr1.hosts.transport.local import LocalTransport

Kind = TypeVar("Kind", bound=Event)


class Talk:
    """A connection whose events can be awaited for a bounded time."""

    def __init__(self, link: StreamLink) -> None:
        self.link = link
        self.seen: list[Event] = []
        self.last = 0
        self._queue: queue.Queue[Event | None] = queue.Queue()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def send(self, *commands: AgentCommand) -> None:
        for command in commands:
            self.link.send(command)

    def until(self, kind: type[Kind], fits: Callable[[Kind], bool] = lambda _: True) -> Kind:
        """The next event of that kind; what comes before it is in `seen`."""
        while (event := self._queue.get(timeout=HANGS_S)) is not None:
            self.seen.append(event)
            if isinstance(event, kind) and fits(event):
                return event
        raise AssertionError(f"no {kind.__name__}, only {self.seen}")

    def to_end(self) -> list[Event]:
        while (event := self._queue.get(timeout=HANGS_S)) is not None:
            self.seen.append(event)
        return self.seen

    def of(self, kind: type[Kind]) -> list[Kind]:
        return [event for event in self.seen if isinstance(event, kind)]

    def close(self) -> None:
        self.link.close()
        self._thread.join(HANGS_S)

    def _read(self) -> None:
        for numbered in self.link.events():
            self.last = numbered.seq
            self._queue.put(numbered.event)
        self._queue.put(None)


class Lab:
    """Starts agents in one folder; `close` ends them and all they started."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.run_id = secrets.token_hex(16)
        self.transport = LocalTransport(folder, (sys.executable,), self.run_id)
        self._hosts: list[str] = []
        self._talks: list[Talk] = []

    def start(
        self, *processes: Process, run: str = "test-run", host: str = "h", **changes: Any
    ) -> Talk:
        self._hosts.append(host)
        plan = HostPlan(run, host, "127.0.0.1", processes, run_id=self.run_id)
        self.transport.start(replace(plan, **changes))
        return self.attach(0, host)

    def attach(self, since: int, host: str = "h") -> Talk:
        talk = Talk(self.transport.attach(host, since))
        self._talks.append(talk)
        return talk

    def end(self, host: str = "h") -> Gone:
        return self.transport.stop(host)

    def close(self) -> None:
        left = [self.transport.stop(host).left for host in self._hosts]
        for talk in self._talks:
            talk.close()
        assert not any(left), left


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    made = Lab(tmp_path)
    with guarded("agents", tmp_path):
        try:
            yield made
        finally:
            made.close()


@pytest.fixture
def sh() -> Callable[..., Process]:
    def make(name: str, script: str, group: str = "g", listen_port: int | None = None) -> Process:
        ports = () if listen_port is None else (listen_port,)
        return Process(
            name,
            group,
            "h",
            ("sh", "-c", script),
            ports=ports,
            grace_s=0.5,
            listen_port=listen_port,
        )

    return make


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool]], None]:
    return until


@pytest.fixture
def lives() -> Callable[[int], bool]:
    def alive(pid: int) -> bool:
        stat = read_stat(pid)
        return stat is not None and stat.alive

    return alive


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

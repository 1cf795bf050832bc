"""What a supervisor tells whoever connects, and who is not believed."""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from itertools import count

import pytest

from dsr1.hosts.errors import HostError, InputError
from dsr1.hosts.protocol.codec import NumberedEvent
from dsr1.hosts.protocol.commands import AgentCommand
from dsr1.hosts.protocol.control import listen_on_socket
from dsr1.hosts.protocol.http import HttpGet, HttpGot
from dsr1.hosts.protocol.marks import AgentIdentity
from dsr1.hosts.transport.http import HttpAnswers
from dsr1.launcher.run.adoption import FoundRun, refuse_watched
from dsr1.launcher.run.liveness import door
from dsr1.launcher.run.liveness.door import NO_HOST, ask_supervisor, is_watched_here, open_door
from dsr1.launcher.run.store import new_run_id


@pytest.fixture
def run_id() -> str:
    return new_run_id()


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "ANSWER_S", 0.2)


def test_it_tells_as_often_as_it_is_asked(run_id: str) -> None:
    living = {"node1": ("etcd", "main-0"), "node2": (), "knoten-ä": ("x" * 100_000,)}
    open_door(run_id, lambda: living)
    for _ in range(40):
        assert ask_supervisor(run_id) == living
    del living["node1"]
    assert ask_supervisor(run_id) == living
    assert ask_supervisor(new_run_id()) == {}  # nobody else's


def test_one_that_fails_once_answers_the_next(run_id: str) -> None:
    asked = count()

    def tell() -> Mapping[str, tuple[str, ...]]:
        if next(asked) == 0:
            raise OSError("closed")
        return {"a": ("p",)}

    open_door(run_id, tell)
    assert ask_supervisor(run_id) == {}
    assert ask_supervisor(run_id) == {"a": ("p",)}


def test_one_that_hangs_says_nothing(run_id: str) -> None:
    """It accepts by its kernel, also a connection more than its backlog has place for."""
    with closing(listen_on_socket(AgentIdentity(run_id, NO_HOST))):
        for _ in range(20):
            assert ask_supervisor(run_id) == {}
        open_door(run_id, dict)  # a second one of the same run keeps out of its way
        assert ask_supervisor(run_id) == {}


@pytest.mark.parametrize("said", [b"", b'{"a": ["p"]', b"[]", b'{"a": "p"}', b"\xff", b"[" * 5000])
def test_what_is_no_answer_is_none(run_id: str, said: bytes) -> None:
    code = (
        "import socket, sys; from dsr1.hosts.protocol.control import listen_on_socket\n"
        "from dsr1.hosts.protocol.marks import AgentIdentity\n"
        f"door = listen_on_socket(AgentIdentity({run_id!r}, {NO_HOST!r}))\n"
        "door.setblocking(True); print(flush=True); line, _ = door.accept()\n"
        f"line.sendall({said!r}); line.close(); sys.stdin.read()"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe) as other:
        assert other.stdout is not None
        other.stdout.readline()
        assert ask_supervisor(run_id) == {}


class Talk:
    """A link whose agent answers, or doesn't."""

    def __init__(self, answers: HttpAnswers, answer: bool = True) -> None:
        self._answers, self._answer = answers, answer
        self.asked: list[AgentCommand] = []

    def send(self, command: AgentCommand) -> None:
        assert isinstance(command, HttpGet)
        self.asked.append(command)
        if self._answer:
            self._answers.take(HttpGot(command.number, 0, problem="it is none of the plan's"))

    def events(self) -> Iterator[NumberedEvent]:
        return iter(())

    def close(self) -> None:
        pass


class Cut(Talk):
    def send(self, command: AgentCommand) -> None:
        raise HostError("the connection is lost")


def test_who_answers_now() -> None:
    answers = HttpAnswers()
    links = {"a": Talk(answers), "hangs": Talk(answers, answer=False), "cut": Cut(answers)}
    assert answers.present(links, 0.05) == {"a"}
    assert answers.present({}, 0.0) == frozenset()
    answers.take(HttpGot(2, 0))  # of the one that hangs, too late
    assert answers.present({"a": links["a"]}, 5.0) == {"a"}


def test_a_run_that_is_watched_on_this_machine_is_not_adopted() -> None:
    chosen = FoundRun("r", new_run_id(), "ann on login since noon", {})
    refuse_watched(chosen)
    open_door(chosen.run_id, dict)
    assert is_watched_here(chosen.run_id)
    with pytest.raises(InputError, match=r"r: its supervisor lives .* by ann on login since noon"):
        refuse_watched(chosen)

"""Whose child a process is, whatever its environment says: a run's own end with it, with no mark
left, and whoever has a copy of the marks lives on."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dsr1.hosts.agent.kin.belonging import find_marked
from dsr1.hosts.protocol.commands import Spawn, Stop
from dsr1.hosts.protocol.events import AgentUp, Gone, Spawned
from dsr1.hosts.protocol.process import Process

if TYPE_CHECKING:
    from tests.agent.conftest import Lab, Talk

Make = Callable[..., Process]
Alives = Callable[[int], bool]
Await = Callable[[Callable[[], bool]], None]
SLEEP = "exec sleep 1000"
# A session and group of its own, and no mark.
STRAY = f"env -i setsid sh -c 'echo $$ > stray; {SLEEP}' & {SLEEP}"


def running(talk: "Talk", name: str = "a") -> int:
    talk.send(Spawn((name,)))
    return talk.until(Spawned).pid


def stray_of(lab: "Lab", eventually: Await) -> int:
    path = lab.folder / "h" / "stray"
    eventually(lambda: path.exists() and path.read_text().endswith("\n"))
    return int(path.read_text())


def kill(pid: int, lives: Alives, eventually: Await) -> None:
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not lives(pid))


def test_a_stray_without_a_mark_outlives_agent_and_parent_and_is_ended(
    lab: "Lab", sh: Make, lives: Alives, eventually: Await
) -> None:
    talk = lab.start(sh("a", STRAY))
    agent, pid = talk.until(AgentUp).pid, running(talk)
    stray = stray_of(lab, eventually)
    kill(agent, lives, eventually)
    kill(pid, lives, eventually)
    assert [(p.name, p.state) for p in lab.transport.inspect("h").processes] == [("a", "running")]
    assert lab.end() == Gone(("a",))
    assert not lives(stray)


def test_a_stray_without_a_mark_ends_with_its_process_alone(
    lab: "Lab", sh: Make, lives: Alives, eventually: Await
) -> None:
    talk = lab.start(sh("a", STRAY), sh("b", STRAY.replace("stray", "other"), group="other"))
    running(talk)
    other = running(talk, "b")
    stray = stray_of(lab, eventually)
    talk.send(Stop(("a",), 1))
    assert talk.until(Gone) == Gone(("a",), (), 1)
    assert [lives(stray), lives(other)] == [False, True]


@pytest.fixture
def shell(eventually: Await) -> Iterator[Callable[[int], "subprocess.Popen[bytes]"]]:
    """Somebody's, with the environment of a process."""
    begun: list[subprocess.Popen[bytes]] = []

    def begin(pid: int) -> "subprocess.Popen[bytes]":
        environ = Path(f"/proc/{pid}/environ")
        eventually(lambda: environ.read_bytes() != b"")  # an exec shows none for a moment
        lines = environ.read_bytes().split(b"\0")
        copy = dict(line.split(b"=", 1) for line in lines if b"=" in line)
        argv = ("sleep", "1000")
        begun.append(subprocess.Popen(argv, env=copy, start_new_session=True))
        return begun[-1]

    yield begin
    for child in begun:
        child.kill()
        child.wait()


@pytest.mark.parametrize("agent_dies", [False, True])
def test_a_shell_with_a_copy_of_the_environment_is_left_alone_and_named(
    agent_dies: bool,
    lab: "Lab",
    sh: Make,
    shell: Callable[[int], "subprocess.Popen[bytes]"],
    lives: Alives,
    eventually: Await,
) -> None:
    talk = lab.start(sh("a", SLEEP))
    agent, pid = talk.until(AgentUp).pid, running(talk)
    copies = sorted(shell(one).pid for one in (agent, pid))
    if agent_dies:
        kill(agent, lives, eventually)
    gone = lab.end()
    assert (gone.left, gone.spared) == ((), tuple(f"pid {one} (sleep)" for one in copies))
    assert [lives(pid), *map(lives, copies)] == [False, True, True]
    assert not {*copies} & find_marked().keys()
    lab.start(sh("a", SLEEP))  # they hold no name


def test_where_no_lineage_can_be_had_the_marks_tell(lab: "Lab", sh: Make, lives: Alives) -> None:
    lab.transport._python = ("prlimit", "--locks=1000:1000", sys.executable)
    talk = lab.start(sh("a", f"setsid sleep 1000 & {SLEEP}"))
    pid = running(talk)
    marks = find_marked()[pid][1]
    assert (marks.process, marks.lineage) == ("a", 0)
    assert lab.end() == Gone(("a",))
    assert not lives(pid)

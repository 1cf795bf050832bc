"""A run's identity: nothing without it is touched, and what bears it is found without any file."""

import os
import secrets
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.built import PYTHON

from dsr1.hosts.errors import HostError
from dsr1.hosts.protocol.commands import Quiet, Spawn
from dsr1.hosts.protocol.events import AgentUp, Alive, Ending, Gone, Restored, Spawned
from dsr1.hosts.protocol.process import HostPlan, Origin, Process
from dsr1.hosts.transport.local import LocalTransport

if TYPE_CHECKING:
    from tests.agent.conftest import Lab, Talk

Make = Callable[..., Process]
Alives = Callable[[int], bool]
Await = Callable[[Callable[[], bool]], None]
SLEEP = "exec sleep 1000"
TITLED = (
    "import setproctitle, time; setproctitle.setproctitle('VLLM::EngineCore' * 9); time.sleep(999)"
)


def running(talk: "Talk") -> int:
    talk.send(Spawn(("a",)))
    return talk.until(Spawned).pid


def another_run(lab: "Lab") -> LocalTransport:
    """Of the same name, in the same folder, with an identity of its own."""
    return LocalTransport(lab.folder, (sys.executable,), secrets.token_hex(16))


def test_an_order_of_another_run_does_nothing(lab: "Lab", sh: Make, lives: Alives) -> None:
    pid = running(lab.start(sh("a", SLEEP)))
    other = another_run(lab)
    assert other.stop("h") == Gone(())
    assert (other.inspect("h").agent, other.inspect("h").processes) == ("dead", ())
    with pytest.raises(HostError, match="no agent listens"):
        other.attach("h", 0)
    assert lives(pid)
    assert lab.transport.inspect("h").agent == "alive"


def test_a_start_over_another_run_names_who_holds_the_name(
    lab: "Lab", sh: Make, lives: Alives
) -> None:
    pid = running(lab.start(sh("a", SLEEP), origin=Origin("ann", "login1", 0.0)))
    shutil.rmtree(lab.folder / "h")
    other = another_run(lab)
    plan = HostPlan("test-run", "h", "127.0.0.1", (), run_id=other._run_id)
    held = "run test-run is there already, launched by ann on login1 since 1970-01-01 00:00:00 UTC"
    with pytest.raises(HostError, match=held):
        other.start(plan)
    assert other.stop("h") == Gone(())
    assert lives(pid)


def test_a_start_without_an_identity_is_refused(lab: "Lab") -> None:
    transport = LocalTransport(lab.folder, (sys.executable,))
    with pytest.raises(HostError, match="of different runs"):
        transport.start(HostPlan("r", "h", "127.0.0.1", ()))


def test_without_its_files_all_is_known_and_comes_back(
    lab: "Lab", sh: Make, lives: Alives, eventually: Await
) -> None:
    talk = lab.start(sh("a", f"echo before; {SLEEP}"))
    pid = running(talk)
    log = lab.folder / "h" / "logs" / "a.log"
    eventually(lambda: log.read_text() == "before\n")
    shutil.rmtree(lab.folder / "h")
    state = lab.transport.inspect("h")
    assert (state.agent, [(p.name, p.state) for p in state.processes]) == (
        "alive",
        [("a", "running")],
    )
    assert talk.until(Restored).folder == str(lab.folder / "h")
    assert log.read_text() == "before\n"
    assert [(p.name, p.pid) for p in lab.transport.inspect("h").processes] == [("a", pid)]
    again = lab.attach(0)
    assert again.until(Spawned).pid == pid
    assert lab.end() == Gone(("a",))
    assert not lives(pid)


def test_without_files_and_agent_all_is_ended(
    lab: "Lab", sh: Make, lives: Alives, eventually: Await
) -> None:
    talk = lab.start(sh("a", f"setsid sleep 1000 & {SLEEP}"))
    agent, pid = talk.until(AgentUp).pid, running(talk)
    os.kill(agent, signal.SIGKILL)
    eventually(lambda: not lives(agent))
    shutil.rmtree(lab.folder / "h")
    assert [(p.name, p.state) for p in lab.transport.inspect("h").processes] == [("a", "running")]
    assert lab.end() == Gone(("a",))
    assert not lives(pid)


def test_what_left_a_hung_agents_process_without_a_mark_is_ended_too(
    lab: "Lab", sh: Make, lives: Alives, eventually: Await
) -> None:
    """It came back to the agent, and nothing else tells whose it is: the agent goes last."""
    stray = lab.folder / "stray"
    talk = lab.start(sh("a", f"setsid env -i sleep 1000 & echo $! > {stray}; exec sleep 1000"))
    agent, pid = talk.until(AgentUp).pid, running(talk)
    eventually(lambda: stray.exists() and stray.read_text().endswith("\n"))
    os.kill(agent, signal.SIGSTOP)
    os.kill(pid, signal.SIGKILL)
    assert lab.end().left == ()
    assert [lives(one) for one in (agent, pid, int(stray.read_text()))] == [False] * 3


@pytest.mark.parametrize("spoil", [Path.mkdir, os.mkfifo, Path.touch])
def test_whatever_stands_in_its_files_place_a_run_is_ended(
    spoil: Callable[[Path], None], lab: "Lab", sh: Make, lives: Alives, eventually: Await
) -> None:
    talk = lab.start(sh("a", SLEEP))
    agent, pid = talk.until(AgentUp).pid, running(talk)
    os.kill(agent, signal.SIGKILL)
    eventually(lambda: not lives(agent))
    for file in ("plan.json", "processes/a.json", "events.jsonl"):
        (lab.folder / "h" / file).unlink()
        spoil(lab.folder / "h" / file)
    assert [(p.name, p.state) for p in lab.transport.inspect("h").processes] == [("a", "running")]
    assert lab.end().left == ()
    assert not lives(pid)


def test_a_process_that_names_itself_keeps_its_marks(
    runtime: None, lab: "Lab", lives: Alives, eventually: Await
) -> None:
    """setproctitle, as vLLM uses it, writes over the environment that /proc shows."""
    talk = lab.start(Process("a", "g", "h", (str(PYTHON), "-c", TITLED), grace_s=0.5))
    agent, pid = talk.until(AgentUp).pid, running(talk)
    title = Path(f"/proc/{pid}/cmdline")
    eventually(lambda: title.read_bytes().startswith(b"VLLM::EngineCore"))
    os.kill(agent, signal.SIGKILL)
    eventually(lambda: not lives(agent))
    assert lab.end() == Gone(("a",))
    assert not lives(pid)


def test_a_signal_is_no_order(lab: "Lab", sh: Make) -> None:
    talk = lab.start(sh("a", SLEEP))
    running(talk)
    os.kill(talk.of(AgentUp)[0].pid, signal.SIGTERM)
    ending = talk.until(Ending)
    assert (ending.on, ending.ordered, "shutting down" in ending.reason) == ("h", False, True)


def test_an_order_is_one(lab: "Lab", sh: Make) -> None:
    talk = lab.start(sh("a", SLEEP))
    running(talk)
    lab.transport.stop("h", "because")
    assert talk.until(Ending) == Ending("h", True, "because")


def test_signs_of_life(lab: "Lab", sh: Make) -> None:
    talk = lab.start(sh("a", SLEEP), beat_s=0.1)
    running(talk)
    talk.until(Alive)
    talk.until(Alive)


@pytest.mark.parametrize(("serves", "orphans"), [(False, "keep"), (True, "end")])
def test_an_orphan_ends(
    lab: "Lab", sh: Make, serves: bool, orphans: str, lives: Alives, eventually: Await
) -> None:
    talk = lab.start(sh("a", SLEEP), orphans=orphans, orphaned_s=0.5)
    pid = running(talk)
    if serves:
        talk.send(Quiet())
    talk.close()
    eventually(lambda: not lives(pid))
    events = (lab.folder / "h" / "events.jsonl").read_text()
    assert "had no supervisor for" in events


def test_an_orphan_that_serves_is_kept(
    lab: "Lab", sh: Make, lives: Alives, eventually: Await
) -> None:
    talk = lab.start(sh("a", SLEEP), orphans="keep", orphaned_s=0.2)
    pid = running(talk)
    talk.send(Quiet())
    talk.close()
    witness = lab.start(sh("b", SLEEP), host="h2", orphaned_s=0.5)
    witness.send(Spawn(("b",)))
    other = witness.until(Spawned).pid
    witness.close()
    eventually(lambda: not lives(other))  # which had longer
    assert lives(pid)

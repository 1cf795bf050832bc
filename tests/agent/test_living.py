"""What a supervisor knows of its hosts' processes without a look at them: real agents, heard."""

import os
import signal
from collections.abc import Callable
from queue import SimpleQueue
from typing import TYPE_CHECKING

from tests.waiting import HANGS_S

from dsr1.hosts.protocol.commands import Prepare, Spawn
from dsr1.hosts.protocol.events import AgentUp
from dsr1.hosts.protocol.process import Process
from dsr1.launcher.run.agents import Agents

if TYPE_CHECKING:
    from tests.agent.conftest import Lab

Make = Callable[..., Process]
Eventually = Callable[[Callable[[], bool]], None]
LEAVES_A_CHILD = "trap '' TERM; sleep 1000 & read x < %s; exit 3"


def test_it_is_told_while_it_is_sure(lab: "Lab", sh: Make, eventually: Eventually) -> None:
    """An agent that hangs says nothing, however well it was a moment ago; one that is heard from
    its first event on has told all of them before it answers."""
    os.mkfifo(go := lab.folder / "go")
    talk = lab.start(sh("a", LEAVES_A_CHILD % go), sh("b", "sleep 1000", group="of-its-own"))
    pid = talk.until(AgentUp).pid
    heard = Agents(lab.transport, SimpleQueue(), 1000.0)
    heard.attach(("h",))
    heard.send_all(Prepare())
    heard.send_all(Spawn(("a", "b")))
    eventually(lambda: heard.living() == {"h": ("a", "b")})
    os.kill(pid, signal.SIGSTOP)
    assert heard.living(0.2) == {}
    os.kill(pid, signal.SIGCONT)
    eventually(lambda: heard.living() == {"h": ("a", "b")})
    later = Agents(lab.transport, SimpleQueue(), 1000.0)  # as one that takes over
    later.attach(("h",), {"h": lab.transport.inspect("h")})
    eventually(lambda: later.living() == {"h": ("a", "b")})
    go.write_text("\n")
    for agents in (heard, later):
        eventually(lambda agents=agents: agents.living() == {"h": ("b",)})  # type: ignore[misc]
    assert lab.transport.inspect("h").running == {"b"}
    again = Agents(lab.transport, SimpleQueue(), 1000.0)
    again.attach(("h",))
    for _ in range(20):
        assert again.living(HANGS_S) == {"h": ("b",)}
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: heard.living(0.2) == {})

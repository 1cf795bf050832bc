"""Starting, watching and reattaching, with real agents."""

import itertools
import json
import os
import secrets
import shlex
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from tests.waiting import HANGS_S

from dsr1.hosts.errors import HostError
from dsr1.hosts.protocol import control
from dsr1.hosts.protocol.commands import Prepare, Quiet, Quit, Spawn, Stop
from dsr1.hosts.protocol.events import AgentUp, Exited, Gone, Listening, Prepared, Progress, Spawned
from dsr1.hosts.protocol.marks import AgentIdentity
from dsr1.hosts.protocol.process import HostPlan, PhaseRule, Process, Variable
from dsr1.hosts.transport.bundle import make_bundle
from dsr1.hosts.transport.local import LocalTransport

if TYPE_CHECKING:
    from tests.agent.conftest import Lab

Make = Callable[..., Process]
Await = Callable[[Callable[[], bool]], None]
SLEEP = "exec sleep 1000"
HOSTILE = ("a b", "';id", "x,y", '{"a": ["\n"]}', "$HOME `id`", "ü\u20ac", "")
SHOW = (
    "import json,os,sys; print(json.dumps([sys.argv[1:], {k: v for k, v in os.environ.items() if"
    " k[:2] == 'V_'}]))"
)


def agent_of(lab: "Lab") -> psutil.Process:
    return psutil.Process(json.loads((lab.folder / "h" / "agent.json").read_text())["pid"])


def test_hostile_values_arrive_as_they_are(lab: "Lab") -> None:
    env = tuple(Variable(f"V_{place}", value, "test") for place, value in enumerate(HOSTILE))
    talk = lab.start(Process("a", "g", "h", (sys.executable, "-c", SHOW, *HOSTILE), env=env))
    talk.send(Spawn(("a",)))
    argv, seen = json.loads(talk.until(Exited).tail[0])
    assert argv == list(HOSTILE)
    assert seen == {variable.name: variable.value for variable in env}


def test_a_process_gets_marks_a_group_and_no_foreign_files(
    lab: "Lab", sh: Make, eventually: Await
) -> None:
    talk = lab.start(
        sh(
            "a",
            "echo $DSR1_RUN $DSR1_PROCESS $PWD; ls /proc/self/fd | tr '\\n' ' '; touch done; exec"
            " sleep 1000",
        )
    )
    agent = talk.until(AgentUp).pid
    talk.send(Spawn(("a",)))
    pid = talk.until(Spawned).pid
    assert (os.getpgid(pid), os.getsid(pid)) == (pid, agent)
    eventually((lab.folder / "h" / "done").exists)
    talk.send(Stop())
    marks, files = talk.until(Exited).tail
    assert marks == f"test-run a {lab.folder}/h"
    assert files.split() == ["0", "1", "2", "3"]  # 3 is `ls`'s own


def test_what_processes_leave_in_tmp_goes_with_the_run(lab: "Lab", sh: Make) -> None:
    own = Process(
        "own",
        "o",
        "h",
        ("sh", "-c", "echo $TMPDIR"),
        env=(Variable("TMPDIR", "/elsewhere", "recipe"),),
    )
    talk = lab.start(
        sh("a", "touch $TMPDIR/left; ls $TMPDIR; stat -c %a $TMPDIR; echo $TMPDIR"), own
    )
    talk.send(Spawn(("own",)))
    assert talk.until(Exited).tail == ("/elsewhere",)
    talk.send(Spawn(("a",)))
    left, mode, scratch = talk.until(Exited, lambda event: event.process == "a").tail
    assert (left, mode) == ("left", "700")
    agent_of(lab).kill()
    lab.end()
    assert not Path(scratch).exists()


def test_default_signals_are_restored(lab: "Lab", sh: Make) -> None:
    talk = lab.start(sh("a", "grep -E 'Sig(Ign|Blk)' /proc/self/status"))
    talk.send(Spawn(("a",)))
    masks = [int(line.split()[1], 16) for line in talk.until(Exited).tail]
    standard = (
        2**31 - 1
    )  # signals 1 to 31: those above are libc's own, and what ran us may have ignored them
    assert [mask & standard for mask in masks] == [0, 0]


@pytest.mark.parametrize("argv", [("/no/such/command",), ("a\0b",), ()])
def test_a_command_that_cannot_be_run(lab: "Lab", sh: Make, argv: tuple[str, ...]) -> None:
    bad = Process("bad", "g", "h", argv, grace_s=0.5)
    talk = lab.start(sh("a", SLEEP), bad, sh("late", SLEEP))
    talk.send(Spawn(("a", "bad", "late")))
    exited = talk.until(Exited)
    assert (exited.process, exited.code, exited.requested) == ("bad", 127, False)
    assert "could not be started" in exited.error
    assert "its group" in talk.until(Exited, lambda event: event.process == "late").error
    assert set(talk.until(Gone).processes) == {"a", "bad"}


def test_a_name_that_the_plan_lacks(lab: "Lab") -> None:
    talk = lab.start()
    talk.send(Spawn(("nobody",)))
    assert "no such process" in talk.until(Exited).error


SERVER = """
import pathlib, socket, sys
server, kept = socket.create_server(("127.0.0.1", int(sys.argv[1]))), []
while True:
    line, _ = server.accept()
    word = pathlib.Path("go").read_text()
    if word == "silent":
        kept.append(line)
    else:
        line.sendall(f"HTTP/1.0 {word} As You Say".encode())
        line.close()
    pathlib.Path(word).touch()
"""


def test_listening(lab: "Lab", sh: Make, free_port: int, eventually: Await) -> None:
    """At first nothing listens; then what listens doesn't answer, as etcd before it leads; then it
    is unwell."""
    serve = f"exec {sys.executable} -c {shlex.quote(SERVER)} {free_port}"
    talk = lab.start(
        sh("a", f"while ! [ -e go ]; do sleep 0.01; done; {serve}", listen_port=free_port)
    )
    talk.send(Spawn(("a",)))
    talk.until(Spawned)
    assert not talk.of(Listening)
    for word in ("silent", "503"):
        (lab.folder / "h" / "go").write_text(word)
        eventually((lab.folder / "h" / word).exists)
        assert not talk.of(Listening)
    (lab.folder / "h" / "go").write_text("200")
    assert talk.until(Listening) == Listening("a")


def test_progress_and_quiet(lab: "Lab") -> None:
    rules = (PhaseRule("load", r"load (?P<done>\d+)/(?P<total>\d+)"), PhaseRule("graphs", "graphs"))
    script = "for i in 1 2 3 4 5; do echo load $i/5; done; echo graphs; exec sleep 1000"
    talk = lab.start(Process("a", "g", "h", ("sh", "-c", script), phases=rules, grace_s=0.5))
    talk.send(Spawn(("a",)))
    talk.until(Progress, lambda event: event.phase == "graphs")
    assert talk.of(Progress)[-2] == Progress("a", "load", None, 5, 5)
    talk.send(Quiet(), Stop())
    assert talk.until(Exited).requested


def test_a_reader_that_comes_back_misses_nothing(lab: "Lab", sh: Make) -> None:
    talk = lab.start(sh("a", SLEEP))
    talk.send(Spawn(("a",)))
    talk.until(Spawned)
    talk.close()
    link = lab.transport.attach("h", 0)
    assert [numbered.seq for numbered in itertools.islice(link.events(), 2)] == [1, 2]
    link.close()
    again = lab.attach(talk.last)
    again.send(Stop())
    assert isinstance(again.until(Exited), Exited)
    assert len(again.seen) == 1


def test_losing_every_reader_changes_nothing(
    lab: "Lab", sh: Make, lives: Callable[[int], bool]
) -> None:
    talk = lab.start(sh("a", SLEEP))
    talk.send(Spawn(("a",)))
    pid = talk.until(Spawned).pid
    talk.close()
    state = lab.transport.inspect("h")
    assert state.agent == "alive"
    assert [(process.state, process.pid) for process in state.processes] == [("running", pid)]
    assert lives(pid)


def test_an_agent_that_owns_nothing_and_that_nobody_hears_goes(
    tmp_path: Path, eventually: Await
) -> None:
    run_id = secrets.token_hex(16)
    code = (
        "import sys; from pathlib import Path; from dsr1.hosts.protocol import control; from"
        " dsr1.hosts.agent.server import server; from dsr1.hosts.protocol.process import HostPlan;"
        " from dsr1.hosts.agent.process.folder import AgentFolder;"
        " from dsr1.hosts.agent.process.scratch import make_scratch;"
        f" plan = HostPlan('r', 'h', '127.0.0.1', (), run_id='{run_id}');"
        " folder = AgentFolder(Path(sys.argv[1]), plan, {}, {}, make_scratch());"
        " server.AgentServer(plan, folder, control.listen_on_socket(plan.identity), 1.0).run()"
    )
    with subprocess.Popen((sys.executable, "-c", code, str(tmp_path))) as agent:
        try:
            line = None
            while line is None:
                line = control.connect_to_socket(AgentIdentity(run_id, "h"))
            with line, pytest.raises(subprocess.TimeoutExpired):
                agent.wait(1.5)
            assert agent.wait(HANGS_S) == 0
        finally:
            agent.kill()


def test_one_folder_has_one_agent(lab: "Lab", sh: Make) -> None:
    lab.start(sh("a", SLEEP))
    with pytest.raises(HostError, match="already started"):
        lab.transport.start(HostPlan("other", "h", "127.0.0.1", (), run_id=lab.run_id))
    assert lab.transport.inspect("h").agent == "alive"


def test_a_long_folder(tmp_path: Path) -> None:
    run_id = secrets.token_hex(16)
    transport = LocalTransport(tmp_path / ("long " * 30) / ("long" * 30), (sys.executable,), run_id)
    try:
        transport.start(HostPlan("r", "h", "127.0.0.1", (), run_id=run_id))
        link = transport.attach("h", 0)
        assert next(link.events()).seq == 1
        link.close()
    finally:
        assert transport.stop("h") == Gone(())


def test_only_the_user_may_come_near(lab: "Lab", sh: Make) -> None:
    lab.start(sh("a", SLEEP))
    folder = lab.folder / "h"
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.iterdir())}
    assert {name: oct(mode) for name, mode in modes.items() if mode & 0o077} == {}


def test_an_idle_agent_costs_nothing(lab: "Lab", sh: Make) -> None:
    talk = lab.start(sh("a", SLEEP))
    talk.send(Prepare(), Spawn(("a",)), Quiet())
    talk.until(Spawned)
    agent = agent_of(lab)
    assert agent.memory_info().rss < 60 << 20
    before = sum(agent.cpu_times()[:2])
    threading.Event().wait(1.5)  # what is measured is time
    assert sum(agent.cpu_times()[:2]) - before <= 0.02


def test_a_large_log_costs_no_memory(lab: "Lab", sh: Make, eventually: Await) -> None:
    talk = lab.start(
        sh("a", "head -c 300000000 /dev/zero | tr '\\0' 'x'; echo; echo the end; exec sleep 1000")
    )
    talk.send(Spawn(("a",)))
    talk.until(Spawned)
    log = lab.folder / "h" / "logs" / "a.log"
    eventually(lambda: log.stat().st_size >= 300_000_000 + len("\nthe end\n"))
    assert agent_of(lab).memory_info().rss < 60 << 20
    talk.send(Stop())
    assert talk.until(Exited).tail[-1] == "the end"


def test_a_taken_port_and_a_reserved_one(lab: "Lab", sh: Make, free_port: int) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        talk = lab.start(sh("a", SLEEP, listen_port=port), sh("b", SLEEP, listen_port=free_port))
        talk.send(Prepare())
        findings = [found for found in talk.until(Prepared).findings if found.check == "run.ports"]
    assert [found.verdict for found in findings] == ["FAIL"]
    assert f"port {port} is held by pid {os.getpid()}" in findings[0].seen
    assert findings[0].fix
    rival = lab.start(sh("a", SLEEP, listen_port=free_port), run="rival", host="h2")
    rival.send(Prepare())
    assert "reserved by run test-run" in rival.until(Prepared).findings[0].seen
    talk.send(Quit())
    talk.to_end()
    rival.send(Prepare())
    assert rival.until(Prepared).findings[0].verdict == "PASS"


def test_attach_carries_events_and_commands(lab: "Lab", sh: Make) -> None:
    """As SSH will: a process whose stdin and stdout are the connection."""
    lab.start(sh("a", SLEEP))
    address = (str(lab.folder / "h"), lab.run_id, "h")
    argv = (sys.executable, str(make_bundle(lab.folder)), "attach", *address, "1")
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as bridge:
        assert bridge.stdin is not None
        assert bridge.stdout is not None
        bridge.stdin.write(b'{"command": "Spawn", "processes": ["a"]}\n')
        bridge.stdin.flush()
        told = json.loads(bridge.stdout.readline())
        assert (told["seq"], told["event"]) == (2, "Spawned")
        bridge.stdin.close()
        assert bridge.wait(HANGS_S) == 0


def test_nonsense_costs_the_connection_only(lab: "Lab", sh: Make) -> None:
    lab.start(sh("a", SLEEP))
    line = lab.attach(0).link
    line._stream.sendall(b'{"command": "Spawn", "processes": 3}\n[]\n')
    assert [numbered.seq for numbered in line.events()] in ([], [1])
    assert lab.transport.inspect("h").agent == "alive"


def test_a_python_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="/no/python can't be run"):
        LocalTransport(tmp_path, ("/no/python",)).start(HostPlan("r", "h", "127.0.0.1", ()))
    with pytest.raises(HostError, match="no agent listens"):
        LocalTransport(tmp_path, (sys.executable,)).attach("h", 0)

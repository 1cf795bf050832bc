"""However a process, its group or its agent ends: nothing is left, and it is told in the right
order."""

import json
import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from dsr1.hosts.agent.process.spawn import _fork
from dsr1.hosts.errors import HostError
from dsr1.hosts.protocol.commands import Quit, Replan, Spawn, Stop
from dsr1.hosts.protocol.events import Exited, Gone, Spawned
from dsr1.hosts.protocol.process import Process

if TYPE_CHECKING:
    from tests.agent.conftest import Lab

Make = Callable[..., Process]
Alive = Callable[[int], bool]
Await = Callable[[Callable[[], bool]], None]
SLEEP = "exec sleep 1000"
# Prints its own pid once it ignores SIGTERM, so that nobody is too early.
DEAF = "trap '' TERM; echo deaf > $DSR1_PROCESS.deaf; while :; do sleep 1000; done"


def read_pid(path: Path, eventually: Await) -> int:
    eventually(lambda: path.exists() and path.read_text().endswith("\n"))
    return int(path.read_text())


def agent_pid(lab: "Lab") -> int:
    return int(json.loads((lab.folder / "h" / "agent.json").read_text())["pid"])


def kill_agent(lab: "Lab", lives: Alive, eventually: Await) -> None:
    pid = agent_pid(lab)
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not lives(pid))


def test_orphans_of_a_killed_main_end(
    lab: "Lab", sh: Make, lives: Alive, eventually: Await
) -> None:
    talk = lab.start(sh("a", f"sleep 1000 & echo $! > orphan; {SLEEP}"))
    talk.send(Spawn(("a",)))
    main = talk.until(Spawned).pid
    orphan = read_pid(lab.folder / "h" / "orphan", eventually)
    os.kill(main, signal.SIGKILL)
    exited = talk.until(Exited)
    assert (exited.code, exited.requested) == (-9, False)
    assert talk.until(Gone) == Gone(("a",))
    assert not lives(orphan)


def test_status_zero_before_a_stop_ends_the_group(lab: "Lab", sh: Make, lives: Alive) -> None:
    talk = lab.start(
        sh("a", SLEEP), sh("b", "echo last words; exit 0"), sh("other", SLEEP, group="frontend")
    )
    talk.send(Spawn(("other", "a", "b")))
    first = talk.until(Exited)
    assert (first.process, first.code, first.requested, first.tail) == (
        "b",
        0,
        False,
        ("last words",),
    )
    second = talk.until(Exited)
    assert (second.process, second.code, second.requested) == ("a", -15, True)
    assert set(talk.until(Gone).processes) == {"a", "b"}
    pids = {event.process: event.pid for event in talk.of(Spawned)}
    assert [lives(pids[name]) for name in ("other", "a", "b")] == [True, False, False]


def test_a_process_that_ignores_sigterm_is_killed(lab: "Lab", sh: Make, eventually: Await) -> None:
    talk = lab.start(sh("a", DEAF))
    talk.send(Spawn(("a",)))
    eventually((lab.folder / "h" / "a.deaf").exists)
    talk.send(Stop(("a",)))
    assert talk.until(Exited).code == -9
    assert talk.until(Gone) == Gone(("a",))


def test_a_grandchild_in_a_session_of_its_own_ends(
    lab: "Lab", sh: Make, lives: Alive, eventually: Await
) -> None:
    talk = lab.start(
        sh(
            "a",
            f"setsid sh -c 'echo $$ > away; {SLEEP}' & while ! [ -s away ]; do sleep 0.01; done;"
            " exit 3",
        )
    )
    talk.send(Spawn(("a",)))
    assert talk.until(Exited).code == 3
    talk.until(Gone)
    assert not lives(read_pid(lab.folder / "h" / "away", eventually))


def test_a_grandchild_without_marks_ends_with_the_last(
    lab: "Lab", sh: Make, lives: Alive, eventually: Await
) -> None:
    talk = lab.start(sh("a", f"env -i setsid sh -c 'echo $$ > away; {SLEEP}' & {SLEEP}"))
    talk.send(Spawn(("a",)))
    main = talk.until(Spawned).pid
    away = read_pid(lab.folder / "h" / "away", eventually)
    os.kill(main, signal.SIGKILL)
    assert talk.until(Gone).left == ()
    assert not lives(away)


def test_a_stop_of_what_never_ran_is_answered(lab: "Lab", sh: Make) -> None:
    talk = lab.start(sh("a", SLEEP))
    talk.send(Stop())
    assert talk.until(Gone) == Gone(("a",))
    talk.send(Stop(("nobody",)))
    assert talk.until(Gone) == Gone(("nobody",))


def test_the_same_process_can_be_started_again(lab: "Lab", sh: Make) -> None:
    talk = lab.start(sh("a", SLEEP))
    for _ in range(2):
        talk.send(Spawn(("a",)))
        talk.until(Spawned)
        talk.send(Stop(("a",)))
        assert talk.until(Exited).requested
        talk.until(Gone)


def test_a_numbered_proof_is_told_after_every_earlier_one(lab: "Lab", sh: Make) -> None:
    """What is started on its word is met by no earlier order any more: one that dies is ended by
    its agent, too."""
    talk = lab.start(sh("a", "exit 1"))
    for number in range(1, 6):
        talk.send(Spawn(("a",)))
        talk.until(Exited)
        talk.send(Stop(("a",), number))
        assert talk.until(Gone).number == 0
        assert talk.until(Gone).number == number


def test_a_gentle_end_and_another_plan(lab: "Lab", sh: Make, eventually: Await) -> None:
    talk = lab.start(sh("a", DEAF))
    talk.send(Spawn(("a",)))
    eventually((lab.folder / "h" / "a.deaf").exists)
    talk.send(Stop(("a",), 1, 0.1))
    assert talk.until(Exited).code == -9
    assert talk.until(Gone) == Gone(("a",), (), 1)
    talk.send(Replan((sh("b", SLEEP),)), Spawn(("a", "b")))
    assert talk.until(Exited).error == "the plan of this host has no such process"
    assert talk.until(Spawned).process == "b"
    assert lab.end() == Gone(("b",))


def test_quit_lets_the_agent_go_once_everything_is_gone(lab: "Lab", sh: Make, lives: Alive) -> None:
    talk = lab.start(sh("a", SLEEP))
    agent = agent_pid(lab)
    talk.send(Spawn(("a",)), Stop(), Quit(), Spawn(("a",)))
    assert [type(event).__name__ for event in talk.to_end()] == [
        "AgentUp",
        "Spawned",
        "Ending",
        "Exited",
        "Exited",
        "Gone",
    ]
    assert lab.end() == Gone(("a",))
    assert not lives(agent)


def test_a_signal_to_the_agent_stops_everything(
    lab: "Lab", sh: Make, lives: Alive, eventually: Await
) -> None:
    talk = lab.start(sh("a", SLEEP), sh("b", DEAF, group="other"))
    talk.send(Spawn(("a", "b")))
    eventually((lab.folder / "h" / "b.deaf").exists)
    os.kill(agent_pid(lab), signal.SIGHUP)
    talk.to_end()
    assert {event.code for event in talk.of(Exited)} == {-15, -9}
    assert talk.of(Gone)[-1] == Gone(("a", "b"))
    assert not any(lives(event.pid) for event in talk.of(Spawned))


def test_end_works_from_the_records_of_a_killed_agent(
    lab: "Lab", sh: Make, lives: Alive, eventually: Await
) -> None:
    talk = lab.start(
        sh("a", f"sleep 1000 & echo $! > inside; {SLEEP}"), sh("b", f"setsid {DEAF_AWAY} & {SLEEP}")
    )
    talk.send(Spawn(("a", "b")))
    mains = [talk.until(Spawned).pid for _ in "ab"]
    others = [read_pid(lab.folder / "h" / name, eventually) for name in ("inside", "away")]
    kill_agent(lab, lives, eventually)
    seen = lab.transport.inspect("h")
    assert seen.agent == "dead"
    assert [(process.name, process.state) for process in seen.processes] == [
        ("a", "running"),
        ("b", "running"),
    ]
    assert lab.end() == Gone(("a", "b"))
    assert not any(map(lives, mains + others))
    assert {process.state for process in lab.transport.inspect("h").processes} == {"gone"}


DEAF_AWAY = "sh -c 'trap \"\" TERM; echo $$ > away; while :; do sleep 1000; done'"


def test_a_reused_pid_is_left_alone(lab: "Lab", sh: Make, lives: Alive, eventually: Await) -> None:
    """The record is made to name this very test's process, as if the pid had been reused, and after
    a boot."""
    lab.start(sh("a", SLEEP))
    kill_agent(lab, lives, eventually)
    path = lab.folder / "h" / "processes" / "a.json"
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    stat = Path("/proc/self/stat").read_text()
    started = float(stat[stat.rindex(")") + 2 :].split()[19])
    for record in ((started + 1, boot), (started, "another-boot")):
        path.write_text(
            json.dumps({"pid": os.getpid(), "start_time": record[0], "boot_id": record[1]})
        )
        assert lab.transport.inspect("h").processes[0].state == "gone"
        assert lab.end() == Gone(("a",))


def test_another_agent_with_the_same_names_is_left_alone(
    lab: "Lab", sh: Make, lives: Alive, eventually: Await
) -> None:
    talks = [lab.start(sh("a", SLEEP), host=host) for host in ("h", "h2")]
    for talk in talks:
        talk.send(Spawn(("a",)))
    pids = [talk.until(Spawned).pid for talk in talks]
    kill_agent(lab, lives, eventually)
    assert lab.end() == Gone(("a",))
    assert [lives(pid) for pid in pids] == [False, True]


def test_nothing_to_end(lab: "Lab") -> None:
    assert lab.end("nobody") == Gone(())


def test_two_ends_at_once_agree(lab: "Lab", sh: Make, lives: Alive, eventually: Await) -> None:
    talk = lab.start(sh("a", DEAF))
    talk.send(Spawn(("a",)))
    eventually((lab.folder / "h" / "a.deaf").exists)
    with ThreadPoolExecutor() as pool:
        assert list(pool.map(lab.end, "hh")) == [Gone(("a",))] * 2
    assert not lives(talk.until(Spawned).pid)


def test_of_many_starts_in_one_folder_one_wins(lab: "Lab", sh: Make) -> None:
    def attempt(_: int) -> bool:
        try:
            lab.start(sh("a", SLEEP))
        except HostError:
            return False
        return True

    with ThreadPoolExecutor() as pool:
        assert sorted(pool.map(attempt, range(4))) == [False, False, False, True]


def test_a_child_whose_agent_dies_before_the_record_never_runs(tmp_path: Path) -> None:
    process = Process("a", "g", "h", ("touch", str(tmp_path / "ran")))
    with (tmp_path / "log").open("wb") as log:
        pid, gate, errors = _fork(process, dict(os.environ), tmp_path, log.fileno())
    os.close(gate)  # as the kernel does for a dead agent
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 127
    os.close(errors)
    assert not (tmp_path / "ran").exists()

"""Members of a process's tree that end: who, how, and at once."""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.waiting import until

from dsr1.hosts.agent.process.member_name import component_of, read_name, with_rank
from dsr1.hosts.agent.process.tree_watch import Member, TreeWatch
from dsr1.hosts.protocol.evidence import ProcessDeath
from dsr1.hosts.protocol.identity import read_stat

# A main with a child that has a child of its own; it collects its child at once, as vLLM does.
TREE = """
import subprocess, sys, time
child = subprocess.Popen((sys.executable, "-c", sys.argv[1], "VLLM:" ":Worker_DP0_EP0"))
child.wait()
time.sleep(600)
"""
WAITING = "import time; time.sleep(600)"


@pytest.fixture
def watch() -> Iterator[TreeWatch]:
    made = TreeWatch()
    yield made
    made.close()


@pytest.fixture
def tree() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen((sys.executable, "-c", TREE, WAITING), start_new_session=True) as main:
        yield main
        os.killpg(main.pid, signal.SIGKILL)


def children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(word) for word in text.split()]


def worker_of(pid: int) -> int:
    """0: it has none yet, or that one has not its own command yet."""
    return next((child for child in children(pid) if component_of(child).startswith("W")), 0)


def until_death(watch: TreeWatch) -> list[ProcessDeath]:
    """A long wait for the pidfds, then what they told."""
    assert select.select([watch], [], [], 60)[0]
    return watch.collect()


def named(watch: TreeWatch, main: int, component: str) -> int:
    """The pid of the one that the watch knows by that name; 0: none yet."""
    news = watch.look_for_members({"main-0": main})
    return next((member.pid for member in news if member.component == component), 0)


@pytest.mark.parametrize("number", [signal.SIGILL, signal.SIGKILL, signal.SIGTERM])
def test_a_childs_end_is_told_with_its_signal(
    watch: TreeWatch, tree: subprocess.Popen[bytes], number: signal.Signals, eventually: Any
) -> None:
    eventually(lambda: worker_of(tree.pid))
    child = worker_of(tree.pid)
    watch.look_for_members({"main-0": tree.pid})
    assert watch.collect() == []
    os.kill(child, number)
    found = [(one.process, one.component, one.pid, one.code) for one in until_death(watch)]
    assert found == [("main-0", "Worker_DP0_EP0", child, -number)]
    assert tree.poll() is None


def test_an_exit_code_is_told_even_where_the_parent_collects_it_at_once(
    watch: TreeWatch, eventually: Any
) -> None:
    ends = "import sys; sys.stdin.read(); sys.exit(7)"
    script = TREE.replace('EP0"))', 'EP0"), stdin=0)')
    command = (sys.executable, "-c", script, ends)
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as main:
        try:
            eventually(lambda: worker_of(main.pid))
            watch.look_for_members({"main-0": main.pid})
            assert main.stdin is not None
            main.stdin.close()
            assert [one.code for one in until_death(watch)] == [7]
        finally:
            os.killpg(main.pid, signal.SIGKILL)


def test_who_was_seen_once_is_not_seen_again(
    watch: TreeWatch, tree: subprocess.Popen[bytes], eventually: Any
) -> None:
    eventually(lambda: worker_of(tree.pid))
    watch.look_for_members({"main-0": tree.pid})
    watch.look_for_members({"main-0": tree.pid})
    os.kill(children(tree.pid)[0], signal.SIGKILL)
    assert len(until_death(watch)) == 1
    watch.look_for_members({"main-0": tree.pid})
    assert watch.collect() == []


def test_helpers_come_and_go(watch: TreeWatch, eventually: Any) -> None:
    """A child of a Worker has its title until it runs something else."""
    forks = "import os, time; os.fork() or time.sleep(600); time.sleep(600)"
    command = (sys.executable, "-c", forks, "VLLM::Worker_DP1")
    with subprocess.Popen(command, start_new_session=True) as main:
        try:
            eventually(lambda: children(main.pid))
            watch.look_for_members({"main-1": main.pid})
            os.kill(children(main.pid)[0], signal.SIGKILL)
            eventually(lambda: not alive_children(main.pid))
            assert watch.collect() == []
        finally:
            os.killpg(main.pid, signal.SIGKILL)


def alive_children(pid: int) -> list[int]:
    found = (read_stat(child) for child in children(pid))
    return [stat.pid for stat in found if stat and stat.alive]


# A parent that starts a child by multiprocessing, as vLLM does, which hangs in its imports.
SPAWNS = """
import multiprocessing, os, sys, time
if __name__ == "__main__":
    multiprocessing.get_context("spawn").Process(target=print).start()
    time.sleep(600)
time.sleep(600)
"""


@pytest.fixture
def importing(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """An EngineCore whose Worker has no name yet."""
    script = tmp_path / "main.py"
    script.write_text(SPAWNS)
    command = (sys.executable, script, "VLLM::EngineCore_DP3")
    with subprocess.Popen(command, start_new_session=True) as main:
        yield main
        os.killpg(main.pid, signal.SIGKILL)


def spawned(pid: int) -> int:
    return next((child for child in children(pid) if component_of(child) == "spawned"), 0)


@pytest.mark.parametrize(("number", "told"), [(signal.SIGILL, True), (signal.SIGTERM, False)])
def test_a_child_that_dies_before_it_has_a_name_is_evidence_where_it_crashed(
    watch: TreeWatch,
    importing: subprocess.Popen[bytes],
    eventually: Any,
    number: signal.Signals,
    told: bool,
) -> None:
    eventually(lambda: spawned(importing.pid))
    child = spawned(importing.pid)
    assert watch.look_for_members({"main-0": importing.pid}) == []
    os.kill(child, number)
    found = [(one.component, one.pid, one.code) for one in until_death(watch)]
    assert found == ([("spawned_DP3", child, -number)] if told else [])


def test_a_name_is_told_once(watch: TreeWatch, tree: subprocess.Popen[bytes]) -> None:
    until(lambda: named(watch, tree.pid, "Worker_DP0_EP0") == worker_of(tree.pid), "its name")
    assert watch.look_for_members({"main-0": tree.pid}) == []


@pytest.mark.parametrize(
    ("command", "comm", "name"),
    [
        ("VLLM::Worker_DP1_EP1", "VLLM::Worker_DP", "Worker_DP1_EP1"),
        ("", "VLLM::Worker_DP", "Worker"),
        ("", "VLLM::EngineCor", "EngineCore"),
        ("", "VLLM::DPCoordin", "DPCoordinator"),
        ("", "VLLM::Worker", "Worker"),
        ("", "VLLM::Something", "Something"),
        ("", "python3", "python3"),
        ("/usr/bin/ninja -v", "ninja", "ninja"),
        ("python -c from multiprocessing.spawn import spawn_main; x", "python", "spawned"),
    ],
)
def test_a_zombies_name_is_cut_short(command: str, comm: str, name: str) -> None:
    assert read_name(command, comm) == name


@pytest.mark.parametrize(
    ("name", "parent", "known_as"),
    [
        ("Worker", "EngineCore_DP12", "Worker_DP12"),
        ("Worker_DP1_EP1", "EngineCore_DP1", "Worker_DP1_EP1"),
        ("Worker_TP0", "EngineCore", "Worker_TP0"),
        ("ninja", "Worker_DP1_EP1", "ninja"),
    ],
)
def test_a_workers_rank_is_its_engines(name: str, parent: str, known_as: str) -> None:
    assert with_rank(name, parent) == known_as


def test_one_that_is_going_keeps_its_whole_name(
    watch: TreeWatch, tree: subprocess.Popen[bytes], eventually: Any
) -> None:
    """A zombie of a name that the kernel has cut, which nobody collects."""
    eventually(lambda: worker_of(tree.pid))
    watch.look_for_members({"main-0": tree.pid})
    child = worker_of(tree.pid)
    os.kill(tree.pid, signal.SIGSTOP)
    os.kill(child, signal.SIGKILL)
    eventually(lambda: not alive_children(tree.pid))
    assert watch.look_for_members({"main-0": tree.pid}) == []
    assert [one.component for one in until_death(watch)] == ["Worker_DP0_EP0"]


def test_a_child_of_a_worker_is_no_worker_even_as_a_zombie() -> None:
    """A zombie's name has lost its rank."""
    member = Member("main-0", "Worker_DP1", 2, 3, 1, "Worker_DP1_EP1")
    assert not member.lasting
    assert replace(member, parents_name="EngineCore_DP1").lasting

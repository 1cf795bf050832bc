"""Members of a process's tree that end: who, how, and at once."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dsr1.hosts.agent.process.tree_watch import TreeWatch, component_of
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


def deaths(watch: TreeWatch) -> list[ProcessDeath]:
    watch.collect()
    return watch.deaths


@pytest.mark.parametrize("number", [signal.SIGILL, signal.SIGKILL, signal.SIGTERM])
def test_a_childs_end_is_told_with_its_signal(
    watch: TreeWatch, tree: subprocess.Popen[bytes], number: signal.Signals, eventually: Any
) -> None:
    eventually(lambda: worker_of(tree.pid))
    child = worker_of(tree.pid)
    watch.look_for_members({"main-0": tree.pid})
    assert watch.collect() == []
    os.kill(child, number)
    eventually(lambda: deaths(watch))
    assert [(one.process, one.pid, one.code) for one in watch.deaths] == [
        ("main-0", child, -number)
    ]
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
            eventually(lambda: deaths(watch))
            assert [one.code for one in watch.deaths] == [7]
        finally:
            os.killpg(main.pid, signal.SIGKILL)


def test_who_was_seen_once_is_not_seen_again(
    watch: TreeWatch, tree: subprocess.Popen[bytes], eventually: Any
) -> None:
    eventually(lambda: worker_of(tree.pid))
    watch.look_for_members({"main-0": tree.pid})
    watch.look_for_members({"main-0": tree.pid})
    os.kill(children(tree.pid)[0], signal.SIGKILL)
    eventually(watch.collect)
    watch.look_for_members({"main-0": tree.pid})
    assert watch.collect() == []
    assert len(watch.deaths) == 1


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

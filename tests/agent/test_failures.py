"""What an agent's host tells of real failures, through the transport, and who is then blamed."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dsr1.hosts.protocol.commands import Spawn, Stop
from dsr1.hosts.protocol.events import Exited, Gone, MemberDied, MemberNamed
from dsr1.hosts.protocol.evidence import EvidenceRequest, HostEvidence, ProcessRanks
from dsr1.hosts.protocol.identity import read_stat
from dsr1.hosts.protocol.process import Process
from dsr1.hosts.transport.local import LocalTransport
from dsr1.launcher.triage.judge import Cause, find_cause
from dsr1.launcher.triage.rules import load_rules, patterns

if TYPE_CHECKING:
    from tests.agent.conftest import Lab

Make = Callable[..., Process]
MEMORY = Path("/sys/fs/cgroup/memory")
# An EngineCore, named as vLLM names it, that starts its Worker.
MAIN = """
import subprocess, sys, time
core = (sys.executable, "-c", sys.argv[1], "VLLM:" + ":EngineCore_DP1", sys.argv[1])
subprocess.Popen(core)
time.sleep(600)
"""
CORE = """
import subprocess, sys, time
if len(sys.argv) > 2:
    subprocess.Popen((sys.executable, "-c", sys.argv[2], "VLLM:" + ":Worker_DP1_EP1"))
time.sleep(600)
"""


def ask(lab: "Lab", *names: str) -> HostEvidence:
    ranks = tuple(ProcessRanks(name, "main", (1,)) for name in names)
    return lab.transport.gather_evidence("h", EvidenceRequest(patterns(load_rules()), ranks, 60))


def blame(evidence: HostEvidence) -> Cause:
    cause = find_cause({"h": evidence}, load_rules(), {})
    assert cause is not None
    return cause


def tree(name: str = "main-0") -> Process:
    argv = (sys.executable, "-c", MAIN, CORE)
    return Process(name, "g", "h", argv, grace_s=0.5, ranks=(1,))


@pytest.fixture
def members(lab: "Lab") -> tuple[int, int]:
    """Of a tree that runs, and that the agent watches: the EngineCore and the Worker."""
    talk = lab.start(tree())
    talk.send(Spawn(("main-0",)))
    core = talk.until(MemberNamed, lambda it: it.component == "EngineCore_DP1").pid
    return core, talk.until(MemberNamed, lambda it: it.component == "Worker_DP1_EP1").pid


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
@pytest.mark.parametrize("victim", ["EngineCore", "Worker"])
def test_a_dead_member_is_told_while_its_main_lives(
    lab: "Lab", members: tuple[int, int], victim: str, number: signal.Signals
) -> None:
    talk = lab.attach(0)
    os.kill(members[0 if victim == "EngineCore" else 1], number)
    died = talk.until(MemberDied)
    assert (died.code, died.requested) == (-number, False)
    assert died.component.startswith(victim)
    assert not talk.of(Exited)
    cause = blame(ask(lab, "main-0"))
    assert cause.sign.what == f"{victim} ended by {number.name}"
    assert (cause.sign.rank, cause.certain) == (1, True)


def test_a_member_that_ends_by_our_order_is_no_failure(
    lab: "Lab", members: tuple[int, int]
) -> None:
    talk = lab.attach(0)
    talk.send(Stop())
    talk.until(Gone)
    assert all(event.requested for event in talk.of(MemberDied))
    assert find_cause({"h": ask(lab, "main-0")}, load_rules(), {}) is None


def test_an_agents_own_words_can_be_read(lab: "Lab", members: tuple[int, int]) -> None:
    """Also of a host whose agent's folder is elsewhere: for a bug report."""
    events = lab.transport.own_words("h")["events.jsonl"]
    assert f'"component":"EngineCore_DP1","pid":{members[0]}' in events


def test_a_stopped_worker_is_the_culprit(
    lab: "Lab",
    members: tuple[int, int],
    eventually: Callable[[Callable[[], object]], None],
) -> None:
    os.kill(members[1], signal.SIGSTOP)
    eventually(lambda: "T" in str(read_stat(members[1])))
    cause = blame(ask(lab, "main-0"))
    assert (cause.sign.what, cause.sign.rank) == ("Worker is stopped (state T)", 1)
    os.kill(members[1], signal.SIGCONT)


@pytest.fixture
def limited() -> Iterator[Path]:
    """A real cgroup with 96 MiB."""
    made = MEMORY / f"dsr1-test-{os.getpid()}"
    try:
        made.mkdir()
        (made / "memory.limit_in_bytes").write_text(str(96 << 20))
    except OSError as error:
        pytest.skip(f"no cgroup of version 1 can be made here: {error}")
    yield made
    for _ in range(200):
        try:
            made.rmdir()
        except OSError:
            time.sleep(0.05)
        else:
            return


def test_killed_for_want_of_memory(lab: "Lab", limited: Path) -> None:
    enter = 'echo $$ > "$0/cgroup.procs"; exec "$@"'
    python = ("sh", "-c", enter, str(limited), sys.executable)
    lab.transport = LocalTransport(lab.folder, python, lab.run_id)
    eats = "x = bytearray(400 << 20); import time; time.sleep(600)"
    argv = (sys.executable, "-c", eats)
    talk = lab.start(Process("main-0", "g", "h", argv, grace_s=0.5, ranks=(1,)))
    talk.send(Spawn(("main-0",)))
    assert talk.until(Exited).code == -signal.SIGKILL
    cause = blame(ask(lab, "main-0"))
    assert cause.sign.rule == "host.oom"
    assert cause.sign.what == "its main process ended by SIGKILL, by the kernel for want of memory"
    assert (cause.sign.rank, cause.certain) == (1, True)

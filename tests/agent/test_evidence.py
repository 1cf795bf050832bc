"""What a host shows of a failure: the real kernel's log, real processes, real logs."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dsr1.hosts.agent.evidence.gather import gather_evidence
from dsr1.hosts.agent.evidence.kernel import (
    FIRST_NAMESPACE,
    kernel_lines,
    without_others_kills,
)
from dsr1.hosts.agent.process.cgroup import KillCount, kills_since, oom_kills, since_boot
from dsr1.hosts.agent.process.records import (
    ProcessRecord,
    agent_path,
    log_path,
    make_record,
    process_path,
    write_record,
)
from dsr1.hosts.protocol.evidence import EvidenceRequest, KernelLine, ProcessRanks
from dsr1.hosts.protocol.log_scan import LogPattern

DIED = LogPattern("died", "died unexpectedly")
OOM = b"4,12,5000000,-;Memory cgroup out of memory: Killed process 12 (python)\n"


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen((sys.executable, "-c", "import time; time.sleep(600)")) as process:
        yield process
        process.kill()


def test_states_logs_and_boot(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    log_path(tmp_path, "main-0").parent.mkdir(parents=True)
    process_path(tmp_path, "main-0").parent.mkdir(parents=True)
    write_record(process_path(tmp_path, "main-0"), make_record(sleeper.pid))
    log_path(tmp_path, "main-0").write_text("fine\nWorker proc 0 died unexpectedly\n")
    ranks = (ProcessRanks("main-0", "main", (0,)), ProcessRanks("main-1", "main", (1,)))
    request = EvidenceRequest((DIED,), ranks, 60)
    seen = gather_evidence(request, "node1", tmp_path)
    assert not seen.rebooted
    assert [(one.process, one.pid) for one in seen.members] == [("main-0", sleeper.pid)]
    assert [hit.line for hit in seen.logs[0].scan.hits] == [2]
    assert any("main-1.log" in problem for problem in seen.problems)
    write_record(agent_path(tmp_path), ProcessRecord(1, 1.0, "another boot"))
    assert gather_evidence(request, "node1", tmp_path).rebooted


def test_lines_of_the_kernels_log_of_late(tmp_path: Path) -> None:
    (tmp_path / "dev").mkdir()
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/uptime").write_text("10.0 5.0\n")
    (tmp_path / "dev/kmsg").write_bytes(OOM)
    assert [(one.time, one.text) for one in kernel_lines(6.0, 1000.0, tmp_path)] == [
        (995.0, "Memory cgroup out of memory: Killed process 12 (python)")
    ]
    assert kernel_lines(4.0, 1000.0, tmp_path) == ()


def test_kills_of_other_peoples_processes_are_left_out() -> None:
    ours = KernelLine(1.0, "Memory cgroup out of memory: Killed process 12 (VLLM::Worker_DP) total")
    others = KernelLine(2.0, "Out of memory: Killed process 123 (VLLM::Worker_DP) total-vm:8kB")
    xid = KernelLine(3.0, "NVRM: Xid (PCI:0000:3b:00): 79, pid=99")
    told = (ours, others, xid)
    assert tuple(without_others_kills(told, {12}, FIRST_NAMESPACE)) == (ours, xid)
    assert tuple(without_others_kills(told, {12}, FIRST_NAMESPACE + 7)) == told


@pytest.mark.parametrize(
    ("line", "file", "text"),
    [
        ("0::/job", "memory.events", "low 0\noom 3\noom_kill 2\n"),
        ("9:memory:/job", "memory/job/memory.oom_control", "oom_kill_disable 0\noom_kill 2\n"),
    ],
)
def test_kills_for_want_of_memory_are_counted(
    tmp_path: Path, line: str, file: str, text: str
) -> None:
    (tmp_path / "proc/7").mkdir(parents=True)
    (tmp_path / "proc/7/cgroup").write_text(f"{line}\n")
    counter = tmp_path / "sys/fs/cgroup" / (f"job/{file}" if "/" not in file else file)
    counter.parent.mkdir(parents=True)
    counter.write_text(text)
    assert oom_kills(7, tmp_path) == 2


def test_kills_of_long_ago_do_not_count(tmp_path: Path) -> None:
    notes, now = tmp_path / "oom", oom_kills(os.getpid())
    KillCount(notes).note()
    assert kills_since(notes, since_boot() + 1, os.getpid()) == 0
    notes.write_text(f"100 {now - 3}\n200 {now - 1}\n")
    assert kills_since(notes, 150.0, os.getpid()) == 3
    assert kills_since(notes, 250.0, os.getpid()) == 1


def test_a_process_without_a_count_has_none() -> None:
    assert oom_kills(os.getpid()) >= 0

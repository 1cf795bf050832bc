"""Gathers what this host shows of a failure: quick, and each part by itself, so that one that can't
be read doesn't hide the others."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

from dsr1.hosts.agent.evidence.cgroup import oom_kills
from dsr1.hosts.agent.evidence.kernel import kernel_lines
from dsr1.hosts.agent.process.procfs import descendants, read_process_table
from dsr1.hosts.agent.process.records import log_path, process_path, read_record
from dsr1.hosts.agent.process.tree_watch import component_of
from dsr1.hosts.protocol.boot import boot_id
from dsr1.hosts.protocol.evidence import (
    EvidenceRequest,
    HostEvidence,
    KernelLine,
    MemberState,
    ProcessLog,
)
from dsr1.hosts.protocol.log_scan import scan_log


def gather_evidence(request: EvidenceRequest, host: str, folder: Path) -> HostEvidence:
    """`folder` is the agent's. What can't be looked at is told in `problems`."""
    problems: list[str] = []
    mains = dict(_mains(folder, request))
    return HostEvidence(
        host,
        now=time.time(),
        rebooted=bool(request.boot_id) and request.boot_id != boot_id(),
        oom_kills=max((_kills(pid) for pid in mains.values()), default=0),
        members=tuple(_members(mains)),
        logs=tuple(_logs(folder, request, problems)),
        kernel=_kernel(request.since, problems),
        problems=tuple(problems),
    )


def _mains(folder: Path, request: EvidenceRequest) -> Iterator[tuple[str, int]]:
    for process in request.ranks:
        record = read_record(process_path(folder, process.name))
        if record and record.pid:
            yield process.name, record.pid


def _kills(pid: int) -> int:
    try:
        return oom_kills(pid)
    except OSError:
        return 0


def _members(mains: dict[str, int]) -> Iterator[MemberState]:
    table = read_process_table()
    for process, main in mains.items():
        for pid in sorted({main, *descendants(table, {main})} & table.keys()):
            yield MemberState(process, component_of(pid), pid, table[pid].state, _waits_in(pid))


def _waits_in(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/wchan").read_text().strip("0\n")
    return ""


def _logs(folder: Path, request: EvidenceRequest, problems: list[str]) -> Iterator[ProcessLog]:
    for process in request.ranks:
        path = log_path(folder, process.name)
        try:
            scan = scan_log(path, request.patterns)
        except OSError as error:
            problems.append(f"{path}: {error.strerror}")
        else:
            yield ProcessLog(process.name, process.engine, process.ranks, scan)


def _kernel(since: float, problems: list[str]) -> tuple[KernelLine, ...]:
    try:
        return kernel_lines(since, time.time())
    except OSError as error:
        problems.append(f"the kernel's log: {error}")
        return ()

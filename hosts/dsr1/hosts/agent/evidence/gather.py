"""Gathers what this host shows of a failure: quick, and each part by itself, so that one that can't
be read doesn't hide the others."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

from dsr1.hosts.agent.evidence.deaths import deaths_of, pids_of, read_events
from dsr1.hosts.agent.evidence.kernel import (
    kernel_lines,
    pid_namespace,
    without_others_kills,
)
from dsr1.hosts.agent.evidence.room import full_folders
from dsr1.hosts.agent.process.cgroup import kills_since, since_boot
from dsr1.hosts.agent.process.member_name import LASTING, component_of
from dsr1.hosts.agent.process.procfs import descendants, read_process_table
from dsr1.hosts.agent.process.records import (
    agent_path,
    kills_path,
    log_path,
    process_path,
    read_record,
)
from dsr1.hosts.protocol.boot import boot_id
from dsr1.hosts.protocol.evidence import (
    EvidenceRequest,
    HostEvidence,
    KernelLine,
    MemberState,
    ProcessLog,
    ProcessRanks,
)
from dsr1.hosts.protocol.log_lines import kept_parts
from dsr1.hosts.protocol.log_scan import UNREAD, scan_log

ENOUGH_S = 1.6  # no further log is begun after that: whoever asks waits for two seconds
MOST_MEMBERS, MOST_FRAMES, STUCK = 512, 12, ("T", "D")


def gather_evidence(request: EvidenceRequest, host: str, folder: Path) -> HostEvidence:
    """`folder` is the agent's. What can't be looked at is told in `problems`."""
    problems: list[str] = []
    until = time.monotonic() + ENOUGH_S
    mains = dict(_mains(folder, request))
    events = read_events(folder / "events.jsonl")
    return HostEvidence(
        host,
        now=time.time(),
        utc_offset_s=float(time.localtime().tm_gmtoff),
        rebooted=_rebooted(folder),
        oom_kills=_kills(folder, request.within_s),
        deaths=tuple(deaths_of(events)),
        members=tuple(_members(mains))[:MOST_MEMBERS],
        full=full_folders((folder, Path("/dev/shm"), Path("/tmp"))),
        kernel=_kernel(request.within_s, pids_of(events), problems),
        logs=tuple(_logs(folder, request, until, problems)),
        problems=tuple(problems),
    )


def _mains(folder: Path, request: EvidenceRequest) -> Iterator[tuple[str, int]]:
    for process in request.ranks:
        record = read_record(process_path(folder, process.name))
        if record and record.pid:
            yield process.name, record.pid


def _kills(folder: Path, within_s: float) -> int:
    """Of the agent's cgroup, which its processes are in."""
    agent = read_record(agent_path(folder))
    if agent is None or not agent.pid:
        return 0
    return kills_since(kills_path(folder), since_boot() - within_s, agent.pid)


def _rebooted(folder: Path) -> bool:
    """Since the agent's start."""
    agent = read_record(agent_path(folder))
    return agent is not None and agent.boot_id != boot_id()


def _members(mains: dict[str, int]) -> Iterator[MemberState]:
    """The mains and the lasting members; helpers matter to nobody."""
    table = read_process_table()
    for process, main in mains.items():
        for pid in sorted({main, *descendants(table, {main})} & table.keys()):
            component = component_of(pid)
            if pid == main or LASTING.match(component):
                name = "main" if pid == main else component
                state = table[pid].state
                stack = _kernel_stack(pid) if state in STUCK else ()
                yield MemberState(process, name, pid, state, _waits_in(pid), stack)


def _waits_in(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/wchan").read_text().strip("0\n")
    return ""


def _kernel_stack(pid: int) -> tuple[str, ...]:
    """Innermost first; only root may read it."""
    with contextlib.suppress(OSError):
        lines = Path(f"/proc/{pid}/stack").read_text().splitlines()
        return tuple(line.partition("] ")[2] for line in lines[:MOST_FRAMES])
    return ()


def _logs(
    folder: Path, request: EvidenceRequest, until: float, problems: list[str]
) -> Iterator[ProcessLog]:
    for process in request.ranks:
        path = log_path(folder, process.name)
        if time.monotonic() > until:
            problems.append(f"{path}: not read, for want of time")
            yield _unread(process)
            continue
        try:
            scan = scan_log(path.resolve(), request.patterns)
        except OSError as error:
            problems.append(f"{path}: {error.strerror}")
            yield _unread(process)
        else:
            yield ProcessLog(process.name, process.engine, process.ranks, scan)
            yield from _moved_part(process, path, request)


def _unread(process: ProcessRanks) -> ProcessLog:
    """Whose it is is known all the same."""
    return ProcessLog(process.name, process.engine, process.ranks, UNREAD)


def _moved_part(
    process: ProcessRanks, path: Path, request: EvidenceRequest
) -> Iterator[ProcessLog]:
    """The newest of what was moved out of a log that had grown too long."""
    for part in kept_parts(path)[-1:]:
        with contextlib.suppress(OSError):
            scan = scan_log(part.path, request.patterns)
            yield ProcessLog(process.name, process.engine, (), scan)


def _kernel(within_s: float, pids: frozenset[int], problems: list[str]) -> tuple[KernelLine, ...]:
    try:
        lines = kernel_lines(within_s, time.time())
        return tuple(without_others_kills(lines, pids, pid_namespace()))
    except OSError as error:
        problems.append(f"the kernel's log: {error}")
        return ()

"""Gathers what this host shows of a failure: quick, and each part by itself, so that one that can't
be read doesn't hide the others."""

import contextlib
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from dsr1.hosts.agent.evidence.collectives import read_collectives
from dsr1.hosts.agent.evidence.deaths import deaths_of, ended_pids, read_events
from dsr1.hosts.agent.evidence.gpus import begin_gpus, gpu_states
from dsr1.hosts.agent.evidence.kernel import (
    kernel_lines,
    pid_namespace,
    without_others_kills,
)
from dsr1.hosts.agent.evidence.members import list_members, look_again
from dsr1.hosts.agent.process.cgroup import kills_since, since_boot
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
    ProcessLog,
    ProcessRanks,
)
from dsr1.hosts.protocol.log_lines import kept_parts
from dsr1.hosts.protocol.log_scan import UNREAD, scan_log

LITTLE_BYTES = 4 << 20
ENOUGH_S = 1.6  # no further log is begun after that: whoever asks waits for two seconds


def gather_evidence(request: EvidenceRequest, host: str, folder: Path) -> HostEvidence:
    """`folder` is the agent's. What can't be looked at is told in `problems`."""
    problems: list[str] = []
    until, within_s = time.monotonic() + ENOUGH_S, request.within_s
    mains = dict(_mains(folder, request))
    events = read_events(folder / "events.jsonl")
    gpus, members = begin_gpus(), list_members(mains)
    logs = tuple(_logs(folder, request, until, problems))
    states, since = gpus(), time.time() - within_s
    if states.problem:
        problems.append(f"the GPUs: {states.problem}")
    return HostEvidence(
        host,
        now=time.time(),
        utc_offset_s=float(time.localtime().tm_gmtoff),
        hang=request.hang,
        rebooted=_rebooted(folder),
        oom_kills=_kills(folder, within_s),
        deaths=tuple(deaths_of(events)),
        members=tuple(look_again(members, request.hang)),
        full=full_folders((folder, Path("/dev/shm"), Path("/tmp"))),
        kernel=_kernel(within_s, ended_pids(events), problems),
        logs=logs,
        gpus=gpu_states(states.values),
        collectives=read_collectives(map(_environment, mains.values()), since, request.hang),
        problems=tuple(problems),
    )


def _environment(pid: int) -> dict[str, str]:
    """Of a main that is gone, ours: its home is the same."""
    try:
        text = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace")
    except OSError:
        return dict(os.environ)
    pairs = (line.partition("=") for line in text.split("\0"))
    return {name: value for name, _, value in pairs}


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
            yield ProcessLog(process, scan)
            yield from _moved_part(process, path, request)


def _unread(process: ProcessRanks) -> ProcessLog:
    """Whose it is is known all the same."""
    return ProcessLog(process, UNREAD)


def _moved_part(
    process: ProcessRanks, path: Path, request: EvidenceRequest
) -> Iterator[ProcessLog]:
    """The newest of what was moved out of a log that had grown too long."""
    for part in kept_parts(path)[-1:]:
        with contextlib.suppress(OSError):
            scan = scan_log(part.path, request.patterns)
            yield ProcessLog(replace(process, ranks=()), scan)


def _kernel(within_s: float, pids: frozenset[int], problems: list[str]) -> tuple[KernelLine, ...]:
    try:
        lines = kernel_lines(within_s, time.time())
        return tuple(without_others_kills(lines, pids, pid_namespace()))
    except OSError as error:
        problems.append(f"the kernel's log: {error}")
        return ()


def full_folders(folders: Iterable[Path]) -> tuple[str, ...]:
    """Those that have no room left."""
    return tuple(str(folder) for folder in folders if _is_full(folder))


def _is_full(folder: Path) -> bool:
    """Of space or of files."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return False
    return found.f_bavail * found.f_frsize < LITTLE_BYTES or (found.f_files > 0 == found.f_favail)

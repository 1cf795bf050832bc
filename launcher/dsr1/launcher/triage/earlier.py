"""What hosts still show of failures that were over before the newest began. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import floor

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.protocol.evidence import HostEvidence, KernelLine, ProcessDeath, ProcessLog
from dsr1.hosts.protocol.log_scan import LogHit
from dsr1.launcher.triage.deaths import OOM_LINE
from dsr1.launcher.triage.log_line import time_of
from dsr1.launcher.triage.signs import year_of


@dataclass(frozen=True, slots=True)
class EarlierFailure:
    """`began` and `over`: seconds since the epoch, by our clock; by `over` nothing of what had
    failed was alive. Without `engine` it was all of the run."""

    engine: str
    why: str
    began: float
    over: float


def without_earlier(
    evidence: Mapping[str, HostEvidence], earlier: Sequence[EarlierFailure]
) -> dict[str, HostEvidence]:
    """An engine's deaths up to its own failure's end; of everybody what logs and kernels told until
    the last of them was over: others only answered to it."""
    return {name: _without(host, earlier) if earlier else host for name, host in evidence.items()}


def _without(host: HostEvidence, earlier: Sequence[EarlierFailure]) -> HostEvidence:
    since = max(one.over for one in earlier)
    kernel = tuple(line for line in host.kernel if line.time - host.ahead_s > since)
    return replace(
        host,
        deaths=tuple(death for death in host.deaths if not _is_earlier(host, death, earlier)),
        logs=tuple(_log_since(host, log, since) for log in host.logs),
        kernel=kernel,
        oom_kills=max(0, host.oom_kills - _kills(host.kernel) + _kills(kernel)),
    )


def _is_earlier(host: HostEvidence, death: ProcessDeath, earlier: Sequence[EarlierFailure]) -> bool:
    """What has no ranks is an engine by its process's name."""
    names = (host.log_of(death.process).of.engine, death.process, "")
    return any(one.engine in names and death.time - host.ahead_s <= one.over for one in earlier)


def _log_since(host: HostEvidence, log: ProcessLog, since: float) -> ProcessLog:
    """A line without a time is as old as the one before it."""
    kept: list[LogHit] = []
    time = 0.0
    for hit in log.scan.hits:
        told = time_of(hit.text, year_of(host), host.utc_offset_s)
        time = time if told is None else told - host.ahead_s
        if time >= floor(since):  # vLLM stamps whole seconds
            kept.append(hit)
    return replace(log, scan=replace(log.scan, hits=tuple(kept)))


def _kills(kernel: Sequence[KernelLine]) -> int:
    return sum(OOM_LINE in line.text for line in kernel)

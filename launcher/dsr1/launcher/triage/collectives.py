"""Who is out of step while all wait: behind in the collectives, or with an idle GPU while those of
the others spin. Pure."""

import re
from collections.abc import Iterator, Mapping, Sequence

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.protocol.evidence import GpuState, HostEvidence, MemberState, ProcessLog
from dsr1.launcher.triage.log_line import rank_of
from dsr1.launcher.triage.rules import WAITING
from dsr1.launcher.triage.signs import Sign

SPINS, IDLE = 90, 10  # percent: a kernel that waits for its peers keeps its GPU at work
REMEDY = "its stack tells where it is: dsr1 why shows it"
# torch, ProcessGroupNCCL.cpp: `[PG ID 2 PG GUID 3(EP) Rank 5] ... last enqueued NCCL work: 41`
_LAST = re.compile(
    r"\[(?:PG (?:ID )?(?P<group>\S+)[^\]]*? )?Rank (?P<rank>\d+)\].*"
    r"[Ll]ast enqueued (?:NCCL )?work: (?P<begun>-?\d+)"
)


@dataclass(frozen=True, slots=True)
class _Step:
    """How far a rank of a process group has come."""

    host: str
    log: ProcessLog
    group: str
    rank: int
    begun: int
    text: str = ""


def behind_signs(evidence: Mapping[str, HostEvidence]) -> list[Sign]:
    """Those that have begun fewer collectives than most of their group. -1 says nothing."""
    groups: dict[tuple[str, str], dict[int, _Step]] = {}
    for host in evidence.values():
        for step in (*_recorded(host), *_logged(host)):
            if step.begun >= 0:
                groups.setdefault((step.log.of.engine, step.group), {})[step.rank] = step
    return sorted(sign for steps in groups.values() for sign in _behind(list(steps.values())))


def _behind(steps: Sequence[_Step]) -> Iterator[Sign]:
    first = max(step.begun for step in steps)
    late = [step for step in steps if step.begun < first]
    if 2 * len(late) < len(steps) or len(steps) == 2:
        yield from (_behind_sign(step, first) for step in late)


def _behind_sign(step: _Step, first: int) -> Sign:
    what = f"has begun {step.begun} collectives of its group, the others {first}"
    who = (step.host, step.log.of.name)
    path = step.log.scan.path
    return Sign(
        WAITING,
        None,
        *who,
        what,
        REMEDY,
        "behind",
        step.log.of.engine,
        step.rank,
        "",
        step.text,
        path,
    )


def _recorded(host: HostEvidence) -> Iterator[_Step]:
    """By the flight recorder. Torch's rank is the global DP rank where an engine has no other
    parallelism, as DEP has it."""
    for one in host.collectives:
        if log := next((log for log in host.logs if one.rank in log.of.ranks), None):
            yield _Step(host.host, log, one.group, one.rank, one.begun, one.name)


def _logged(host: HostEvidence) -> Iterator[_Step]:
    for log in host.logs:
        for hit in log.scan.hits:
            if found := _LAST.search(hit.text):
                step = (found["group"] or "", int(found["rank"]), int(found["begun"]))
                yield _Step(host.host, log, *step, hit.text)


def idle_signs(evidence: Mapping[str, HostEvidence]) -> list[Sign]:
    """Workers whose GPU is idle while most others' are at work."""
    used = [(host, *use) for host in evidence.values() for use in _in_use(host)]
    idle = [(host, member) for host, member, gpu in used if (gpu.busy_percent or 0) <= IDLE]
    spins = [gpu for _, _, gpu in used if (gpu.busy_percent or 0) >= SPINS]
    if not idle or len(spins) <= len(used) / 2:
        return []
    return [_idle_sign(host, member) for host, member in idle]


def _in_use(host: HostEvidence) -> Iterator[tuple[MemberState, GpuState]]:
    for gpu in host.gpus:
        if gpu.busy_percent is not None:
            yield from ((one, gpu) for one in host.members if one.pid in gpu.pids)


def _idle_sign(host: HostEvidence, member: MemberState) -> Sign:
    of = host.log_of(member.process).of
    what = "its GPU is idle, while those of the others are at work"
    where = (of.engine, rank_of(member.component, of.ranks), member.component)
    return Sign(WAITING, None, host.host, member.process, what, REMEDY, "idle", *where)

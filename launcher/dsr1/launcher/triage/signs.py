"""Signs of a failure: what a host showed, each with its tier, its time by our clock, and its place.
Pure."""

import signal
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import total_ordering

from dsr1.hosts.protocol.evidence import HostEvidence, MemberState, ProcessDeath, ProcessLog
from dsr1.hosts.protocol.log_scan import LogHit
from dsr1.launcher.triage.log_line import level_of, rank_of, time_of, writer_of
from dsr1.launcher.triage.rules import ITSELF, MACHINE, OWN_ERROR, WAITING, Rule

CRASHES = (signal.SIGILL, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGSEGV)
REMEDIES = {
    signal.SIGILL: "the build and this CPU don't fit: use wheels made for it",
    signal.SIGBUS: "often a full /dev/shm: df -h /dev/shm; else the file under a mapping shrank",
    signal.SIGKILL: "somebody, or a user-space OOM killer, did: journalctl, systemd-oomd",
}
STOPPED, BLOCKED = "T", "D"


@total_ordering
@dataclass(frozen=True, slots=True)
class Sign:
    """`time` is None where the line doesn't tell. `line` 0: it stands in no log."""

    tier: int
    time: float | None
    host: str
    process: str
    what: str
    remedy: str = ""
    rule: str = ""
    engine: str = ""
    rank: int | None = None
    component: str = ""
    text: str = ""
    path: str = ""
    line: int = 0

    @property
    def place(self) -> tuple[str, str]:
        """What may fail by itself: a process, or a host where the sign is of no process."""
        return self.host, self.process

    @property
    def order(self) -> tuple[int, float, str, str, int]:
        far = float("inf") if self.time is None else self.time
        return self.tier, far, self.host, self.process, self.line

    def __lt__(self, other: "Sign") -> bool:
        return self.order < other.order

    @classmethod
    def silent(cls, host: HostEvidence, log: ProcessLog) -> "Sign":
        """A process that complains of nobody while all others wait for somebody."""
        stuck = next((one for one in _stuck(host.members) if one.process == log.process), None)
        what = _stuck_words(stuck) if stuck else "does not wait for a peer, as all others do"
        return cls(
            WAITING,
            None,
            host.host,
            log.process,
            what,
            "its stack tells where it hangs; then restart it",
            "silent",
            log.engine,
            log.ranks[0],
            stuck.component if stuck else "",
            path=log.scan.path,
        )


def signs_of(host: HostEvidence, rules: Sequence[Rule]) -> Iterator[Sign]:
    yield from _machine(host)
    yield from (_death(host, death) for death in host.deaths if not death.requested)
    yield from _of_kernel(host, rules)
    by_id = {rule.id: rule for rule in rules}
    for log in host.logs:
        for hit in log.scan.hits:
            if level_of(hit.text) == "error":
                yield _of_hit(host, log, hit, by_id[hit.pattern])


def _of_kernel(host: HostEvidence, rules: Sequence[Rule]) -> Iterator[Sign]:
    for line in host.kernel:
        rule = next((rule for rule in rules if rule.fits(line.text)), None)
        if rule:
            time = line.time - host.ahead_s
            yield Sign(
                rule.tier,
                time,
                host.host,
                "",
                rule.meaning,
                rule.remedy,
                rule.id,
                text=line.text,
            )


def _machine(host: HostEvidence) -> Iterator[Sign]:
    if host.rebooted:
        remedy = "its journal says why: journalctl -b -1 -e; meanwhile a spare"
        yield Sign(MACHINE, None, host.host, "", "the host was rebooted", remedy, "host.rebooted")
    elif host.lost:
        remedy = "look at its console and network; meanwhile a spare"
        what = f"the host can't be reached: {host.lost}"
        yield Sign(MACHINE, None, host.host, "", what, remedy, "host.lost")
    if host.oom_kills:
        what = f"the kernel killed {host.oom_kills} of its processes for want of memory"
        remedy = "fewer loaders, or a larger memory limit of the job or cgroup"
        yield Sign(MACHINE, None, host.host, "", what, remedy, "host.oom")


def _death(host: HostEvidence, death: ProcessDeath) -> Sign:
    tier, what = _end_in_words(death)
    ended = signal.Signals(-death.code) if death.code and death.code < 0 else None
    return Sign(
        tier,
        death.time - host.ahead_s,
        host.host,
        death.process,
        f"{death.component} {what}",
        REMEDIES.get(ended, "a core dump tells more") if ended else "",
        "process.died",
        _engine_of(host, death.process),
        rank_of(death.component, _ranks_of(host, death.process)),
        death.component,
    )


def _end_in_words(death: ProcessDeath) -> tuple[int, str]:
    if death.code is None:
        return OWN_ERROR, "ended, nobody saw how"
    if death.code < 0:
        return ITSELF, f"was ended by {signal.Signals(-death.code).name}"
    return OWN_ERROR, f"ended with exit code {death.code}"


def _of_hit(host: HostEvidence, log: ProcessLog, hit: LogHit, rule: Rule) -> Sign:
    writer = writer_of(hit.text)
    year = datetime.now(timezone.utc).year
    told = time_of(hit.text, year)
    return Sign(
        rule.tier,
        None if told is None else told - host.ahead_s,
        host.host,
        log.process,
        rule.meaning,
        rule.remedy,
        rule.id,
        log.engine,
        rank_of(writer, log.ranks),
        writer,
        hit.text,
        log.scan.path,
        hit.line,
    )


def _stuck(members: Iterable[MemberState]) -> Iterator[MemberState]:
    return (one for one in members if one.state in (STOPPED, BLOCKED))


def _stuck_words(member: MemberState) -> str:
    how = "is stopped (state T)" if member.state == STOPPED else "hangs in the kernel (state D)"
    where = f", in {member.waits_in}" if member.waits_in else ""
    return f"{member.component} {how}{where}"


def _engine_of(host: HostEvidence, process: str) -> str:
    return next((log.engine for log in host.logs if log.process == process), "")


def _ranks_of(host: HostEvidence, process: str) -> tuple[int, ...]:
    return next((log.ranks for log in host.logs if log.process == process), ())

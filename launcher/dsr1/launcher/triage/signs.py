"""Signs of a failure: what a host showed, each with its tier, its time by our clock, and its place.
Pure."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from functools import total_ordering

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.protocol.evidence import HostEvidence, ProcessLog
from dsr1.hosts.protocol.log_scan import LogHit
from dsr1.launcher.triage.log_line import level_of, rank_of, time_of, writer_of
from dsr1.launcher.triage.rules import MACHINE, OWN_ERROR, Rule

NEVER, NEAR_S = float("inf"), 10.0


@total_ordering
@dataclass(frozen=True, slots=True)
class Sign:
    """`time` is None where nothing tells it; `exact`: it is to the millisecond, where a log's is to
    the second. `line` 0: it stands in no log. `component` is vLLM's name of the process, as
    Worker_DP1_EP1; `link` the rule's row in the documentation."""

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
    exact: bool = False
    link: str = ""

    @property
    def place(self) -> tuple[str, str, int | None]:
        """What may fail by itself: a rank, a process, or a host where the sign is of no process."""
        return self.host, self.process, self.rank

    @property
    def order(self) -> tuple[int, float, str, str, int]:
        when = NEVER if self.time is None else self.time
        return self.tier, when, self.host, self.process, self.line

    def __lt__(self, other: "Sign") -> bool:
        return self.order < other.order


def machine_signs(host: HostEvidence) -> Iterator[Sign]:
    """A host that went takes its processes with it."""
    if host.rebooted:
        remedy = "its journal says why: journalctl -b -1 -e; meanwhile a spare"
        yield Sign(MACHINE, None, host.host, "", "the host was rebooted", remedy, "host.rebooted")
    elif host.lost:
        remedy = "look at its console and network; meanwhile a spare"
        what = f"the host is lost: {host.lost.removeprefix(f'{host.host}: ')}"
        yield Sign(MACHINE, None, host.host, "", what, remedy, "host.lost")
    for folder in host.full:
        remedy = f"free some space: df -h {folder}; df -i {folder}"
        what = f"{folder} has no room left"
        yield Sign(OWN_ERROR, None, host.host, "", what, remedy, "host.full")


def kernel_signs(host: HostEvidence, rules: Sequence[Rule], but: str) -> Iterator[Sign]:
    """Lines with the words `but` are told elsewhere; empty: none is. A process's own fault is ours
    only if one of ours ended then: the kernel tells of everybody's."""
    for line in host.kernel:
        if but and but in line.text:
            continue
        rule = next((rule for rule in rules if rule.fits(line.text)), None)
        if rule and (rule.tier == MACHINE or _ended_near(host, line.time)):
            when = line.time - host.ahead_s
            words = (rule.meaning, rule.remedy, rule.id)
            yield Sign(
                rule.tier,
                when,
                host.host,
                "",
                *words,
                text=line.text,
                path="kernel",
                link=rule.link,
            )


def _ended_near(host: HostEvidence, time: float) -> bool:
    return any(abs(death.time - time) < NEAR_S for death in host.deaths)


def log_signs(host: HostEvidence, rules: Sequence[Rule]) -> Iterator[Sign]:
    """What a process wrote as an error."""
    by_id = {rule.id: rule for rule in rules}
    for log in host.logs:
        for hit in log.scan.hits:
            if level_of(hit.text) == "error" and hit.pattern in by_id:
                yield _of_hit(host, log, hit, by_id[hit.pattern])


def _of_hit(host: HostEvidence, log: ProcessLog, hit: LogHit, rule: Rule) -> Sign:
    writer = writer_of(hit.text)
    when = time_of(hit.text, year_of(host), host.utc_offset_s)
    return Sign(
        rule.tier,
        None if when is None else when - host.ahead_s,
        host.host,
        log.of.name,
        rule.meaning,
        rule.remedy,
        rule.id,
        log.of.engine,
        rank_of(writer, log.of.ranks),
        writer,
        hit.text,
        log.scan.path,
        hit.line,
        link=rule.link,
    )


def year_of(host: HostEvidence) -> int:
    """Of the evidence, or ours for a folder of logs."""
    now = datetime.now(timezone.utc)
    return (datetime.fromtimestamp(host.now, timezone.utc) if host.now else now).year

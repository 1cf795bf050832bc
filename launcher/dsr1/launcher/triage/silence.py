"""Who does not wait while others do: the culprit of a hang says nothing. Pure."""

from collections.abc import Iterator, Mapping, Sequence

from dsr1.hosts.protocol.evidence import HostEvidence, MemberState, ProcessLog
from dsr1.hosts.protocol.log_scan import UNREAD
from dsr1.launcher.triage.log_line import rank_of
from dsr1.launcher.triage.rules import WAITING
from dsr1.launcher.triage.signs import Sign

STOPPED, BLOCKED = "T", "D"
LETTERS = {"T": "is stopped (state T)", "D": "hangs in the kernel (state D)"}
REMEDIES = {
    "T": "somebody or a debugger stopped it: kill -CONT goes on; else restart it",
    "D": "what it waits in names the driver or file system: dmesg; then restart it",
}


def stuck_signs(evidence: Mapping[str, HostEvidence], state: str) -> list[Sign]:
    """Members in that state; a Worker before its engine, which waits for it."""
    found = [
        _stuck(host, member)
        for host in evidence.values()
        for member in host.members
        if member.state == state
    ]
    return sorted(found, key=lambda sign: (not sign.component.startswith("Worker"), sign))


def late_signs(evidence: Mapping[str, HostEvidence]) -> list[Sign]:
    what, remedy = "the host did not answer in time", "is it overloaded, or cut off?"
    late = (host.host for host in evidence.values() if host.late)
    return [Sign(WAITING, None, host, "", what, remedy, "host.late") for host in late]


def silent_signs(evidence: Mapping[str, HostEvidence], signs: Sequence[Sign]) -> list[Sign]:
    """Ranks of an engine whose other ranks complain: one alone, or fewer than those."""
    engines = {sign.engine for sign in signs if sign.rank is not None}
    complaining = {sign.place for sign in signs}
    ranks = [sign for sign in _ranks(evidence) if sign.engine in engines]
    silent = [sign for sign in ranks if sign.place not in complaining]
    return silent if len(silent) == 1 or 2 * len(silent) < len(ranks) else []


def _ranks(evidence: Mapping[str, HostEvidence]) -> Iterator[Sign]:
    for host in evidence.values():
        for log in host.logs:
            if log.scan != UNREAD:
                yield from (_silent(host, log, rank) for rank in log.of.ranks)


def _silent(host: HostEvidence, log: ProcessLog, rank: int) -> Sign:
    what = "says nothing, while all others wait for somebody or lost a peer"
    remedy = "its process or its stack tells where it hangs, or how it ended"
    who = (host.host, log.of.name)
    return Sign(
        WAITING, None, *who, what, remedy, "silent", log.of.engine, rank, path=log.scan.path
    )


def _stuck(host: HostEvidence, member: MemberState) -> Sign:
    log = host.log_of(member.process)
    where = f", in {member.waits_in}" if member.waits_in and member.state == BLOCKED else ""
    return Sign(
        WAITING,
        None,
        host.host,
        member.process,
        f"{member.component.partition('_')[0]} {LETTERS[member.state]}{where}",
        REMEDIES[member.state],
        "stuck",
        log.of.engine,
        rank_of(member.component, log.of.ranks),
        member.component,
        path=log.scan.path,
        exact=True,
    )

"""The first cause of a failure, from what all hosts showed. Pure.

Tier first (a cause before its echoes), then time with the hosts' clocks put right, then the votes
of the victims: who complains of a peer is not the culprit, and the address it names is a hint at
who is. Where all wait, the culprit is who does not.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.protocol.evidence import HostEvidence
from dsr1.launcher.triage.collectives import behind_signs, idle_signs
from dsr1.launcher.triage.deaths import OOM_LINE, death_signs, starved_death
from dsr1.launcher.triage.rules import ECHO, ITSELF, MACHINE, OWN_ERROR, PEER_GONE, WAITING, Rule
from dsr1.launcher.triage.signs import Sign, kernel_signs, log_signs, machine_signs
from dsr1.launcher.triage.silence import (
    BLOCKED,
    STOPPED,
    late_signs,
    silent_signs,
    stuck_signs,
)

# Seconds. vLLM stamps whole ones: what lies closer can't be told apart by time. The ends of
# processes are to the millisecond, on several hosts as good as their clocks are known.
LOG_S, HOSTS_S, EXACT_S = 1.5, 0.3, 0.002
BEFORE_S = 120.0  # a hang shows as late after its cause as that
SEEN = ("stuck", "behind")  # of who does not wait, what was seen and not concluded
_ADDRESS = re.compile(r"\[?(\d+\.\d+\.\d+\.\d+)\]?[:<](\d+)")


@dataclass(frozen=True, slots=True)
class Cause:
    """`certain`: nothing else comes into question. `victims` only followed; `runner_up` is the next
    best guess. `followers`: how many other ranks ended with it, where the plan tells."""

    sign: Sign
    certain: bool
    victims: tuple[Sign, ...] = ()
    runner_up: Sign | None = None
    followers: int = 0


def find_cause(
    evidence: Mapping[str, HostEvidence],
    rules: Sequence[Rule],
    addresses: Mapping[str, str],
    told: Sequence[Sign] = (),
) -> Cause | None:
    """None: nothing that was found says why. `addresses`: hosts by their control address. `told`:
    what was noticed while it served; what a log says of long before has nothing to do with it."""
    found = chain.from_iterable(_signs(one, rules) for one in evidence.values())
    signs = sorted([*told, *(sign for sign in found if not _is_older(sign, told))])
    culprits = _who_does_not_wait(evidence, signs)
    if not signs and not culprits:
        return None
    first = culprits[0] if culprits else _favoured(signs, addresses)
    waiting = {sign.place for sign in told} if culprits else set()
    rivals = _rivals_of(first, culprits, [sign for sign in signs if sign.place not in waiting])
    return Cause(
        _whole(first, signs),
        not rivals and (first.tier <= OWN_ERROR or first.rule in SEEN),
        tuple(_one_of_each(sign for sign in signs if sign.place != first.place)),
        rivals[0] if rivals else None,
    )


def _is_older(sign: Sign, told: Sequence[Sign]) -> bool:
    times = [one.time for one in told if one.time is not None]
    return bool(times) and sign.time is not None and sign.time < min(times) - BEFORE_S


def _rivals_of(first: Sign, culprits: Sequence[Sign], signs: Sequence[Sign]) -> list[Sign]:
    """Who else may have been it. A stopped engine and its stopped worker are one."""
    others = [sign for sign in culprits if sign.place != first.place]
    return others or [sign for sign in signs if _rivals(first, sign)]


def _signs(host: HostEvidence, rules: Sequence[Rule]) -> Iterator[Sign]:
    hits = list(log_signs(host, rules))
    kernel = kernel_signs(host, rules, OOM_LINE if starved_death(host) else "")
    yield from chain(machine_signs(host), death_signs(host, hits), kernel, hits)


def _who_does_not_wait(evidence: Mapping[str, HostEvidence], signs: Sequence[Sign]) -> list[Sign]:
    """Where nobody shows a cause of its own, the best guesses first. Of a hang an error of long ago
    says nothing, if it isn't the machine's."""
    hangs = any(host.hang for host in evidence.values())
    tier = signs[0].tier if signs else ECHO
    died = any(sign.exact and sign.tier < WAITING for sign in signs)
    if died or tier < (ITSELF if hangs else WAITING):
        return []
    late, waits = late_signs(evidence), hangs or tier == WAITING
    if strongest := stuck_signs(evidence, STOPPED) or late or behind_signs(evidence):
        return strongest
    if waits and (seen := stuck_signs(evidence, BLOCKED) or idle_signs(evidence)):
        return [_own_error(one, evidence[one.host], signs) for one in seen]
    return silent_signs(evidence, signs) if tier in (WAITING, PEER_GONE) else []


def _own_error(idle: Sign, host: HostEvidence, signs: Sequence[Sign]) -> Sign:
    """What a rank logged of itself shortly before it took no part any more: vLLM lets a Worker go
    on that has met an exception, where it isn't the first of its TP group."""
    since = host.now - host.ahead_s - BEFORE_S
    own = [one for one in signs if one.place == idle.place and one.tier == ITSELF and one.line]
    return next((one for one in own if one.time is not None and one.time >= since), idle)


def _favoured(signs: Sequence[Sign], addresses: Mapping[str, str]) -> Sign:
    """Of those that nothing but a vote tells apart, the one that most victims point at and that is
    none itself."""
    first = signs[0]
    equal = [sign for sign in signs if sign.tier == first.tier and _close(first, sign)]
    if first.tier == MACHINE or len({sign.place for sign in equal}) == 1:
        return first
    votes = _votes(signs, addresses)
    victims = {sign.place for sign in signs if sign.tier in (WAITING, PEER_GONE)}
    return min(equal, key=lambda sign: (sign.place in victims, -votes[sign.host], sign))


def _votes(signs: Iterable[Sign], addresses: Mapping[str, str]) -> Counter[str]:
    named: Counter[str] = Counter()
    for sign in signs:
        if sign.tier == PEER_GONE:
            hosts = {addresses.get(address, "") for address, _ in _ADDRESS.findall(sign.text)}
            named.update(host for host in hosts if host and host != sign.host)
    return named


def _rivals(first: Sign, other: Sign) -> bool:
    """Whether the other could as well be the cause: in another place, as near to a cause, at the
    same time, and not the very same failure."""
    if other.place == first.place or other.tier != first.tier:
        return False
    same = other.rule == first.rule and not first.exact
    return _close(first, other) and not same


def _close(one: Sign, other: Sign) -> bool:
    if one.time is None or other.time is None:
        return True
    apart = abs(one.time - other.time)
    if not (one.exact and other.exact):
        return apart <= LOG_S
    return apart <= (EXACT_S if one.host == other.host else HOSTS_S)


def _whole(first: Sign, signs: Sequence[Sign]) -> Sign:
    """How it ended, from the death; what it wrote, from its log."""
    own = [sign for sign in signs if sign.place == first.place and sign.tier <= OWN_ERROR]
    return _with_line(first, own) if first.exact else _with_death(first, own)


def _with_line(death: Sign, own: Sequence[Sign]) -> Sign:
    line = next((sign for sign in own if sign.line), None)
    if line is None:
        return death
    return replace(death, text=line.text, path=line.path, line=line.line, link=line.link)


def _with_death(line: Sign, own: Sequence[Sign]) -> Sign:
    death = next((sign for sign in own if sign.exact and sign.tier == line.tier), None)
    if death is None:
        return line
    return replace(line, what=death.what, time=death.time, component=death.component, exact=True)


def _one_of_each(signs: Iterable[Sign]) -> list[Sign]:
    first: dict[tuple[str, str, int | None], Sign] = {}
    for sign in signs:
        first.setdefault(sign.place, sign)
    return list(first.values())

"""The first cause of a failure, from what all hosts showed. Pure.

Tier first (a cause before its echoes), then time with the hosts' clocks put right, then the votes
of the victims: who complains of a peer is not the culprit, and the address it names is a hint at
who is.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from dsr1.hosts.protocol.evidence import HostEvidence
from dsr1.launcher.triage.rules import ITSELF, MACHINE, PEER_GONE, WAITING, Rule
from dsr1.launcher.triage.signs import Sign, signs_of

TOGETHER_S = 1.5  # vLLM stamps whole seconds: what lies closer can't be told apart by time
_ADDRESS = re.compile(r"\[?(\d+\.\d+\.\d+\.\d+)\]?:(\d+)")


@dataclass(frozen=True, slots=True)
class Cause:
    """`certain`: nothing else comes into question. `victims` only followed; `runner_up` is the next
    best guess."""

    sign: Sign
    certain: bool
    victims: tuple[Sign, ...]
    runner_up: Sign | None


def find_cause(
    evidence: Mapping[str, HostEvidence], rules: Sequence[Rule], addresses: Mapping[str, str]
) -> Cause | None:
    """None: nothing that was found says why. `addresses`: hosts by their control address."""
    signs = sorted(chain.from_iterable(signs_of(one, rules) for one in evidence.values()))
    if not signs:
        return None
    tier = signs[0].tier
    if tier in (WAITING, PEER_GONE):
        signs = sorted([*_silent(evidence, signs), *signs])
    first = _favoured(signs, addresses)
    rivals = [sign for sign in signs if _rivals(first, sign)]
    others = tuple(_one_of_each(sign for sign in signs if sign.place != first.place))
    return Cause(first, not rivals, others, rivals[0] if rivals else None)


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
    """Whether the other could as well be the cause: another process, as near to a cause, at the
    same time."""
    if other.place == first.place or other.tier != first.tier or first.tier > ITSELF:
        return other.place != first.place and other.tier == first.tier and _close(first, other)
    return _close(first, other)


def _close(one: Sign, other: Sign) -> bool:
    return one.time is None or other.time is None or abs(one.time - other.time) <= TOGETHER_S


def _silent(evidence: Mapping[str, HostEvidence], signs: Sequence[Sign]) -> list[Sign]:
    """Where all others wait for a peer: the processes that don't complain, the stopped ones
    first."""
    complaining = {sign.place for sign in signs}
    found = []
    for host in evidence.values():
        for log in host.logs:
            place = (host.host, log.process)
            if place in complaining or not log.ranks:
                continue
            found.append(Sign.silent(host, log))
    return found


def _one_of_each(signs: Iterable[Sign]) -> list[Sign]:
    first: dict[tuple[str, str], Sign] = {}
    for sign in signs:
        first.setdefault(sign.place, sign)
    return list(first.values())

"""How hosts are compared: by values that must be equal on all, or by a function of all hosts'
facts."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Generic, TypeVar

from dsr1.env.checks.judging import (
    BY_HAND,
    NONSENSE,
    UnknownFact,
    Verdict,
    describe_nonsense,
    make_finding,
    unknown,
)
from dsr1.env.checks.requirements import HostRequirements, Requirements
from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.protocol.events import Finding
from dsr1.hosts.protocol.facts.fact import Facts

SAME = "the same on all hosts"
NONE = "none"
ValueT = TypeVar("ValueT")

FactsOfHosts = Mapping[str, Facts]
"""The facts of every host, by its name."""

CompareFunction = Callable[[FactsOfHosts], Mapping[str, Verdict]]
"""Judges all hosts together; a verdict for each."""


@dataclass(frozen=True, slots=True)
class EqualOnAll(Generic[ValueT]):
    """Values that must be the same on all hosts, by name. `gpus`: on plans with GPUs, among the
    hosts of an engine."""

    read: Callable[[ValueT], Mapping[str, str]]
    verdict: str
    fix: str
    gpus: bool = False


def judge_equal(
    check: str, equal: EqualOnAll[ValueT], by_host: Mapping[str, ValueT]
) -> list[Finding]:
    """Hosts that differ from most are named, with what they differ in; without a majority, all
    are."""
    values_by_host = {host: _read(equal.read, source) for host, source in by_host.items()}
    readable = [values for values in values_by_host.values() if not isinstance(values, str)]
    usual = _usual_values(readable)
    return [
        make_finding(host, check, _judge_values(values, usual, equal))
        for host, values in values_by_host.items()
    ]


def _read(read: Callable[[ValueT], Mapping[str, str]], source: ValueT) -> Mapping[str, str] | str:
    """A text: why they can't be read."""
    try:
        values = read(source)
        if not all(isinstance(text, str) for pair in values.items() for text in pair):
            raise TypeError(values)
        return values
    except UnknownFact as error:
        return str(error)
    except NONSENSE as error:
        return describe_nonsense(error)


def _usual_values(readings: list[Mapping[str, str]]) -> dict[str, str | None]:
    """By name what more than half of the hosts have; None: there is no such value."""
    names = dict.fromkeys(name for values in readings for name in values)
    return {name: _majority([values.get(name, NONE) for values in readings]) for name in names}


def _majority(values: list[str]) -> str | None:
    value, count = Counter(values).most_common(1)[0]
    return value if 2 * count > len(values) else None


def _judge_values(
    values: Mapping[str, str] | str, usual: Mapping[str, str | None], equal: EqualOnAll[ValueT]
) -> Verdict:
    if isinstance(values, str):
        return Verdict("UNKNOWN", values, SAME, BY_HAND)
    differing = [name for name, value in usual.items() if values.get(name, NONE) != value]
    if not differing:
        return Verdict("PASS", _list_values(values), SAME)
    differences = [_difference(name, values.get(name, NONE), usual[name]) for name in differing]
    return Verdict(equal.verdict, "; ".join(differences), SAME, equal.fix)


def _list_values(values: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items()) or "nothing"


def _difference(name: str, here: str, usual: str | None) -> str:
    others = "and other hosts differ" if usual is None else f"{usual} on most"
    return f"{name} {here}, {others}"


def judge_together(check: str, judge: CompareFunction, facts: FactsOfHosts) -> list[Finding]:
    """A fact that makes no sense leaves the check unknown on every host: they were compared with
    it."""
    try:
        verdicts = judge(facts)
    except (UnknownFact, *NONSENSE) as error:
        verdicts = dict.fromkeys(facts, unknown(describe_nonsense(error)))
    return [make_finding(host, check, verdict) for host, verdict in verdicts.items()]


def hosts_sharing_engines(hosts: Iterable[str], requirements: Requirements) -> list[list[str]]:
    """Groups of hosts that have an engine in common, also by way of others. Hosts of none are one
    group."""
    groups: list[tuple[set[str], list[str]]] = []
    for host in hosts:
        engines = set(requirements.by_host.get(host, HostRequirements()).engines) or {""}
        members: list[str] = []
        others = []
        for group in groups:
            if engines.isdisjoint(group[0]):
                others.append(group)
            else:
                engines |= group[0]
                members += group[1]
        groups = [*others, (engines, [*members, host])]
    return [names for _, names in groups]

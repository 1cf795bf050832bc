"""How a check is written: a function of one host's facts and of what the plan asks, which returns a
verdict."""

from collections.abc import Callable
from typing import Any

from dsr1.env.checks.kinds import KINDS
from dsr1.env.checks.requirements import Requirements
from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.protocol.events import Finding
from dsr1.hosts.protocol.facts.fact import Facts

BY_HAND = "Look at it by hand; an UNKNOWN check stops no launch."


@dataclass(frozen=True, slots=True)
class Verdict:
    """People read it as `SEEN; wanted WANTED. FIX`."""

    verdict: str
    seen: str
    wanted: str
    fix: str = ""


class UnknownFact(Exception):
    """The fact that a check needs could not be read."""


NONSENSE = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RecursionError)
"""What a check raises on a fact of an unexpected form: drivers and file systems produce some."""

CheckFunction = Callable[[Facts, Requirements], Verdict]


def known(facts: Facts, name: str) -> Any:
    """A fact's value. UnknownFact where it was not read, or is not of its kind."""
    fact = facts.get(name)
    if fact is None:
        raise UnknownFact(f"{name} was not gathered")
    if fact.value is None:
        raise UnknownFact(f"{fact.source}: {fact.problem}")
    if name in KINDS and not KINDS[name](fact.value):
        raise UnknownFact(f"{fact.source}: the value makes no sense: {str(fact.value)[:80]}")
    return fact.value


def known_or(facts: Facts, name: str, default: Any) -> Any:
    """For a fact that may be absent; UnknownFact where it is not of its kind."""
    fact = facts.get(name)
    return default if fact is None or fact.value is None else known(facts, name)


def judge_host(
    check: str, judge: CheckFunction, host: str, facts: Facts, requirements: Requirements
) -> Finding:
    try:
        verdict = judge(facts, requirements)
    except UnknownFact as error:
        verdict = unknown(str(error))
    except NONSENSE as error:
        verdict = unknown(describe_nonsense(error))
    return make_finding(host, check, verdict)


def make_finding(host: str, check: str, verdict: Verdict) -> Finding:
    return Finding(host, check, verdict.verdict, verdict.seen, verdict.wanted, verdict.fix)


def describe_nonsense(error: Exception) -> str:
    return f"a fact makes no sense: {error!r}"


def pass_if(good: bool, otherwise: str, seen: str, wanted: str, fix: str) -> Verdict:
    """PASS, or the verdict `otherwise` with its remedy."""
    return Verdict("PASS", seen, wanted) if good else Verdict(otherwise, seen, wanted, fix)


def unknown(why: str) -> Verdict:
    return Verdict("UNKNOWN", why, "a fact that can be read", BY_HAND)


def skipped(why: str) -> Verdict:
    return Verdict("SKIP", why, "")


def for_information(seen: str) -> Verdict:
    """Worth knowing, and no reason to worry."""
    return Verdict("PASS", seen, "nothing: for information")


def for_gpus(judge: CheckFunction, least: int = 1) -> CheckFunction:
    """Skipped where the plan takes fewer GPUs of the host."""
    few = "the plan takes no GPUs" if least == 1 else f"the plan takes fewer than {least} GPUs here"

    def judge_with_gpus(facts: Facts, requirements: Requirements) -> Verdict:
        return judge(facts, requirements) if requirements.gpus >= least else skipped(few)

    return judge_with_gpus

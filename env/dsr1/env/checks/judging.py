"""How a check is written: a judge of one host's facts, or of one fact over all hosts; both become findings."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dsr1.hosts.events import Finding
from dsr1.hosts.facts.fact import Facts

Site = Mapping[str, Facts]
"""The facts of every host, by its name."""


@dataclass(frozen=True, slots=True)
class Share:
    """How an engine deals the model to its GPUs. `expert_ranks` counts all that experts are dealt over."""

    engine: str
    expert_ranks: int
    tensor_ranks: int
    redundant_experts: int
    utilization: float
    context: int
    low_latency: bool


@dataclass(frozen=True, slots=True)
class Needs:
    """What the plan asks of its hosts. `gpus` is per host; 0: it runs without. `weights`: it reads the model's."""

    gpus: int
    hosts: int
    all2all_backend: str = ""
    shares: tuple[Share, ...] = ()
    weights: bool = True

    @property
    def ibgda(self) -> bool:
        """DeepEP between hosts goes by IBGDA; within one it is NVLink's."""
        return self.hosts > 1 and self.all2all_backend.startswith("deepep")


@dataclass(frozen=True, slots=True)
class Verdict:
    verdict: str
    seen: str
    wanted: str
    fix: str = ""


class Unknown(Exception):
    """The fact that a judge needs could not be read."""


NONSENSE = (TypeError, ValueError, LookupError, AttributeError)
"""What a judge raises on a fact that lies about its shape: drivers and file systems do."""

Judge = Callable[[Facts, Needs], Verdict]


def known(facts: Facts, name: str) -> Any:
    """A fact's value. Raises Unknown, with where it should have been."""
    fact = facts.get(name)
    if fact is None or fact.value is None:
        raise Unknown(f"{fact.source}: {fact.problem}" if fact else f"{name} was not gathered")
    return fact.value


def known_or(facts: Facts, name: str, otherwise: Any) -> Any:
    fact = facts.get(name)
    return otherwise if fact is None or fact.value is None else fact.value


def not_known(why: str) -> Verdict:
    return Verdict("UNKNOWN", why, "a fact that can be read", "Read it by hand, or --skip the check.")


def judge_host(check: str, judge: Judge, host: str, facts: Facts, needs: Needs) -> Finding:
    try:
        said = judge(facts, needs)
    except Unknown as unknown:
        said = not_known(str(unknown))
    except NONSENSE as error:
        said = not_known(f"a fact that makes no sense: {error!r}")
    return Finding(host, check, said.verdict, said.seen, said.wanted, said.fix)


def judge_equal(check: str, read: Callable[[Facts], str], verdict: str, fix: str, site: Site) -> Iterator[Finding]:
    """The same on every host: those that differ from most are named, each with what it has."""
    seen = {host: _read(read, facts) for host, facts in site.items()}
    values = [value for value in seen.values() if value is not None]
    usual = max(sorted(set(values)), key=values.count) if values else ""
    for host, value in seen.items():
        if value is None:
            yield Finding(host, check, "SKIP", "not to be read here", "the same on all hosts", "")
        else:
            good = value == usual
            yield Finding(host, check, "PASS" if good else verdict, value, f"{usual}, as on most", "" if good else fix)


def _read(read: Callable[[Facts], str], facts: Facts) -> str | None:
    try:
        return read(facts)
    except (Unknown, *NONSENSE):
        return None


def passed(good: bool, verdict: str, seen: str, wanted: str, fix: str) -> Verdict:
    """PASS, or the given verdict with its remedy."""
    return Verdict("PASS", seen, wanted) if good else Verdict(verdict, seen, wanted, fix)

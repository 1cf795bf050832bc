"""How a check is written: a judge of one host's facts, or of one fact over all hosts; both become
findings."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from dsr1.env.checks.kinds import KINDS
from dsr1.env.ibgda import WITH_NVSHMEM
from dsr1.hosts.protocol.events import Finding
from dsr1.hosts.protocol.fact import Facts

if TYPE_CHECKING:
    from dsr1.env.checks.selection import Selection

ORDER = ("FAIL", "UNKNOWN", "WARN", "PASS", "SKIP")
ValueT = TypeVar("ValueT")

FactsOfHosts = Mapping[str, Facts]
"""The facts of every host, by its name."""


@dataclass(frozen=True, slots=True)
class EngineShape:
    """How an engine deals the model to its GPUs. `expert_ranks` counts all that experts are dealt
    over.

    Without `expert_parallel` each of them has a slice of every expert, which takes as much.
    `overrides` stand in the place of what the model's config.json says. None is what the recipe
    leaves to vLLM: its default depends on the version, see model_memory.
    """

    engine: str
    expert_ranks: int
    tensor_ranks: int = 1
    redundant_experts: int = 0
    utilization: float | None = None
    context: int | None = None
    backend: str = ""
    tokens: int | None = None
    sequences: int | None = None
    eager: bool = False
    hosts: int = 1
    role: str = "aggregated"
    queue_depth: int | None = None
    expert_balancing: bool = False
    expert_parallel: bool = True
    overrides: tuple[tuple[str, object], ...] = ()

    def config_of(self, model: Mapping[str, Any]) -> dict[str, Any]:
        """The model's config.json as the engine takes it."""
        return {**model, **dict(self.overrides)}


@dataclass(frozen=True, slots=True)
class HostRequirements:
    """What the plan takes of one host: GPUs, every port that its processes bind there, and the
    user's own adapters.

    `engines` are those that have a part there.
    """

    gpus: int = 0
    ports: tuple[int, ...] = ()
    hca: tuple[str, ...] = ()
    engines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Requirements:
    """What the plan asks of its hosts. `gpus` is per host; 0: it runs without. `weights`: it reads
    the model's.

    `own` is by host; `on` gives what a judge of that host sees. `pins` are (distribution,
    dependency): the installed dependency must be one that the distribution's own metadata asks for.
    `folders`: bytes wanted in each. `hca` are the user's own adapters; none: dsr1 chooses.
    `selection` is what `select` makes of them and of a host's facts: the adapters that it will use,
    or why that can't be told.
    """

    gpus: int
    hosts: int
    shares: tuple[EngineShape, ...] = ()
    weights: bool = True
    ports: tuple[int, ...] = ()
    etcd: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    pins: tuple[tuple[str, str], ...] = ()
    folders: Mapping[str, int] = field(default_factory=dict)
    own: Mapping[str, HostRequirements] = field(default_factory=dict)
    hca: tuple[str, ...] = ()
    selection: "Selection | str | None" = None

    def on(self, host: str) -> "Requirements":
        own = self.own.get(host)
        return self if own is None else replace(self, gpus=own.gpus, ports=own.ports, hca=own.hca)

    @property
    def transfers_kv(self) -> bool:
        """Prefill apart from decode: NIXL carries the KV cache from one to the other."""
        return any(share.role != "aggregated" for share in self.shares)

    @property
    def rdma(self) -> bool:
        """What GPUs tell each other leaves a host. Engines that each keep to one may be many."""
        leaves = self.transfers_kv or any(share.hosts > 1 for share in self.shares)
        return self.hosts > 1 and self.gpus > 0 and leaves

    @property
    def backends(self) -> tuple[str, ...]:
        """Those that the recipe names, sorted."""
        return tuple(sorted({share.backend for share in self.shares if share.backend}))

    @property
    def ibgda(self) -> bool:
        """DeepEP goes by it between the hosts of an engine; its second version by NCCL."""
        return any(share.hosts > 1 and share.backend in WITH_NVSHMEM for share in self.shares)


@dataclass(frozen=True, slots=True)
class Verdict:
    verdict: str
    seen: str
    wanted: str
    fix: str = ""


class UnknownFact(Exception):
    """The fact that a judge needs could not be read."""


NONSENSE = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RecursionError)
"""What a judge raises on a fact that lies about its shape: drivers and file systems do."""

CheckFunction = Callable[[Facts, Requirements], Verdict]


def known(facts: Facts, name: str) -> Any:
    """A fact's value. Raises Unknown, with where it should have been, or for one that is of another
    kind."""
    fact = facts.get(name)
    if fact is None or fact.value is None:
        raise UnknownFact(f"{fact.source}: {fact.problem}" if fact else f"{name} was not gathered")
    if name in KINDS and not KINDS[name](fact.value):
        raise UnknownFact(f"{fact.source}: makes no sense: {str(fact.value)[:80]}")
    return fact.value


def known_or(facts: Facts, name: str, otherwise: Any) -> Any:
    """Where it may be absent; one that makes no sense is Unknown here, too."""
    fact = facts.get(name)
    return otherwise if fact is None or fact.value is None else known(facts, name)


def not_known(why: str) -> Verdict:
    return Verdict(
        "UNKNOWN",
        why,
        "a fact that can be read",
        "Read it by hand: what is UNKNOWN stops no launch.",
    )


def judge_host(
    check: str, judge: CheckFunction, host: str, facts: Facts, needs: Requirements
) -> Finding:
    try:
        said = judge(facts, needs)
    except UnknownFact as unknown:
        said = not_known(str(unknown))
    except NONSENSE as error:
        said = not_known(f"a fact that makes no sense: {error!r}")
    return Finding(host, check, said.verdict, said.seen, said.wanted, said.fix)


@dataclass(frozen=True, slots=True)
class EqualOnAll(Generic[ValueT]):
    """What must be the same on all hosts, by name. `gpus`: where the plan takes GPUs, among the
    hosts of an engine."""

    read: Callable[[ValueT], Mapping[str, str]]
    verdict: str
    fix: str
    gpus: bool = False


def judge_equal(
    check: str, equal: EqualOnAll[ValueT], site: Mapping[str, ValueT]
) -> Iterator[Finding]:
    """Hosts that differ from most are named, with what they differ in; without a majority, all
    are."""
    seen = {host: _read(equal.read, facts) for host, facts in site.items()}
    readable = [values for values in seen.values() if isinstance(values, Mapping)]
    usual = {
        name: _usual([values.get(name, "none") for values in readable])
        for values in readable
        for name in values
    }
    wanted = "the same on all hosts"
    for host, values in seen.items():
        if isinstance(values, str):
            unknown = not_known(values)
            yield Finding(host, check, "UNKNOWN", values, wanted, unknown.fix)
        elif differing := [
            name for name, value in usual.items() if values.get(name, "none") != value
        ]:
            text = "; ".join(
                _difference(name, values.get(name, "none"), usual[name]) for name in differing
            )
            yield Finding(host, check, equal.verdict, text, wanted, equal.fix)
        else:
            yield Finding(host, check, "PASS", listed(values), wanted, "")


def listed(values: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items()) or "nothing"


def _usual(values: list[str]) -> str | None:
    """What more than half of the hosts have. None: there is no such value."""
    value, count = Counter(values).most_common(1)[0]
    return value if 2 * count > len(values) else None


def _difference(name: str, here: str, usual: str | None) -> str:
    return (
        f"{name} {here}, {usual} on most"
        if usual is not None
        else f"{name} {here}, and other hosts have another"
    )


def _read(read: Callable[[ValueT], Mapping[str, str]], told: ValueT) -> Mapping[str, str] | str:
    """As text: why it can't be read."""
    try:
        values = read(told)
        if not all(isinstance(text, str) for pair in values.items() for text in pair):
            raise TypeError(values)
        return values
    except UnknownFact as unknown:
        return str(unknown)
    except NONSENSE as error:
        return f"a fact that makes no sense: {error!r}"


def judge_across(
    check: str, judge: Callable[[str, FactsOfHosts], Iterator[Finding]], site: FactsOfHosts
) -> list[Finding]:
    """A fact that makes no sense leaves the check unknown on every host: they were compared with
    it."""
    try:
        return list(judge(check, site))
    except (UnknownFact, *NONSENSE) as error:
        said = not_known(f"a fact that makes no sense: {error!r}")
        return [
            Finding(host, check, said.verdict, said.seen, said.wanted, said.fix) for host in site
        ]


def circles(hosts: Iterable[str], needs: Requirements) -> list[list[str]]:
    """Hosts that have an engine in common, also by way of others. Those of none are one circle."""
    found: list[tuple[set[str], list[str]]] = []
    for host in hosts:
        mine = {*needs.own.get(host, HostRequirements()).engines} or {""}
        touched = [circle for circle in found if circle[0] & mine]
        joined = (
            mine.union(*(engines for engines, _ in touched)),
            [*(h for _, names in touched for h in names), host],
        )
        found = [*(circle for circle in found if circle not in touched), joined]
    return [names for _, names in found]


def across(site: FactsOfHosts, name: str) -> Iterator[tuple[str, Any]]:
    """A fact of every host; None where it could not be read."""
    yield from ((host, known_or(facts, name, None)) for host, facts in site.items())


def readable_values(seen: str) -> Verdict:
    """What is worth knowing, and no reason to worry."""
    return Verdict("PASS", seen, "nothing: for information")


def skipped(why: str) -> Verdict:
    return Verdict("SKIP", why, "")


def on_gpus(judge: CheckFunction, least: int = 1) -> CheckFunction:
    """A plan that takes fewer GPUs of a host has nothing to judge there."""
    why = "a plan without GPUs" if least == 1 else f"fewer than {least} GPUs of this host"
    return lambda facts, needs: judge(facts, needs) if needs.gpus >= least else skipped(why)


def passed(good: bool, verdict: str, seen: str, wanted: str, fix: str) -> Verdict:
    """PASS, or the given verdict with its remedy."""
    return Verdict("PASS", seen, wanted) if good else Verdict(verdict, seen, wanted, fix)

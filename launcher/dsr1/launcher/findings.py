"""Findings folded for a person, and the finding of a host that could not be asked."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from dsr1.hosts.errors import Dsr1Error
from dsr1.hosts.events import Finding

REACH = "host.reach"
WORST = ("FAIL", "UNKNOWN", "WARN", "PASS", "SKIP")


@dataclass(frozen=True, slots=True)
class Row:
    """What one or several checks find alike on one or several hosts, which are folded: `node[01-15]`."""

    verdict: str
    checks: tuple[str, ...]
    hosts: str
    seen: str
    wanted: str
    fix: str


Cell = tuple[str, int]
"""The worst verdict, and how many findings have it."""


@dataclass(frozen=True, slots=True)
class Overview:
    """Kinds of checks, and the cells of hosts that are alike, worst first."""

    kinds: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]


def unreached(host: str, error: Dsr1Error) -> Finding:
    return Finding(host, REACH, "FAIL", str(error), "an agent that answers", "See what it says, or leave the host out.")


def folded(findings: Iterable[Finding]) -> Iterator[str]:
    """One line for equal findings of several hosts, which it names."""
    hosts: dict[str, list[str]] = {}
    for f in findings:
        hosts.setdefault(f"{f.check}: {f.seen}; wanted {f.wanted}. {f.fix}", []).append(f.host)
    yield from (f"{', '.join(sorted(names))}: {line}" for line, names in sorted(hosts.items()))


def fold_rows(findings: Sequence[Finding]) -> list[Row]:
    """One row for hosts that a check finds alike, and for checks that say the same of the same hosts."""
    hosts: dict[tuple[str, ...], list[str]] = {}
    for f in findings:
        hosts.setdefault((f.verdict, f.check, f.seen, f.wanted, f.fix), []).append(f.host)
    checks: dict[tuple[str, ...], list[str]] = {}
    for (verdict, check, *words), names in hosts.items():
        checks.setdefault((verdict, fold_names(names), *words), []).append(check)
    return [Row(verdict, tuple(names), *words) for (verdict, *words), names in checks.items()]


def fold_names(names: Iterable[str]) -> str:
    from ClusterShell.NodeSet import NodeSet

    return str(NodeSet.fromlist(list(names)))


def overview(findings: Sequence[Finding]) -> Overview:
    kinds = tuple(dict.fromkeys(sorted(f.check.partition(".")[0] for f in findings if f.verdict != "SKIP")))
    by_host: dict[str, dict[str, list[str]]] = {}
    for f in findings:
        by_host.setdefault(f.host, {}).setdefault(f.check.partition(".")[0], []).append(f.verdict)
    alike: dict[tuple[Cell, ...], list[str]] = {}
    for host, told in by_host.items():
        alike.setdefault(tuple(_worst(told.get(kind, [])) for kind in kinds), []).append(host)
    rows = sorted(alike.items(), key=lambda row: sorted(WORST.index(verdict) for verdict, _ in row[0]))
    return Overview(kinds, tuple((fold_names(hosts), cells) for cells, hosts in rows))


def _worst(verdicts: Sequence[str]) -> Cell:
    worst = min(verdicts, key=WORST.index, default="SKIP")
    return worst, verdicts.count(worst)

"""Findings folded for a person, and the finding of a host that could not be asked."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from dsr1.hosts.errors import Dsr1Error
from dsr1.hosts.protocol.events import Finding

REACH = "host.reach"
WORST = ("FAIL", "UNKNOWN", "WARN", "PASS", "SKIP")
AMISS = WORST[:3]


@dataclass(frozen=True, slots=True)
class FindingRow:
    """What one or several checks find of some hosts, which are folded (`node[01-15]`): `seen` pairs
    hosts and words."""

    verdict: str
    checks: tuple[str, ...]
    hosts: str
    seen: tuple[tuple[str, str], ...]
    wanted: str
    fix: str


Cell = tuple[str, int]
"""The worst verdict, and how many findings have it."""


@dataclass(frozen=True, slots=True)
class Overview:
    """Kinds of checks with something amiss, and the cells of hosts that are alike, worst first;
    `fine`: other kinds."""

    kinds: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]
    fine: tuple[str, ...] = ()


def unreached(host: str, error: Dsr1Error) -> Finding:
    return Finding(
        host,
        REACH,
        "FAIL",
        str(error),
        "an agent that answers",
        "See what it says, or leave the host out.",
    )


def folded(findings: Iterable[Finding]) -> Iterator[str]:
    """One line for equal findings of several hosts, which are folded."""
    hosts: dict[str, list[str]] = {}
    for f in findings:
        hosts.setdefault(f"{f.check}: {f.seen}; wanted {f.wanted}. {f.fix}", []).append(f.host)
    yield from (f"{fold_names(names)}: {line}" for line, names in sorted(hosts.items()))


def fold_rows(findings: Sequence[Finding]) -> list[FindingRow]:
    """One row for a check's findings of one remedy, whatever it saw, and for checks that say the
    same throughout."""
    hosts: dict[tuple[str, ...], dict[str, list[str]]] = {}
    for f in findings:
        hosts.setdefault((f.verdict, f.check, f.wanted, f.fix), {}).setdefault(f.seen, []).append(
            f.host
        )
    checks: dict[tuple[object, ...], list[str]] = {}
    for (verdict, check, *rest), seen in hosts.items():
        pairs = tuple((fold_names(names), words) for words, names in seen.items())
        everyone = fold_names(name for names in seen.values() for name in names)
        checks.setdefault((verdict, everyone, pairs, *rest), []).append(check)
    return [FindingRow(verdict, tuple(names), *rest) for (verdict, *rest), names in checks.items()]  # type: ignore[arg-type]


def fold_names(names: Iterable[str]) -> str:
    from ClusterShell.NodeSet import NodeSet

    return str(NodeSet.fromlist(list(names)))


def overview(findings: Sequence[Finding]) -> Overview:
    kinds = dict.fromkeys(sorted(kind_of(f) for f in findings if f.verdict != "SKIP"))
    amiss = tuple(
        kind for kind in kinds if any(kind_of(f) == kind and f.verdict in AMISS for f in findings)
    )
    by_host: dict[str, dict[str, list[str]]] = {}
    for f in findings:
        by_host.setdefault(f.host, {}).setdefault(kind_of(f), []).append(f.verdict)
    alike: dict[tuple[Cell, ...], list[str]] = {}
    for host, told in by_host.items():
        alike.setdefault(tuple(_worst(told.get(kind, [])) for kind in amiss), []).append(host)
    rows = sorted(
        alike.items(), key=lambda row: sorted(WORST.index(verdict) for verdict, _ in row[0])
    )
    cells = tuple((fold_names(hosts), cells) for cells, hosts in rows)
    return Overview(amiss, cells, tuple(kind for kind in kinds if kind not in amiss))


def kind_of(finding: Finding) -> str:
    return finding.check.partition(".")[0]


def _worst(verdicts: Sequence[str]) -> Cell:
    worst = min(verdicts, key=WORST.index, default="SKIP")
    return worst, verdicts.count(worst)

"""Findings folded for a person, and the finding of a host that could not be asked."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.errors import Dsr1Error
from dsr1.hosts.inventory.names import fold_names
from dsr1.hosts.protocol.events import Finding

REACH = "host.reach"
ORDER = ("FAIL", "UNKNOWN", "WARN", "PASS", "SKIP")
"""Of verdicts, the worst first."""
AMISS = ORDER[:3]


@dataclass(frozen=True, slots=True)
class FindingRow:
    """What one or several checks find on some hosts, which are folded (`node[01-15]`): `seen` pairs
    hosts with what was seen there."""

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
    fix = "Correct what the message names, or leave the host out."
    return Finding(host, REACH, "FAIL", str(error), "an agent that answers", fix)


def folded(findings: Iterable[Finding]) -> Iterator[str]:
    """One line for equal findings of several hosts, which are folded."""
    hosts: dict[str, list[str]] = {}
    for f in findings:
        hosts.setdefault(f"{f.check}: {f.seen}; wanted {f.wanted}. {f.fix}", []).append(f.host)
    yield from (f"{fold_names(names)}: {line}" for line, names in sorted(hosts.items()))


def fold_rows(findings: Sequence[Finding]) -> list[FindingRow]:
    """One row for a check's findings of one remedy, whatever it saw, and for checks that find the
    same on the same hosts."""
    checks: dict[FindingRow, list[str]] = {}
    for finding, hosts in _hosts_by_remedy(findings).items():
        everyone = fold_names(name for names in hosts.values() for name in names)
        seen = tuple((fold_names(names), text) for text, names in hosts.items())
        row = FindingRow(finding.verdict, (), everyone, seen, finding.wanted, finding.fix)
        checks.setdefault(row, []).append(finding.check)
    return [replace(row, checks=tuple(names)) for row, names in checks.items()]


def _hosts_by_remedy(findings: Sequence[Finding]) -> dict[Finding, dict[str, list[str]]]:
    """By what findings have in common, the hosts by what was seen on them."""
    found: dict[Finding, dict[str, list[str]]] = {}
    for finding in findings:
        hosts = found.setdefault(replace(finding, host="", seen=""), {})
        hosts.setdefault(finding.seen, []).append(finding.host)
    return found


def overview(findings: Sequence[Finding]) -> Overview:
    by_host: dict[str, dict[str, list[str]]] = {}
    by_kind: dict[str, set[str]] = {}
    for finding in findings:
        kind = _check_kind(finding)
        by_host.setdefault(finding.host, {}).setdefault(kind, []).append(finding.verdict)
        by_kind.setdefault(kind, set()).add(finding.verdict)
    amiss = tuple(kind for kind in sorted(by_kind) if by_kind[kind] & set(AMISS))
    fine = tuple(kind for kind in sorted(by_kind) if "PASS" in by_kind[kind] and kind not in amiss)
    return Overview(amiss, _rows(by_host, amiss), fine)


def _rows(
    by_host: Mapping[str, Mapping[str, list[str]]], kinds: tuple[str, ...]
) -> tuple[tuple[str, tuple[Cell, ...]], ...]:
    """Worst first; hosts of equal cells are folded."""
    hosts: dict[tuple[Cell, ...], list[str]] = {}
    for host, verdicts in by_host.items():
        cells = tuple(_worst(verdicts.get(kind, [])) for kind in kinds)
        hosts.setdefault(cells, []).append(host)
    return tuple((fold_names(hosts[cells]), cells) for cells in sorted(hosts, key=_badness))


def _badness(cells: tuple[Cell, ...]) -> list[int]:
    return sorted(ORDER.index(verdict) for verdict, _ in cells)


def _check_kind(finding: Finding) -> str:
    return finding.check.partition(".")[0]


def _worst(verdicts: Sequence[str]) -> Cell:
    worst = min(verdicts, key=ORDER.index, default="SKIP")
    return worst, verdicts.count(worst)

"""How far each host has come, a row each, those that hold up the others first. Pure."""

from collections.abc import Iterator, Sequence

from rich.text import Text

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.inventory.names import counted, fold_names
from dsr1.launcher.cli.views.ages import age_text
from dsr1.launcher.commands.phases import PHASES
from dsr1.launcher.run.ranks import RankRow, RankTable

READY = PHASES[-1]


@dataclass(frozen=True, slots=True)
class HostRow:
    """`ranks` of its engines in words; `phase`, `progress` (0 to 1) and `in_phase_s` are those of
    its rank that is least far; `doing` tells of all its ranks."""

    host: str
    ranks: str
    phase: str
    progress: float
    doing: str
    in_phase_s: float

    @property
    def place(self) -> tuple[int, float, float]:
        """Before it: those that are less far, and of those the ones that stand still longer."""
        number = PHASES.index(self.phase) if self.phase in PHASES else -1
        return number, self.progress, -self.in_phase_s


def host_rows(ranks: RankTable, now: float) -> list[HostRow]:
    """Those that hold up the others first. `now`: seconds since the epoch."""
    by_host: dict[str, list[RankRow]] = {}
    for row in ranks:
        by_host.setdefault(row.host, []).append(row)
    rows = [_host_row(host, own, now) for host, own in by_host.items()]
    return sorted(rows, key=lambda row: row.place)


def _host_row(host: str, ranks: Sequence[RankRow], now: float) -> HostRow:
    last = min(ranks, key=lambda row: (_number(row.phase), _progress(row), row.since))
    waited = max(0.0, now - last.since)
    return HostRow(host, _ranks_text(ranks), last.phase, _progress(last), _doing(ranks), waited)


def _number(phase: str) -> int:
    return PHASES.index(phase) if phase in PHASES else -1


def _progress(row: RankRow) -> float:
    return (row.done or 0) / row.total if row.total else 0.0


def _ranks_text(ranks: Sequence[RankRow]) -> str:
    """`decode 0-7, prefill 4`."""
    numbers: dict[str, list[int]] = {}
    for row in ranks:
        numbers.setdefault(row.engine, []).append(row.rank)
    return ", ".join(f"{engine} {_span(own)}" for engine, own in numbers.items())


def _span(numbers: Sequence[int]) -> str:
    first, last = min(numbers), max(numbers)
    return str(first) if first == last else f"{first}-{last}"


def _doing(ranks: Sequence[RankRow]) -> str:
    """`3 loading 41/163, 5 compiling`: in each phase the least far."""
    groups: dict[str, list[RankRow]] = {}
    for row in sorted(ranks, key=lambda row: _number(row.phase)):
        groups.setdefault(row.phase, []).append(row)
    said = {phase: min(own, key=_progress).said for phase, own in groups.items()}
    if len(groups) == 1:
        return next(iter(said.values()))
    return ", ".join(f"{len(groups[phase])} {words}" for phase, words in said.items())


def host_lines(rows: Sequence[HostRow], most: int | None = None) -> Iterator[Text]:
    """A line each, and at most so many: the last then tells of the rest."""
    cut = len(rows) if most is None or len(rows) <= most else max(0, most - 1)
    shown, rest = rows[:cut], rows[cut:]
    wide = [max(map(len, cells)) for cells in zip(*map(_cells, shown), strict=True)]
    for row in shown:
        host, ranks, doing = map(str.ljust, _cells(row), wide)
        since = "" if row.phase == READY else f"for {age_text(row.in_phase_s)}"
        style = "green" if row.phase == READY else "yellow"
        yield Text.assemble(f"{host}  {ranks}  ", (doing, style), f"  {since}")
    if rest:
        yield Text(_rest(rest), style="dim")


def _cells(row: HostRow) -> tuple[str, str, str]:
    return row.host, row.ranks, row.doing


def _rest(rows: Sequence[HostRow]) -> str:
    """`and 44 hosts more: 40 compiling, 4 ready`."""
    counts: dict[str, int] = {}
    for row in rows:
        counts[row.phase] = counts.get(row.phase, 0) + 1
    told = ", ".join(f"{count} {phase}" for phase, count in counts.items())
    return f"and {counted(len(rows), 'host')} more: {told}"


def changed_lines(rows: Sequence[HostRow], known: dict[str, str]) -> Iterator[str]:
    """`node[01-16]: loading`, of hosts whose phase isn't as it is known, which they then are."""
    changed: dict[str, list[str]] = {}
    for row in rows:
        if known.get(row.host) != row.phase:
            known[row.host] = row.phase
            changed.setdefault(row.phase, []).append(row.host)
    for phase, hosts in changed.items():
        yield f"{fold_names(hosts)}: {phase}"

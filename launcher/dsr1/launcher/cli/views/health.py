"""What a person sees of a deployment that serves: its engines on its hosts, and which ranks are
well."""

import types
from collections.abc import Iterator, Mapping, Sequence

from rich.markup import escape
from rich.table import Table as RichTable
from rich.text import Text

from dsr1.launcher.health.verdicts import (
    FAILED,
    HEALTHY,
    SUSPECT,
    HealthReport,
    RankHealth,
    unwell_lines,
)
from dsr1.launcher.run.state import RunState

STYLES = {HEALTHY: "green", SUSPECT: "yellow", FAILED: "red"}
WORST_FIRST = (FAILED, SUSPECT)
SERVING = "serving"
ALL_SERVE: Mapping[str, str] = types.MappingProxyType({})


def report_of(state: RunState) -> HealthReport:
    """With the ranks that are well, which a run's state doesn't name."""
    ailing = {(row.engine, row.rank): row for row in state.ailing}
    well = (RankHealth(row.engine, row.rank, row.host, row.process) for row in state.ranks)
    ranks = tuple(ailing.pop((row.engine, row.rank), row) for row in well)
    return HealthReport((*ranks, *ailing.values()))


def health_lines(report: HealthReport, now: float) -> Iterator[str]:
    """Each with how long it has been so."""
    since = [f", for {now - row.since:.0f} s" for row in report.ailing]
    lines = list(unwell_lines(report))
    yield from (f"{line}{more}" for line, more in zip(lines, since, strict=False))
    yield from lines[len(since) :]


def health_grid(report: HealthReport, phases: Mapping[str, str] = ALL_SERVE) -> RichTable:
    """A row a host, a column an engine, in their order; a cell its ranks there. `phases` of
    engines: one that doesn't serve has no health."""
    engines = list(dict.fromkeys(row.engine for row in report.ranks))
    hosts = list(dict.fromkeys(row.host for row in report.ranks))
    table = RichTable("host", *map(escape, engines), box=None, header_style="bold", pad_edge=False)
    for host in hosts:
        own = [row for row in report.ranks if row.host == host]
        cells = []
        for engine in engines:
            ranks = [row for row in own if row.engine == engine]
            cells.append(_cell(ranks, phases.get(engine, SERVING)))
        table.add_row(Text(host), *cells)
    return table


def _cell(rows: Sequence[RankHealth], phase: str) -> Text:
    """`ranks 0-7 well`, or `ranks 0-7: 3 failed, 5 6 suspect`; or how far its engine is."""
    if not rows:
        return Text("-")
    if phase != SERVING:
        return Text(f"{_span(rows)} {phase}", style=STYLES[SUSPECT])
    found = {verdict: _named(rows, verdict) for verdict in WORST_FIRST}
    told = [words for words in found.values() if words]
    worst = next((verdict for verdict, words in found.items() if words), HEALTHY)
    text = f"{_span(rows)}: {', '.join(told)}" if told else f"{_span(rows)} well"
    return Text(text, style=STYLES[worst])


def _named(rows: Sequence[RankHealth], verdict: str) -> str:
    ranks = [str(row.rank) for row in rows if row.verdict == verdict]
    return f"{' '.join(ranks)} {verdict}" if ranks else ""


def _span(rows: Sequence[RankHealth]) -> str:
    first, last = rows[0].rank, rows[-1].rank
    return f"rank {first}" if first == last else f"ranks {first}-{last}"

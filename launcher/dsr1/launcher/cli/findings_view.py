"""Findings on a terminal: hosts by kinds of checks, then a paragraph for each thing amiss; or as JSON."""

import json
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from dsr1.hosts.events import Finding
    from dsr1.launcher.findings import Overview, Row

STYLES = {"FAIL": "bold red", "UNKNOWN": "magenta", "WARN": "yellow", "PASS": "green", "SKIP": "dim"}
CELLS = {"UNKNOWN": "?", "PASS": "ok", "SKIP": "-"}
QUIET = ("PASS", "SKIP")
PAGE = "docs/checks.md"


def show_findings(findings: "Sequence[Finding]", every: bool, as_json: bool) -> None:
    """Print them; exit with 3 when one is a FAIL."""
    if as_json:
        print(json.dumps([asdict(finding) | {"page": page_of(finding.check)} for finding in findings], indent=2))
    else:
        print_findings(findings, every)
    if any(finding.verdict == "FAIL" for finding in findings):
        raise typer.Exit(3)


def page_of(check: str) -> str:
    """Where a check is explained: a heading's anchor has no dots."""
    return f"{PAGE}#{check.replace('.', '')}"


def print_findings(findings: "Sequence[Finding]", every: bool) -> None:
    """Worst first; equal findings folded; at the end how many there were of each verdict."""
    from rich.console import Console
    from rich.text import Text

    from dsr1.launcher.findings import fold_rows, overview

    console = Console(highlight=False)
    console.print(_hosts_by_kinds(overview(findings)))
    for row in fold_rows([finding for finding in findings if every or finding.verdict not in QUIET]):
        console.print(_paragraph(row))
    counts = Counter(finding.verdict for finding in findings)
    console.print(Text("\n" + ", ".join(f"{counts[verdict]} {verdict}" for verdict in STYLES if counts[verdict])))
    if mended := mended_by_prep(findings):
        console.print(Text(f"dsr1 prep shows what would mend {', '.join(mended)}", "dim"))
    if not every:
        console.print(Text(f"--all shows what passed, too; {PAGE} explains each check", "dim"))


def mended_by_prep(findings: "Sequence[Finding]") -> list[str]:
    """Checks that didn't pass and that node preparation knows."""
    from dsr1.hosts.prep.decide import IDS

    return sorted({finding.check for finding in findings if finding.verdict not in QUIET} & set(IDS))


def _hosts_by_kinds(table: "Overview") -> "Table":
    from rich.table import Table
    from rich.text import Text

    shown = Table("hosts", *table.kinds, box=None, header_style="bold", pad_edge=False)
    for hosts, cells in table.rows:
        shown.add_row(hosts, *(Text(_cell(verdict, count), STYLES[verdict]) for verdict, count in cells))
    return shown


def _cell(verdict: str, count: int) -> str:
    """`2 FAIL`, `ok`."""
    word = CELLS.get(verdict, verdict)
    return word if verdict in QUIET else f"{count} {word}"


def _paragraph(row: "Row") -> "Table":
    """The verdict in the margin, then checks and hosts, what was seen, what is wanted, and the remedy."""
    from rich.table import Table
    from rich.text import Text

    shown = Table.grid(padding=(0, 1))
    shown.add_column(width=7)
    shown.add_column()
    shown.add_row()
    shown.add_row(Text(row.verdict, STYLES[row.verdict]), Text(f"{', '.join(row.checks)}: {row.hosts}", "bold"))
    lines = (("", row.seen), ("wanted: ", row.wanted), ("fix: ", row.fix))
    for word, text in lines:
        if text:
            shown.add_row("", Text.assemble((word, "dim"), text))
    return shown

"""Findings for a person: hosts by kinds of checks, then a paragraph for each thing amiss; or as
JSON.

On a terminal lines are folded to its width; elsewhere each thing is a line of its own, so that grep
finds it.
"""

import json
import re
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.text import Text

    from dsr1.env.findings import FindingRow, Overview
    from dsr1.hosts.protocol.events import Finding

STYLES = {
    "FAIL": "bold red",
    "UNKNOWN": "magenta",
    "WARN": "yellow",
    "PASS": "green",
    "SKIP": "dim",
}
CELLS = {"UNKNOWN": "?", "PASS": "ok", "SKIP": "-"}
QUIET = ("PASS", "SKIP")
MARGIN, MOST_SEEN = 8, 8
PAGE = "docs/checks.md"


def show_findings(findings: "Sequence[Finding]", every: bool, as_json: bool) -> None:
    """Print them; exit with 3 when one is a FAIL."""
    if as_json:
        print(
            json.dumps(
                [asdict(finding) | {"page": page_of(finding.check)} for finding in findings],
                indent=2,
            )
        )
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

    from dsr1.env.findings import fold_rows, overview

    console = Console(highlight=False, soft_wrap=True)
    width = console.width if console.is_terminal else None
    shown = [finding for finding in findings if every or finding.verdict not in QUIET]
    for line in _hosts_by_kinds(overview(findings), width):
        console.print(line)
    for row in fold_rows(shown):
        for line in _paragraph(row, width):
            console.print(line)
    for line in _closing(findings, every, width):
        console.print(line)


def _closing(findings: "Sequence[Finding]", every: bool, width: int | None) -> "Iterator[Text]":
    from rich.text import Text

    counts = Counter(finding.verdict for finding in findings)
    yield Text(
        "\n" + ", ".join(f"{counts[verdict]} {verdict}" for verdict in STYLES if counts[verdict])
    )
    if mended := mended_by_prep(findings):
        yield from _lines(
            "", f"dsr1 prep shows what would mend {', '.join(mended)}", 0, width, "dim"
        )
    if not every:
        yield Text(f"--all shows what passed, too; {PAGE} explains each check", "dim")


def mended_by_prep(findings: "Sequence[Finding]") -> list[str]:
    """Checks that found something amiss and that node preparation knows."""
    from dsr1.env.prep.decide import IDS

    return sorted(
        {finding.check for finding in findings if finding.verdict in ("FAIL", "WARN")} & set(IDS)
    )


def _hosts_by_kinds(table: "Overview", width: int | None) -> "Iterator[Text]":
    """A column for each kind with something amiss; the hosts last, since there may be many."""
    from rich.text import Text

    words = [[_cell(verdict, count) for verdict, count in cells] for _, cells in table.rows]
    wide = [max(map(len, column)) + 2 for column in zip(table.kinds, *words, strict=True)]
    if table.kinds:
        yield Text(
            "".join(kind.ljust(size) for kind, size in zip(table.kinds, wide, strict=True))
            + "hosts",
            "bold",
        )
    for (hosts, cells), row in zip(table.rows if table.kinds else (), words, strict=False):
        line, *more = _fold(hosts, width and max(MARGIN, width - sum(wide)))
        styled = [
            (word.ljust(size), STYLES[cell[0]])
            for word, size, cell in zip(row, wide, cells, strict=True)
        ]
        yield Text.assemble(*styled, line)
        yield from (Text(" " * sum(wide) + line) for line in more)
    if table.fine:
        everywhere = "" if table.kinds else f" on {', '.join(hosts for hosts, _ in table.rows)}"
        yield from _lines("ok: ", f"{', '.join(table.fine)}{everywhere}", 0, width)


def _cell(verdict: str, count: int) -> str:
    """`2 FAIL`, `ok`."""
    word = CELLS.get(verdict, verdict)
    return word if verdict in QUIET else f"{count} {word}"


def _paragraph(row: "FindingRow", width: int | None) -> "Iterator[Text]":
    """The verdict in the margin, then checks and hosts, what was seen, what is wanted, and the
    remedy."""
    from rich.text import Text

    yield Text()
    first, *more = _lines("", f"{', '.join(row.checks)}: {row.hosts}", MARGIN, width, "bold")
    yield Text.assemble(
        (row.verdict.ljust(MARGIN), STYLES[row.verdict]), (first.plain[MARGIN:], "bold")
    )
    yield from more
    alone = len(row.seen) == 1
    for hosts, words in row.seen[:MOST_SEEN]:
        yield from _lines("" if alone else f"{hosts}: ", words, MARGIN, width)
    if len(row.seen) > MOST_SEEN:
        yield from _lines("", f"and {len(row.seen) - MOST_SEEN} more: --json", MARGIN, width, "dim")
    yield from _lines("wanted: ", row.wanted, MARGIN, width)
    yield from _lines("fix: ", row.fix, MARGIN, width)


def _lines(
    word: str, text: str, margin: int, width: int | None, style: str = ""
) -> "Iterator[Text]":
    """Nothing, where there is no text."""
    from rich.text import Text

    for number, line in enumerate(_fold(word + text, width and width - margin) if text else ()):
        dim = word if number == 0 and line.startswith(word) else ""
        yield Text.assemble(" " * margin, (dim, "dim"), (line[len(dim) :], style))


def _fold(text: str, width: int | None) -> list[str]:
    """At blanks, and after commas, which lists of hosts have; a word that is longer than a line
    stays whole."""
    lines = []
    for whole in text.splitlines():
        lines.append("")
        for piece in re.findall(r"[^\s,]*,?\s?", whole):
            if width and lines[-1] and len(lines[-1]) + len(piece.rstrip()) > width:
                lines.append("")
            lines[-1] += piece
    return [line.rstrip() for line in lines]

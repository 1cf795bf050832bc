"""Findings for a person: hosts by kinds of checks, then a paragraph for each problem; or as JSON.

On a terminal lines are folded to its width; elsewhere each is kept whole, so that grep finds it.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict

import typer
from rich.text import Text

from dsr1.env.findings import FindingRow, Overview, fold_rows, overview
from dsr1.env.prep.decide import IDS
from dsr1.hosts.protocol.events import Finding
from dsr1.launcher.cli.answers.envelope import ANSWER
from dsr1.launcher.cli.views.console import make_console

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


def show_findings(findings: Sequence[Finding], every: bool, as_json: bool) -> None:
    """Print them; exit with 3 when one is a FAIL."""
    if as_json:
        rows = [asdict(finding) | {"page": page_of(finding.check)} for finding in findings]
        ANSWER.put("findings", rows)
    else:
        print_findings(findings, every)
    if any(finding.verdict == "FAIL" for finding in findings):
        raise typer.Exit(3)


def page_of(check: str) -> str:
    """Where a check is explained: a heading's anchor has no dots."""
    return f"{PAGE}#{check.replace('.', '')}"


def print_findings(findings: Sequence[Finding], every: bool) -> None:
    """Worst first; equal findings folded; at the end how many there were of each verdict."""
    console = make_console(highlight=False, soft_wrap=True)
    width = console.width if console.is_terminal else None
    for line in _all_lines(findings, every, width):
        console.print(line)


def _all_lines(findings: Sequence[Finding], every: bool, width: int | None) -> Iterator[Text]:
    yield from _hosts_by_kinds(overview(findings), width)
    shown = [finding for finding in findings if every or finding.verdict not in QUIET]
    for row in fold_rows(shown):
        yield from _paragraph(row, width)
    yield from _closing(findings, every, width)


def _closing(findings: Sequence[Finding], every: bool, width: int | None) -> Iterator[Text]:
    counts = Counter(finding.verdict for finding in findings)
    totals = [f"{counts[verdict]} {verdict}" for verdict in STYLES if counts[verdict]]
    yield Text("\n" + ", ".join(totals))
    if mended := mended_by_prep(findings):
        hint = f"dsr1 prep shows how to mend {', '.join(mended)}"
        yield from _lines("", hint, 0, width, "dim")
    if not every:
        yield Text("--all also shows what passed; `dsr1 explain CHECK` explains one", "dim")


def mended_by_prep(findings: Sequence[Finding]) -> list[str]:
    """Checks that found a problem that node preparation can mend."""
    found = {finding.check for finding in findings if finding.verdict in ("FAIL", "WARN")}
    return sorted(found & set(IDS))


def _hosts_by_kinds(table: Overview, width: int | None) -> Iterator[Text]:
    """A column for each kind of check with problems; the hosts last, since there may be many."""
    if table.kinds:
        yield from _problem_table(table, width)
    if table.fine:
        everywhere = "" if table.kinds else f" on {', '.join(hosts for hosts, _ in table.rows)}"
        yield from _lines("ok: ", f"{', '.join(table.fine)}{everywhere}", 0, width)


def _problem_table(table: Overview, width: int | None) -> Iterator[Text]:
    words = [[_cell(verdict, count) for verdict, count in cells] for _, cells in table.rows]
    sizes = [max(map(len, column)) + 2 for column in zip(table.kinds, *words, strict=True)]
    heads = (kind.ljust(size) for kind, size in zip(table.kinds, sizes, strict=True))
    yield Text("".join(heads) + "hosts", "bold")
    for (hosts, cells), row in zip(table.rows, words, strict=True):
        styles = [STYLES[verdict] for verdict, _ in cells]
        padded = (word.ljust(size) for word, size in zip(row, sizes, strict=True))
        line, *more = _fold(hosts, width and max(MARGIN, width - sum(sizes)))
        yield Text.assemble(*zip(padded, styles, strict=True), line)
        yield from (Text(" " * sum(sizes) + line) for line in more)


def _cell(verdict: str, count: int) -> str:
    """`2 FAIL`, `ok`."""
    word = CELLS.get(verdict, verdict)
    return word if verdict in QUIET else f"{count} {word}"


def _paragraph(row: FindingRow, width: int | None) -> Iterator[Text]:
    """The verdict in the margin, then checks and hosts, what was seen, what is wanted, and the
    remedy."""
    yield Text()
    first, *more = _lines("", f"{', '.join(row.checks)}: {row.hosts}", MARGIN, width, "bold")
    verdict = (row.verdict.ljust(MARGIN), STYLES[row.verdict])
    yield Text.assemble(verdict, (first.plain[MARGIN:], "bold"))
    yield from more
    alone = len(row.seen) == 1
    for hosts, words in row.seen[:MOST_SEEN]:
        yield from _lines("" if alone else f"{hosts}: ", words, MARGIN, width)
    if len(row.seen) > MOST_SEEN:
        rest = f"and {len(row.seen) - MOST_SEEN} more: --json shows all"
        yield from _lines("", rest, MARGIN, width, "dim")
    yield from _lines("wanted: ", row.wanted, MARGIN, width)
    yield from _lines("fix: ", row.fix, MARGIN, width)


def _lines(word: str, text: str, margin: int, width: int | None, style: str = "") -> Iterator[Text]:
    """Nothing, where there is no text."""
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

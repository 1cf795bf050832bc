"""What the site has beside its pages: their order, the names of columns beside cells, the command
reference, told by the command, and the causes of failures, from the table of rules."""

import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, groupby
from typing import TYPE_CHECKING

from dsr1.launcher.triage.rules import TIERS, Rule, load_rules

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

COMMANDS, CAUSES = "commands.md", "causes.md"
GROUPS = {
    "Start": (
        "install.md",
        "first-token.md",
        "concepts.md",
        "site.md",
        "recipes.md",
        "import.md",
        "ssh.md",
        "slurm.md",
        "by-hand.md",
    ),
    "Operate": (
        "runs.md",
        "checks.md",
        "prep.md",
        "model.md",
        "caches.md",
        "engines.md",
        "tune.md",
        "bench.md",
        "metrics.md",
        "report.md",
        "troubleshooting.md",
        CAUSES,
    ),
    "Reference": (
        COMMANDS,
        "environment.md",
        "threat-model.md",
        "run-directory.md",
        "exit-codes.md",
        "json.md",
        "events.md",
        "versions.md",
        "gpus.md",
        "parity.md",
        "architecture.md",
        "glossary.md",
    ),
}
ORDER = ("index.md", *(page for pages in GROUPS.values() for page in pages))
"""A page that is not among them comes after them, so that a new one never breaks the site."""


def on_files(files: "Files", config: "MkDocsConfig") -> "Files":
    from mkdocs.structure.files import File

    files.append(File.generated(config, COMMANDS, content=reference()))
    files.append(File.generated(config, CAUSES, content=render_causes(load_rules())))
    config.nav = group_nav(make_nav(file.src_uri for file in files.documentation_pages()))
    return files


def on_page_content(html: str, **_: object) -> str:
    return re.sub(r"<table>.*?</table>", lambda table: label_cells(table[0]), html, flags=re.DOTALL)


def label_cells(table: str) -> str:
    """Each cell has the name of its column, for a screen that is too narrow for columns. The first
    one names its row."""
    heads = re.findall(r"<th[^>]*>(.*?)</th>", table, re.DOTALL)
    names = [re.sub(r"<[^>]*>", "", head).replace('"', "&quot;") for head in heads[1:]]
    rows = table.split("<tr>")
    return "<tr>".join(_label_row(row, iter(["", *names])) for row in rows)


def _label_row(row: str, names: Iterator[str]) -> str:
    def label(_: re.Match[str]) -> str:
        name = next(names, "")
        return f'<td data-label="{name}"' if name else "<td"

    return re.sub(r"<td(?=[ >])", label, row)


def group_nav(entries: Iterable[object]) -> list[object]:
    """The first page, then the groups; what no group names is reference."""
    groups: dict[str, list[object]] = {name: [] for name in GROUPS}
    first: list[object] = []
    for entry in entries:
        page = _first_page(entry)
        of_page = (name for name, pages in GROUPS.items() if page in pages)
        into = first if page == "index.md" else groups[next(of_page, "Reference")]
        into.append(entry)
    return [*first, *({name: own} for name, own in groups.items() if own)]


def _first_page(entry: object) -> str:
    while isinstance(entry, dict):
        (entry,) = entry.values()
        entry = entry[0]
    return str(entry)


def make_nav(pages: Iterable[str]) -> list[object]:
    """A page as its name; a folder with the page of its name before its own, below that name."""
    names = sorted(pages, key=lambda page: (_place(page), page.count("/"), page))
    folders = {name.partition("/")[0] for name in names if "/" in name}
    grouped = groupby(names, lambda name: top if (top := _top(name)) in folders else "")
    return [
        entry
        for folder, found in grouped
        for entry in ([{folder.capitalize(): [*found]}] if folder else found)
    ]


def _place(page: str) -> int:
    """A folder stands where the page of its name does."""
    page = f"{_top(page)}.md"
    return ORDER.index(page) if page in ORDER else len(ORDER)


def _top(page: str) -> str:
    return page.partition("/")[0].removesuffix(".md")


def reference() -> str:
    argv = (
        sys.executable,
        "-m",
        "typer",
        "dsr1.launcher.cli.app",
        "utils",
        "docs",
        "--name",
        "dsr1",
    )
    return shorten(
        subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60).stdout
    )


def shorten(told: str) -> str:
    """Without typer's lists of commands, whose descriptions are cut: the headings below have them
    whole."""
    without_lists = re.sub(r"\*\*Commands\*\*:\n\n(?:\*.*\n)+\n?", "", told)
    without_help = re.sub(r"\* `--help`: .*\n", "", without_lists)
    without_empty = re.sub(r"\*\*Options\*\*:\n\n(?!\*)", "", without_help)
    return re.sub(r"^# .*\n", "# Command reference\n", without_empty, count=1)


TITLES = {
    "machine": ("The machine itself", "Nothing that runs on it can be blamed: these win."),
    "itself": ("A process by itself", "It failed by its own fault, and says or shows how."),
    "own_error": ("An error of its own, unnamed", "It failed first, but nothing says why."),
    "waiting": (
        "Waiting for a peer",
        "The culprit is the rank that does not wait: stopped, blocked or silent.",
    ),
    "peer_gone": (
        "A peer went",
        "The culprit is the peer; an address in the line is a vote for its host.",
    ),
    "echo": ("Echoes", "They follow from any of these; `dsr1 logs --errors` hides them."),
}
INTRODUCTION = """# Causes of failures

What `dsr1 why`, `dsr1 status` and a failed launch know of the words in logs. The first rule that
fits a line gives its meaning. A cause comes before its echoes: the tables stand in the order in
which they win; within one the earliest wins.
"""


def render_causes(rules: Sequence[Rule]) -> str:
    """Markdown; each row has its rule's id as an anchor."""
    tables = (_table(tier, rules) for tier in range(len(TIERS)))
    return "\n".join(chain([INTRODUCTION], *tables))


def _table(tier: int, rules: Sequence[Rule]) -> Iterator[str]:
    title, what = TITLES[TIERS[tier]]
    yield f"## {title}\n\n{what}\n"
    yield "| in the log | meaning | what to do | source |"
    yield "|---|---|---|---|"
    yield from (_row(rule) for rule in rules if rule.tier == tier)
    yield ""


def _row(rule: Rule) -> str:
    anchor = rule.anchor.replace("|", "\\|")
    words = f'<a id="{rule.id}"></a>`{anchor}`'
    return f"| {words} | {_cell(rule.meaning)} | {_cell(rule.remedy)} | {_cell(rule.seen)} |"


def _cell(text: str) -> str:
    """Names like __init__ aren't bold."""
    if "`" in text:
        return text
    return text.replace("|", "\\|").replace("<", "&lt;").replace("__", "\\_\\_")

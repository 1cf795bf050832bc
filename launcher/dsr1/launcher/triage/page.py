"""The rules as a page of the documentation: a table a tier, a row a rule. Pure."""

from collections.abc import Iterator, Sequence
from itertools import chain

from dsr1.launcher.triage.rules import TIERS, Rule

CAUSES = "causes.md"
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

"""What lines of logs mean, as data: one row a kind of failure, each with where it was seen.

Tiers, from cause to echo: 0 the machine, 1 a process by itself, 2 its own unnamed error, 3 waiting
for a peer that doesn't come, 4 a peer that went, 5 an echo of any of these.
"""

import re
from functools import cache
from importlib.resources import files

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.protocol.log_scan import LogPattern
from dsr1.launcher.triage.log_line import level_of

TIERS = ("machine", "itself", "own_error", "waiting", "peer_gone", "echo")
MACHINE, ITSELF, OWN_ERROR, WAITING, PEER_GONE, ECHO = range(len(TIERS))


@dataclass(frozen=True, slots=True)
class Rule:
    """`anchor` and `regex` as LogPattern has them; `meaning` and `remedy` are for a person, `seen`
    is the source, `example` a line that the rule fits, where the anchor isn't one."""

    id: str
    tier: int
    anchor: str
    regex: str
    meaning: str
    remedy: str
    seen: str
    example: str = ""

    @property
    def link(self) -> str:
        """Its row in the documentation."""
        return f"docs/causes.md#{self.id}"

    def fits(self, line: str) -> bool:
        return self.anchor in line and (not self.regex or re.search(self.regex, line) is not None)


def patterns(rules: tuple[Rule, ...]) -> tuple[LogPattern, ...]:
    """In the rules' order: the first that fits a line is its meaning."""
    return tuple(LogPattern(rule.id, rule.anchor, rule.regex) for rule in rules)


@cache
def load_rules() -> tuple[Rule, ...]:
    import yaml  # what shows a cause needs no rules

    text = files("dsr1.launcher.triage").joinpath("rules.yaml").read_text(encoding="utf-8")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return tuple(
        Rule(**{"regex": "", **row, "tier": TIERS.index(row["tier"])})
        for row in yaml.load(text, Loader=loader)
    )


def cause_in(line: str) -> Rule | None:
    """The rule of a line that is no echo. None: the line tells of no failure."""
    if level_of(line) != "error":
        return None
    rule = next((rule for rule in load_rules() if rule.fits(line)), None)
    return rule if rule and rule.tier < ECHO else None


def is_cause(line: str) -> bool:
    return cause_in(line) is not None

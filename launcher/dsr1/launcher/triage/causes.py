"""Single lines of a log, by the same rules: what is a cause, and what only an echo. Pure."""

from dsr1.launcher.triage.log_line import level_of
from dsr1.launcher.triage.rules import ECHO, Rule
from dsr1.launcher.triage.table import load_rules


def cause_in(line: str) -> Rule | None:
    """The rule of a line that is no echo. None: the line tells of no failure."""
    if level_of(line) != "error":
        return None
    rule = next((rule for rule in load_rules() if rule.fits(line)), None)
    return rule if rule and rule.tier < ECHO else None


def is_cause(line: str) -> bool:
    return cause_in(line) is not None

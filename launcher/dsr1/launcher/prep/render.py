"""Node preparation in words: what would change and why, what is left to a person, what was done.
Equal hosts fold."""

import difflib
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from rich.text import Text

from dsr1.env.prep.decide import Preparation
from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.inventory.names import fold_names
from dsr1.hosts.protocol.events import Finding
from dsr1.hosts.protocol.prep import (
    CommandStep,
    FileEdit,
    PrepJournal,
    PrepReport,
    PrepSteps,
    Sysctl,
)
from dsr1.launcher.terminal import escape_line

STYLES = {"FAIL": "bold red", "UNKNOWN": "magenta", "WARN": "yellow", "SKIP": "dim"}
MARKS = {"+": "green", "-": "red", "@": "cyan"}
PrepStep = FileEdit | Sysctl | CommandStep
AlikeT = TypeVar("AlikeT")


@dataclass(frozen=True, slots=True)
class HostGroup:
    """Hosts of one system for which the same was decided."""

    hosts: str
    system: str
    made: Preparation


def group_hosts(made: Mapping[str, Preparation], systems: Mapping[str, str]) -> list[HostGroup]:
    nameless = {
        host: (
            systems[host],
            replace(one, findings=tuple(replace(finding, host="") for finding in one.findings)),
        )
        for host, one in made.items()
    }
    return [HostGroup(hosts, *alike) for hosts, alike in fold_hosts(nameless)]


def fold_hosts(by_host: Mapping[str, AlikeT]) -> list[tuple[str, AlikeT]]:
    """`node[1-16]` and what is the same on all of them."""
    groups: dict[AlikeT, list[str]] = {}
    for host, one in by_host.items():
        groups.setdefault(one, []).append(host)
    return [(fold_names(hosts), one) for one, hosts in groups.items()]


def render_host_group(group: HostGroup, ids: Sequence[str]) -> Iterator[Text]:
    yield Text(group.hosts, "bold") + Text(f"  {escape_line(group.system)}", "dim")
    steps = group.made.steps
    for step_group in grouped(_all(steps)):
        yield from _render_group(step_group)
    yield from _render_settling(steps)
    yield from _render_notes(group.made.findings)
    quiet = _untouched(group.made, ids)
    if quiet:
        yield Text(f"  already right: {', '.join(quiet)}", "dim")
    yield Text("")


def _render_settling(steps: PrepSteps) -> Iterator[Text]:
    """Commands that put changed files into effect."""
    after_edits = (edit.settle for edit in steps.edits if edit.settle)
    for command in dict.fromkeys((*after_edits, *steps.settle)):
        overdue = command in steps.settle
        why = "due since an earlier change" if overdue else "once the files are written"
        words = escape_line(shlex.join(command))
        yield Text.assemble("  then ", (words, "bold"), (f"  {why}", "dim"))


def _all(steps: PrepSteps) -> tuple[PrepStep, ...]:
    return (*steps.edits, *steps.settings, *steps.commands)


def grouped(steps: Sequence[PrepStep]) -> list[list[PrepStep]]:
    """Edits for the same checks come together, and whatever else is done for a check comes with the
    last edit for it."""
    groups: list[list[PrepStep]] = []
    for step in steps:
        group = next((group for group in reversed(groups) if _belongs(step, group[0])), None)
        if group is None:
            groups.append([step])
        else:
            group.append(step)
    return groups


def _belongs(step: PrepStep, first: PrepStep) -> bool:
    return step.checks == first.checks or (
        not isinstance(step, FileEdit) and bool(set(step.checks) & set(first.checks))
    )


def _render_group(steps: Sequence[PrepStep]) -> Iterator[Text]:
    yield Text(
        f"  {', '.join(dict.fromkeys(check for step in steps for check in step.checks))}", "bold"
    )
    for why in dict.fromkeys(line for step in steps for line in step.why.split("\n")):
        yield Text(f"    {why}", "dim")
    for step in steps:
        yield from _render_step(step)


def _render_step(step: PrepStep) -> Iterator[Text]:
    if isinstance(step, Sysctl):
        yield Text.assemble(
            "    set ",
            (step.name, "bold"),
            f": {escape_line(step.before) or 'empty'} -> {escape_line(step.after)}",
        )
    elif isinstance(step, CommandStep):
        yield Text.assemble("    run ", (escape_line(shlex.join(step.do)), "bold"))
    else:
        yield Text.assemble(
            "    file ",
            (escape_line(step.path), "bold"),
            "" if step.before is not None else " (new)",
        )
        yield from (Text(f"      {line}", MARKS.get(line[:1], "")) for line in diff_of(step))


def diff_of(edit: FileEdit) -> list[str]:
    """Without the two lines that name the files. What isn't UTF-8, or moves the cursor, is shown
    escaped."""
    before, after = (
        text.removesuffix("\n").split("\n") for text in (edit.before or "", edit.after)
    )
    if edit.before is None:
        return [f"+{escape_line(line)}" for line in after]
    lines = list(difflib.unified_diff(before, after, lineterm="", n=1))[2:]
    return [line[:1] + escape_line(line[1:]) for line in lines]


def _render_notes(findings: Sequence[Finding]) -> Iterator[Text]:
    skipped: dict[str, list[str]] = {}
    for finding in findings:
        if finding.verdict == "SKIP":
            skipped.setdefault(finding.seen, []).append(finding.check)
        else:
            yield from _render_finding(finding)
    for seen, checks in skipped.items():
        yield Text(f"  not needed: {', '.join(checks)}: {seen}", "dim")


def _render_finding(finding: Finding) -> Iterator[Text]:
    wanted = f"; wanted: {finding.wanted}" if finding.wanted else ""
    head = (f"  {finding.verdict} ", STYLES[finding.verdict])
    yield Text.assemble(head, (finding.check, "bold"), f"  {escape_line(finding.seen)}{wanted}")
    if finding.fix:
        yield Text(f"    {finding.fix}")


def _untouched(made: Preparation, ids: Sequence[str]) -> list[str]:
    touched = {check for step in _all(made.steps) for check in step.checks}
    return [
        name for name in ids if name not in touched | {finding.check for finding in made.findings}
    ]


def render_journal(host: str, journal: PrepJournal) -> Iterator[Text]:
    yield Text(host, "bold")
    for kept in reversed(journal.edits):
        yield Text(f"  {'restore' if kept.before else 'remove'} {escape_line(kept.path)}")
    after_edits = (kept.settle for kept in journal.edits if kept.settle)
    for command in dict.fromkeys((*after_edits, *journal.owed)):
        yield Text(f"  then {escape_line(shlex.join(command))}")
    for setting in reversed(journal.settings):
        back = f"{setting.name}: {setting.after} -> {setting.before or 'empty'}"
        yield Text(f"  set {escape_line(back)}, unless it was changed since")
    for step in reversed(journal.commands):
        yield Text(f"  run {escape_line(shlex.join(step.undo))}")
    yield Text("")


def render_report(host: str, report: PrepReport, verb: str) -> Iterator[Text]:
    done = sum(outcome.state == "done" for outcome in report.outcomes)
    yield Text.assemble((host, "bold"), f": {done} of {len(report.outcomes)} steps {verb}")
    for outcome in report.bad:
        yield Text.assemble(
            (f"  {outcome.state} ", "bold red"),
            f"{escape_line(outcome.what)}: {escape_line(outcome.problem)}",
        )


def render_end(made: Mapping[str, Preparation], applied: bool) -> Iterator[Text]:
    due = [host for host, one in made.items() if one.steps]
    if due and not applied:
        yield Text(f"{fold_names(due)}: --apply does this, --undo undoes it.")
    elif made and not due:
        yield Text("Nothing to change.")
    if reboot := [host for host, one in made.items() if one.reboot]:
        head = (f"{fold_names(reboot)}: reboot needed", "bold yellow")
        yield Text.assemble(head, "; dsr1 never reboots a host.")

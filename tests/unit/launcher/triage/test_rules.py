"""The table of rules: each row is whole, findable, distinct, and means what its example says."""

import re
from pathlib import Path

import pytest

from dsr1.hosts.protocol.log_scan import scan_log
from dsr1.launcher.triage.rules import ECHO, Rule, load_rules, patterns


def test_there_is_a_rule_for_many_kinds_and_each_stands_once() -> None:
    ids = [rule.id for rule in load_rules()]
    assert len(ids) >= 60
    assert sorted(set(ids)) == sorted(ids)


@pytest.mark.parametrize("rule", load_rules(), ids=lambda rule: rule.id)
def test_a_row_is_whole(rule: Rule) -> None:
    assert rule.anchor
    assert rule.meaning
    assert rule.seen
    assert rule.remedy or rule.tier == ECHO
    assert rule.example or not rule.regex, "a rule with a regex needs an example"
    re.compile(rule.regex)


@pytest.mark.parametrize("rule", load_rules(), ids=lambda rule: rule.id)
def test_its_example_in_a_log_is_taken_for_this_rule_and_no_other(
    rule: Rule, tmp_path: Path
) -> None:
    log = tmp_path / "main-0.log"
    log.write_text(f"INFO all is well\n{rule.example or rule.anchor}\n")
    hits = scan_log(log, patterns(load_rules())).hits
    assert [(hit.pattern, hit.line) for hit in hits] == [(rule.id, 2)]

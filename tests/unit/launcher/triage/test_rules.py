"""The table of rules: each row is whole, findable and distinct."""

import re

import pytest

from dsr1.launcher.triage.rules import ECHO, Rule
from dsr1.launcher.triage.table import load_rules


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
    re.compile(rule.regex)

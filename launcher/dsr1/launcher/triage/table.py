"""All rules, from rules.yaml beside this file, in the order in which they are tried."""

from functools import cache
from importlib.resources import files

import yaml

from dsr1.launcher.triage.rules import TIERS, Rule


@cache
def load_rules() -> tuple[Rule, ...]:
    text = files("dsr1.launcher.triage").joinpath("rules.yaml").read_text(encoding="utf-8")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return tuple(
        Rule(**{"regex": "", **row, "tier": TIERS.index(row["tier"])})
        for row in yaml.load(text, Loader=loader)
    )

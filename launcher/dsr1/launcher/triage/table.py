"""All rules, in the order in which they are tried: the first that fits a line is its meaning."""

from dsr1.launcher.triage import rules_network, rules_vllm
from dsr1.launcher.triage.rules import Rule

RULES: tuple[Rule, ...] = (*rules_network.RULES, *rules_vllm.RULES)

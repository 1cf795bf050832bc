"""Judgements of what was observed on the hosts. Pure: facts in, findings out. Each check has its
section in docs/checks.md."""

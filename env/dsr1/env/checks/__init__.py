"""Judgements of what was observed on the hosts. Pure: facts in, findings out. Each has its place in
docs/checks.md."""

"""Judgements of what was observed on the hosts. Pure: facts in, findings out. See hopper's preflight table in docs."""

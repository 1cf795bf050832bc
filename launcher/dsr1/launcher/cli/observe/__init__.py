"""Verbs that show how a run does, and how it came about."""

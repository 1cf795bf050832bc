"""Verbs for runs that are there."""

"""Verbs that change a deployment while it serves."""

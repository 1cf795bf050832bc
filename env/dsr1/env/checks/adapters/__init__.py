"""Checks of InfiniBand and RoCE adapters: of those that the plan chooses, not of all that a host
has."""

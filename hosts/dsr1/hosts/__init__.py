"""Hosts: how they are named and reached, what is seen on them, and the agent that owns a run's
processes there."""

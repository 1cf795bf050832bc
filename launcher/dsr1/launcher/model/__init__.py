"""Weights on hosts: fetched from a hub, pushed from host to host, verified."""

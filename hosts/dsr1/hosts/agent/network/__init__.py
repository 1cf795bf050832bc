"""Ports, addresses and connections of this host."""

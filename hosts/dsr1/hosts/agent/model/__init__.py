"""Weights on this host: hashed, received, passed on."""

"""Hosts as a user names them, and how each is reached."""

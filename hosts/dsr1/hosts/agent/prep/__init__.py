"""Node preparation on this host: looked at, applied, undone."""

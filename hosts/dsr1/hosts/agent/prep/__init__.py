"""Node preparation on this host: probed, applied, undone."""

"""The model on this host."""

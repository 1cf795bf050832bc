"""Facts: what is asked of a host, and the form in which it answers."""

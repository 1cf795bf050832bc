"""What a tuning came to: the front, the best of it, and both as pictures and tables. Pure."""

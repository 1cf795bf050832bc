"""What a host is like: observed, never judged."""

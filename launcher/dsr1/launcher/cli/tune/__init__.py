"""The verbs that look for a better recipe."""

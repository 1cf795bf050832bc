"""The launching side: ways to reach hosts and their agents."""

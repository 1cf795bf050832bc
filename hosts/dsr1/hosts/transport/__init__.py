"""The launching side: how hosts and their agents are reached."""

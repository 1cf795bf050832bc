"""Verbs that explain dsr1 itself: its checks, and the forms of its files and answers."""

"""What a terminal shows while a verb's modules are loaded, which takes longer than a person waits
without a word."""

from collections.abc import Mapping, Sequence
from typing import TextIO

SLOW = ("launch", "check", "prewarm")
CLEAR = "\r\x1b[K"


def slow_verb(words: Sequence[str]) -> str:
    """Of this call. Empty: its own words come soon enough, or it only explains itself."""
    verb = next((word for word in words if not word.startswith("-")), "")
    explains = not {"-h", "--help"}.isdisjoint(words)
    return verb if verb in SLOW and not explains else ""


def say_first(words: Sequence[str], terminal: TextIO, env: Mapping[str, str]) -> str:
    """The verb of which something was said, which CLEAR takes back once it can speak itself."""
    if not terminal.isatty() or env.get("TERM", "dumb") == "dumb":
        return ""
    if verb := slow_verb(words):
        terminal.write(f"dsr1: {verb}: reading the recipe ...")
        terminal.flush()
    return verb

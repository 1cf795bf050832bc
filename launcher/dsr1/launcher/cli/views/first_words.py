"""What a terminal shows while a verb's modules are loaded, which takes longer than a person waits
without a word."""

from collections.abc import Mapping, Sequence
from typing import TextIO

SLOW = ("launch", "check", "prewarm")
CLEAR = "\r\x1b[K"


def first_words(words: Sequence[str]) -> str:
    """Of this call. Empty: its own come soon enough, or it only explains itself."""
    verb = next((word for word in words if not word.startswith("-")), "")
    explains = not {"-h", "--help"}.isdisjoint(words)
    return f"dsr1: {verb}: reading the recipe ..." if verb in SLOW and not explains else ""


def say_first(words: Sequence[str], terminal: TextIO, env: Mapping[str, str]) -> bool:
    """Whether something was said, which CLEAR takes back once the verb can speak itself."""
    said = first_words(words)
    if not said or not terminal.isatty() or env.get("TERM", "dumb") == "dumb":
        return False
    terminal.write(said)
    terminal.flush()
    return True

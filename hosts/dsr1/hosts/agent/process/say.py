"""The agent's own words, in agent.log."""

import contextlib
import os


def say(text: str) -> None:
    """A full disk is no reason to fail."""
    with contextlib.suppress(OSError):
        os.write(2, text.encode(errors="replace") + b"\n")

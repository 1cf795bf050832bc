"""Texts of configuration files: one line is set, everything else stays as it is. Pure."""

import re

HEADER = "# Written by `dsr1 prep`; `dsr1 prep --undo` takes it back.\n"


def with_line(text: str, line: str, instead_of: str, header: str = HEADER) -> str:
    """The line instead of the first that matches, and of all others that do; where none does, at
    the end.

    A text without its last newline gets it; an empty one gets a header.
    """
    lines = (text or header).removesuffix("\n").split("\n")
    places = [number for number, old in enumerate(lines) if re.match(instead_of, old)]
    if not places:
        return "\n".join([*lines, line, ""])
    kept = (
        (line if n == places[0] else old)
        for n, old in enumerate(lines)
        if n == places[0] or n not in places
    )
    return "\n".join([*kept, ""])


def words_of(text: str, comments: str = "#") -> list[list[str]]:
    """Of every line that isn't a comment."""
    lines = (line.strip() for line in text.split("\n"))
    return [line.split() for line in lines if line and line[0] not in comments]


def oddity(text: str) -> str:
    """Why a text is not for a program to change; empty: it may be."""
    if "\0" in text:
        return "it contains binary data"
    if "\r" in text:
        return (
            "it has Windows line endings, which its readers take as part of the last word; sed -i"
            " 's/\\r$//' removes them"
        )
    return ""

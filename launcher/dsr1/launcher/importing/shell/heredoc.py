"""Here-documents of a script: the lines that a command gets as a file, which are not commands.
Pure."""

import re
from collections.abc import Sequence

_START = re.compile(r"<<(-?)[ \t]*(\S.*)", re.DOTALL)


def is_heredoc(redirection: str) -> bool:
    start = _START.match(redirection)
    return bool(start and not start[2].startswith("<"))


def end_of_bodies(script: str, at: int, redirections: Sequence[str]) -> int:
    """Where the script goes on after the bodies of these; one that is never closed takes the rest,
    as in a shell."""
    for redirection in redirections:
        start = _START.match(redirection)
        if start and is_heredoc(redirection):
            at = _end_of_body(script, at, re.sub(r"[\\'\"]", "", start[2]), start[1])
    return at


def _end_of_body(script: str, at: int, delimiter: str, dash: str) -> int:
    while at < len(script):
        end = script.find("\n", at)
        end = len(script) if end < 0 else end
        line, at = script[at:end], min(end + 1, len(script))
        if (line.lstrip("\t") if dash else line) == delimiter:
            break
    return at

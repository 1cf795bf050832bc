"""The one door to the terminal: what hosts, logs and files say reaches it without its controls.

ESC, C1, direction marks and the like move a cursor, hide text, or write what somebody types next.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any, TextIO


def escape_line(line: str) -> str:
    """What is no printable character, nor a tab, as Python escapes it: `\\x1b`, `\\u202e`."""
    if line.isprintable():
        return line
    return "".join(map(_escape, line))


def _escape(letter: str) -> str:
    if letter.isprintable() or letter == "\t":
        return letter
    return letter.encode("unicode_escape").decode()


def escape_text(text: str) -> str:
    """As escape_line, of several lines."""
    return "\n".join(map(escape_line, text.split("\n")))


class EscapedStream:
    """A text stream that escapes what is written to it, and is `stream` in all else."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        self.stream.write(escape_text(text))
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextmanager
def escaped_output(raw: bool) -> Iterator[None]:
    """Whatever is printed meanwhile, by whomever, is escaped; not if it is to be `raw`."""
    if raw:
        yield
        return
    out: Any = EscapedStream(sys.stdout)
    err: Any = EscapedStream(sys.stderr)
    with redirect_stdout(out), redirect_stderr(err):
        yield

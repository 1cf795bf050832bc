"""Rich's console, through the same door: its own escape sequences reach the terminal, and none of
the text that it is given."""

import os
import sys
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from dsr1.launcher.terminal import EscapedStream, escape_text

DEFAULT_WIDTH = 80


class _EscapedConsole(Console):
    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            text = segment.text if segment.control else escape_text(segment.text)
            yield Segment(text, segment.style, segment.control)


def make_console(stderr: bool = False, **options: Any) -> Console:
    """For stdout, or stderr."""
    if os.environ.get("COLUMNS") == "0":  # a terminal that doesn't know its size
        options.setdefault("width", DEFAULT_WIDTH)
    stream: Any = sys.stderr if stderr else sys.stdout
    if isinstance(stream, EscapedStream):
        return _EscapedConsole(file=stream.stream, **options)
    return Console(file=stream, **options)

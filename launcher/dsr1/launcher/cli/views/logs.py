"""What a person sees of logs: each line with its process's name, in its host's colour."""

from collections.abc import Iterable
from contextlib import suppress

from rich.text import Text

from dsr1.launcher.cli.views.console import make_console
from dsr1.launcher.operate.logs import LogChunk

COLOURS = ("cyan", "magenta", "blue", "green", "yellow", "red")


def print_logs(chunks: Iterable[LogChunk], flush: bool = False) -> None:
    """Ctrl-C ends the printing alone."""
    console = make_console(highlight=False, soft_wrap=True)
    colours: dict[str, str] = {}
    with suppress(KeyboardInterrupt):
        for lines in chunks:
            prefix = f"{lines.process or lines.host}: "
            if console.is_terminal:
                colour = colours.setdefault(lines.host, COLOURS[len(colours) % len(COLOURS)])
                for line in lines.text.split("\n"):
                    console.print(Text(prefix, style=colour) + Text(line))
            else:
                print(prefix + lines.text.replace("\n", "\n" + prefix), flush=flush)

"""What a person sees of a start: on a terminal a screen that fits it, elsewhere a line whenever a
host has come to another phase."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.live import Live
from rich.text import Text

from dsr1.hosts.transport.parallel import watch_parallel
from dsr1.launcher.cli.views.ages import age_text
from dsr1.launcher.cli.views.console import make_console
from dsr1.launcher.cli.views.hosts import changed_lines, host_lines, host_rows
from dsr1.launcher.run.state import OnState, RunState

OTHER_LINES = 2  # the head, and the line that the cursor is on
PER_SECOND = 2


@contextmanager
def start_view(
    name: str, began: float, usual_s: float | None = None, quiet: bool = False
) -> Iterator[OnState]:
    """The view that fits where the output goes; lines on stderr where stdout is to be `quiet`.
    `began`: when the command was entered, in seconds since the epoch; `usual_s`: how long such a
    start took last time."""
    console = make_console(highlight=False)
    if quiet or not console.is_terminal:
        lines = PlainLines(sys.stderr if quiet else sys.stdout)
        with watch_parallel(lines.count):
            yield lines.tell
        return
    screen = StartScreen(name, began, usual_s)
    with (
        Live(screen, console=console, refresh_per_second=PER_SECOND),
        watch_parallel(screen.count),
    ):
        yield screen.tell


class StartScreen:
    """What is being done, since when and until when, then a row a host; drawn anew now and then."""

    def __init__(self, name: str, began: float, usual_s: float | None = None) -> None:
        self._name, self._began, self._usual_s = name, began, usual_s
        self._counts, self._state = "starting", RunState("starting", began)

    def count(self, what: str, done: int, of: int) -> None:
        self._counts = f"{what} {done}/{of}"

    def tell(self, state: RunState) -> None:
        self._state = state

    def __rich_console__(self, console: object, options: object) -> Iterator[Text]:
        width, height = console.size  # type: ignore[attr-defined]
        yield from self.drawn(time.time(), width, height)

    def drawn(self, now: float, width: int, height: int) -> list[Text]:
        """Fewer than `height` lines, none longer than `width`. `now`: seconds since the epoch."""
        rows = host_rows(self._state.ranks, now)
        lines = [self._head(now), *host_lines(rows, max(1, height - OTHER_LINES))]
        for line in lines:
            line.truncate(width, overflow="ellipsis")
        return lines

    def _head(self, now: float) -> Text:
        state, passed = self._state, now - self._began
        said = state.reason or (state.phase if state.ranks else self._counts)
        left = self._usual_s - passed if self._usual_s else 0
        ahead = f", about {age_text(left)} to go" if left > 0 and not state.ended else ""
        usual = f" (last time it took {age_text(self._usual_s)})" if self._usual_s else ""
        return Text(f"{self._name}: {said}, {age_text(passed)}{ahead}{usual}", "bold")


class PlainLines:
    """With a time each: what was counted to its end, and where hosts have come to."""

    def __init__(self, file: TextIO | None = None) -> None:
        self._file = file
        self._known: dict[str, str] = {}
        self._reason = self._counted = ""

    def count(self, what: str, done: int, of: int) -> None:
        counted = f"{what} {done}/{of}"
        if done in (0, of) and counted != self._counted:
            self._counted = counted
            self._say(counted)

    def tell(self, state: RunState) -> None:
        if not (state.ranks or state.ended) and self._reason != state.reason:
            self._reason = state.reason
            if state.reason:
                self._say(state.reason)
        for line in changed_lines(host_rows(state.ranks, time.time()), self._known):
            self._say(line)

    def _say(self, line: str) -> None:
        print(f"{time.strftime('%H:%M:%S')} {line}", flush=True, file=self._file)

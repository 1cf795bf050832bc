"""What a person sees of a start: a live table of ranks on a terminal, a line for every change
elsewhere."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from rich.live import Live
from rich.table import Table as RichTable
from rich.text import Text

from dsr1.launcher.cli.views.console import make_console
from dsr1.launcher.operate.logs import LogChunk, stream_logs
from dsr1.launcher.run.ranks import RankRow, RankTable
from dsr1.launcher.run.state import OnState, RunState
from dsr1.launcher.run.store import Run

COLOURS = ("cyan", "magenta", "blue", "green", "yellow", "red")
BEFORE = ("", -1)


@contextmanager
def make_view() -> Iterator[OnState]:
    """The view that fits where the output goes."""
    console = make_console(highlight=False)
    if console.is_terminal:
        with Live(console=console, refresh_per_second=8) as live:
            yield lambda state: live.update(
                rank_table(state.ranks) if state.ranks else Text(state.reason)
            )
    else:
        yield _plain_lines({})


def _plain_lines(printed: dict[tuple[str, int], str]) -> OnState:
    def show(state: RunState) -> None:
        if not (state.ranks or state.ended) and printed.get(BEFORE, "") != state.reason:
            printed[BEFORE] = state.reason
            print(state.reason, flush=True)
        for row in state.ranks:
            if printed.get((row.engine, row.rank)) != row.said:
                printed[row.engine, row.rank] = row.said
                print(f"{row.engine} rank {row.rank} on {row.host}: {row.said}", flush=True)

    return show


def print_ranks(ranks: RankTable, phase: str) -> None:
    make_console(highlight=False).print(rank_table(ranks, phase))


def rank_table(ranks: RankTable, phase: str = "phase") -> RichTable:
    """One row a rank. Names are shown as they are: they are no markup."""
    table = RichTable(
        "engine", "rank", "host", "process", phase, box=None, header_style="bold", pad_edge=False
    )
    for row in ranks:
        table.add_row(
            Text(row.engine), str(row.rank), Text(row.host), Text(row.process), _phase(row)
        )
    return table


def _phase(row: RankRow) -> Text:
    return Text(row.said, style="green" if row.phase == "ready" else "yellow")


def print_logs(
    run: Run, follow: bool, keep: Callable[[LogChunk], LogChunk | None] | None = None
) -> None:
    """Every process's log, or what `keep` leaves of it, each line with its process's name, in its
    host's colour. Ctrl-C ends the printing alone."""
    console = make_console(highlight=False, soft_wrap=True)
    colours: dict[str, str] = {}
    with suppress(KeyboardInterrupt):
        for chunk in stream_logs(run, follow):
            lines = keep(chunk) if keep else chunk
            if lines is None:
                continue
            prefix = f"{lines.process or lines.host}: "
            if console.is_terminal:
                colour = colours.setdefault(lines.host, COLOURS[len(colours) % len(COLOURS)])
                for line in lines.text.split("\n"):
                    console.print(Text(prefix, style=colour) + Text(line))
            else:
                print(prefix + lines.text.replace("\n", "\n" + prefix), flush=follow)

"""What a person sees of long jobs on hosts: bars on a terminal, else a line now and then."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from dsr1.hosts.protocol.jobs import messages as job
from dsr1.hosts.transport.jobs import OnJobProgress
from dsr1.launcher.cli.views.console import make_console

EVERY_S = 10.0


@contextmanager
def make_transfer_view() -> Iterator[OnJobProgress]:
    """To stderr: what a verb prints may be JSON."""
    console = make_console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield _lines({})
        return
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    text = TextColumn("{task.description}", markup=False)
    with Progress(text, *columns, console=console, transient=True) as bars:
        yield _bars(bars, {})


def _bars(bars: Progress, known: dict[str, TaskID]) -> OnJobProgress:
    def show(host: str, progress: job.JobProgress) -> None:
        if progress.total:
            task = known[host] if host in known else known.setdefault(host, bars.add_task(host))
            bars.update(
                task,
                description=f"{host} {progress.doing}",
                completed=progress.done,
                total=progress.total,
            )

    return show


def _lines(printed: dict[str, float]) -> OnJobProgress:
    def show(host: str, progress: job.JobProgress) -> None:
        now = time.monotonic()
        if progress.total and now - printed.get(host, now - EVERY_S) >= EVERY_S:
            printed[host] = now
            print(render_line(host, progress), file=sys.stderr, flush=True)

    return show


def render_line(host: str, progress: job.JobProgress) -> str:
    done, total = job.render_size(progress.done), job.render_size(progress.total)
    return f"{host}: {progress.doing}, {done} of {total} ({progress.done / progress.total:.0%})"

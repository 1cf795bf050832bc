"""What a person sees of a run: how it is and where, then what isn't well, then a line a host."""

import time
from collections.abc import Iterator

from rich.text import Text

from dsr1.hosts.inventory.names import fold_names
from dsr1.launcher.cli.views.ages import age_text
from dsr1.launcher.cli.views.console import make_console
from dsr1.launcher.cli.views.health import health_grid, health_lines, report_of
from dsr1.launcher.cli.views.hosts import host_lines, host_rows
from dsr1.launcher.operate.summary import RunSummary, summarize
from dsr1.launcher.run.backend import RunStatus
from dsr1.launcher.run.state import RunState
from dsr1.launcher.run.store import Run


def print_status(run: Run, current: RunStatus, lacks: str) -> None:
    now, summary = time.time(), summarize(run)
    console = make_console(highlight=False, soft_wrap=True)
    for line in head_lines(run, current, summary, now):
        console.print(Text(line))
    for line in unwell_lines(current, lacks, now):
        console.print(Text(line))
    for line in alive_lines(current):
        console.print(Text(line))
    if current.state.serves and current.state.ranks:
        phases = {one.name: one.state.phase for one in current.state.engines}
        console.print(health_grid(report_of(current.state), phases))
    else:
        for row in host_lines(host_rows(current.state.ranks, now)):
            console.print(row)


def head_lines(run: Run, current: RunStatus, summary: RunSummary, now: float) -> Iterator[str]:
    """How it is; the first cause of a failure; where it serves what."""
    state, job = current.state, run.job()
    watched = current.supervised or state.ended or state.phase in ("queued", "abandoned")
    since = f" for {age_text(now - state.since)}" if state.since and not state.ended else ""
    ended = f" {age_text(now - state.since)} ago" if state.ended else ""
    lost = "" if watched else f", its supervisor is gone: `dsr1 supervise {run.name}`"
    yield f"{run.name}: {state.phase}{since}{ended}{lost}{f', {job}' if job else ''}"
    if state.cause and not state.serves:
        yield from state.cause_lines
    yield from _service_lines(state, summary, now)


def _service_lines(state: RunState, summary: RunSummary, now: float) -> Iterator[str]:
    where = f"{summary.url}/v1 serves {summary.model}" if summary.url and state.serves else ""
    planned = f"{summary.url}/v1 is to serve {summary.model}" if summary.url else ""
    recipe = f"recipe {summary.recipe}" if summary.recipe else ""
    up = f"launched {age_text(now - summary.launched_at)} ago" if summary.launched_at else ""
    ready = f"ready after {summary.ready_after_s:g} s" if summary.ready_after_s else ""
    times = "once" if state.restarts == 1 else f"{state.restarts} times"
    again = f"restarted {times}" if state.restarts else ""
    shown = where or ("" if state.ended or state.phase == "stopping" else planned)
    if line := ", ".join(filter(None, (shown, recipe, up, ready, again))):
        yield line


def unwell_lines(current: RunStatus, lacks: str, now: float) -> Iterator[str]:
    """Nothing, where all is well."""
    state = current.state
    if state.cause and state.serves:
        yield f"its last failure: {state.cause_lines[0]}"
    if lacks:
        yield f"seen from this machine: {lacks}"
    yield from filter(None, (current.note, *state.notes, state.reason))
    if state.serves:
        yield from health_lines(report_of(state), now)
    yield from current.unreached.values()
    if state.left:
        yield f"MAY STILL RUN: {'; '.join(state.left)}"


def alive_lines(current: RunStatus) -> Iterator[str]:
    """Hosts of as many processes on one line."""
    counts: dict[int, list[str]] = {}
    for host, names in current.alive_by_host.items():
        counts.setdefault(len(names), []).append(host)
    if not any(counts):
        unknown = "not known, no host can be asked" if current.unreached else "nothing"
        yield f"alive: {unknown}"
        return
    shown = (f"{count} on {fold_names(hosts)}" for count, hosts in sorted(counts.items()))
    yield f"alive: {sum(map(len, current.alive_by_host.values()))} processes: {', '.join(shown)}"

"""`dsr1 top`: what a run does now."""

import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated

import typer

from dsr1.hosts.errors import InputError, LaunchFailed
from dsr1.launcher.cli.answers.envelope import ANSWER, print_line
from dsr1.launcher.cli.options.common import AsJson, RunName
from dsr1.launcher.cli.views.ages import seconds_since
from dsr1.launcher.cli.views.console import make_console
from dsr1.launcher.cli.views.keys import KeyReader
from dsr1.launcher.cli.views.top import KEYS, TopFrame, top_lines
from dsr1.launcher.metrics.loads import DeploymentView
from dsr1.launcher.metrics.samples import Snapshot
from dsr1.launcher.metrics.store import LiveMetrics
from dsr1.launcher.metrics.view import make_view
from dsr1.launcher.operate.backends import backend_of
from dsr1.launcher.operate.status import find_any, refuse_unplanned
from dsr1.launcher.run.state import RunState
from dsr1.launcher.run.store import Run

REFRESH_S, STALE_S = 2.0, 60.0


def top(
    run: RunName = None,
    once: Annotated[bool, typer.Option("--once", help="Print one screen, and end.")] = False,
    as_json: AsJson = False,
    ndjson: Annotated[
        bool,
        typer.Option("--ndjson", help="Print a line of JSON for each reading, until the run ends."),
    ] = False,
    engine: Annotated[
        str, typer.Option("--engine", metavar="ENGINE", help="Show this engine alone.")
    ] = "",
    host: Annotated[str, typer.Option("--host", metavar="HOST", help="Show this host alone.")] = "",
) -> None:
    """Show what a run does: tokens, requests, latencies, GPUs, the worst first.

    What its supervisor reads every 10 s; of a run that has ended, the last of it.
    """
    screen = TopScreen(find_any(run), engine, host)
    if ndjson:
        screen.print_lines()
    elif as_json:
        ANSWER.put("top", screen.plain())
    elif once or not make_console().is_terminal:
        screen.print_once()
    else:
        screen.show()


class TopScreen:
    """Of one run, of all of it or of what was chosen."""

    def __init__(self, run: Run, engine: str, host: str) -> None:
        refuse_unplanned(run)
        self._run, self._engine, self._host = run, engine, host
        self._live, self._heard_at = LiveMetrics(run.folder), 0.0
        plan = run.plan()
        self._engines = ("", *dict.fromkeys(rank.engine for rank in plan.ranks))
        self._hosts = ("", *(one.host for one in plan.hosts))
        _refuse_unknown("--engine", engine, self._engines)
        _refuse_unknown("--host", host, self._hosts)

    def plain(self) -> dict[str, object]:
        """LaunchFailed: nothing was read yet."""
        state, snapshots = self._look()
        return self._plain(state, self._view(state, snapshots))

    def print_lines(self) -> None:
        """The newest reading, and every one that comes."""
        for state, snapshots in self._readings():
            plain = self._plain(state, self._view(state, snapshots))
            print_line("top", plain)

    def print_once(self) -> None:
        console = make_console(highlight=False, soft_wrap=True)
        for line in top_lines(*self._frame(*self._look())):
            console.print(line)

    def show(self) -> None:
        """Until q, Ctrl-C, or the end of the run, whose last screen stays."""
        from rich.live import Live
        from rich.text import Text

        console = make_console(highlight=False)
        key = ""
        with Live(console=console, auto_refresh=False) as live, KeyReader() as keys:
            while key != "q":
                state, snapshots = self._look()
                lines = top_lines(*self._frame(state, snapshots), console.height - 1)
                live.update(Text("\n").join((*lines, Text(KEYS, style="dim"))), refresh=True)
                if state.ended:
                    return
                self._obey(key := keys.read(REFRESH_S))

    def _obey(self, key: str) -> None:
        if key == "e":
            self._engine, self._host = _next(self._engines, self._engine), ""
        elif key == "h":
            self._engine, self._host = "", _next(self._hosts, self._host)
        elif key == "a":
            self._engine = self._host = ""

    def _readings(self) -> Iterator[tuple[RunState, list[Snapshot]]]:
        while True:
            state, fresh, snapshots = self._read()
            if fresh:
                yield state, snapshots
            if state.ended:
                return
            time.sleep(REFRESH_S)

    def _look(self) -> tuple[RunState, list[Snapshot]]:
        state, _, snapshots = self._read()
        if not snapshots:
            why = "it has not served yet" if not state.ended else "it has ended without any"
            raise LaunchFailed(
                f"{self._run.name}: {state.phase}, and nothing was read of it: {why};"
                " metrics are read every 10 s while a run serves"
            )
        return state, snapshots

    def _read(self) -> tuple[RunState, bool, list[Snapshot]]:
        """The state as its supervisor wrote it; where nothing new comes any more, as it is."""
        now, (fresh, snapshots) = time.monotonic(), self._live.look()
        is_silent = not fresh and now - self._heard_at > STALE_S
        if fresh or is_silent:
            self._heard_at = now
        state = backend_of(self._run).state(self._run) if is_silent else self._run.state()
        return state, fresh, snapshots

    def _view(self, state: RunState, snapshots: list[Snapshot]) -> DeploymentView:
        return make_view(snapshots, state.ailing, self._engine, self._host)

    def _frame(self, state: RunState, snapshots: list[Snapshot]) -> tuple[TopFrame, DeploymentView]:
        age_s = seconds_since(snapshots[-1].time)
        stale = age_s > STALE_S and not state.ended
        note = "nobody reads it: `dsr1 status` says whether its supervisor lives" if stale else ""
        only = self._engine or self._host
        return TopFrame(self._run.name, state.phase, age_s, note, only), self._view(
            state, snapshots
        )

    def _plain(self, state: RunState, view: DeploymentView) -> dict[str, object]:
        return {"run": self._run.name, "phase": state.phase, **asdict(view)}


def _next(names: tuple[str, ...], now: str) -> str:
    return names[(names.index(now) + 1) % len(names)]


def _refuse_unknown(option: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise InputError(f"{option} {value!r}: there is none; there are {', '.join(known[1:])}")

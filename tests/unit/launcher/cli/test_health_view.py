"""Engines on hosts, as `dsr1 status` draws them."""

import io

from rich.console import Console

from dsr1.launcher.cli.views.health import health_grid, health_lines, report_of
from dsr1.launcher.health.verdicts import FAILED, GARBLED, STALLED, SUSPECT, RankHealth
from dsr1.launcher.lifecycle.deployment import EngineUnit
from dsr1.launcher.lifecycle.state import EngineState, RestartPolicy
from dsr1.launcher.run.ranks import RankRow
from dsr1.launcher.run.state import RunState


def row(engine: str, rank: int, host: str) -> RankRow:
    return RankRow(engine, rank, host, f"{engine}-{rank}", "ready", 1.0)


RANKS = (
    *(row("prefill", rank, "n1") for rank in range(8)),
    *(row("[b]decode", rank, "n2") for rank in range(8)),
    *(row("[b]decode", rank, "n3") for rank in range(8, 16)),
)
AILING = (
    RankHealth("[b]decode", 9, "n3", "p", FAILED, GARBLED, "answers '!'", 90.0),
    RankHealth("[b]decode", 11, "n3", "p", SUSPECT, STALLED, "makes no progress", 95.0),
    RankHealth("frontend", 0, "n1", "frontend", SUSPECT, STALLED, "can't be asked", 99.0),
)


def drawn(state: RunState) -> list[list[str]]:
    console = Console(width=120, record=True, file=io.StringIO())
    phases = {one.name: one.state.phase for one in state.engines}
    console.print(health_grid(report_of(state), phases))
    return [line.split("  ") for line in console.export_text().splitlines()]


def cells(state: RunState) -> list[list[str]]:
    return [[cell.strip() for cell in line if cell.strip()] for line in drawn(state)]


def test_all_well() -> None:
    assert cells(RunState("ready", 1.0, ranks=RANKS)) == [
        ["host", "prefill", "[b]decode"],
        ["n1", "ranks 0-7 well", "-"],
        ["n2", "-", "ranks 0-7 well"],
        ["n3", "-", "ranks 8-15 well"],
    ]


def test_ranks_that_are_not() -> None:
    state = RunState("degraded", 1.0, ranks=RANKS, ailing=AILING)
    assert cells(state) == [
        ["host", "prefill", "[b]decode", "frontend"],
        ["n1", "ranks 0-7 well", "-", "rank 0: 0 suspect"],
        ["n2", "-", "ranks 0-7 well", "-"],
        ["n3", "-", "ranks 8-15: 9 failed, 11 suspect", "-"],
    ]
    assert list(health_lines(report_of(state), 100.0)) == [
        "failed: rank 9 of engine [b]decode on n3 answers '!', for 10 s",
        "suspect: rank 11 of engine [b]decode on n3 makes no progress, for 5 s",
        "suspect: frontend on n1 can't be asked, for 1 s",
        "still serving: prefill",
    ]


def test_an_engine_that_does_not_serve_has_no_health() -> None:
    state = EngineState(("n1",), "asleep")
    engine = EngineUnit("prefill", "prefill", RestartPolicy(0, None, 0.0), state)
    assert cells(RunState("ready", 1.0, ranks=RANKS, engines=(engine,)))[1] == [
        "n1",
        "ranks 0-7 asleep",
        "-",
    ]

"""Draws docs/launch.svg: the screens of a start and of `top`, 16 hosts of 8 GPUs, with dsr1's
own views and simulated states (tests/fleet.py).

usage: python bench/picture.py
"""

import io
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.fleet import AILING, fleet_plan, fleet_snapshot  # noqa: E402

from dsr1.launcher.cli.views.start import StartScreen  # noqa: E402
from dsr1.launcher.cli.views.top import TopFrame, top_lines  # noqa: E402
from dsr1.launcher.metrics.view import make_view  # noqa: E402
from dsr1.launcher.run.ranks import Moment, RankRow, first_table  # noqa: E402
from dsr1.launcher.run.state import RunState  # noqa: E402

WIDTH, PHASES = 126, {"decode": "loading", "prefill": "compiling"}
LATE = "node05"


def main() -> None:
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    for line in (*_starting(), *_serving()):
        console.print(line, no_wrap=True, crop=True)
    svg = console.export_svg(title="dsr1 on 16 hosts of 8 GPUs (simulated)")
    (ROOT / "docs" / "launch.svg").write_text(svg)


def _starting() -> Iterator[Text]:
    yield _prompt("dsr1 launch dsr1-disagg-h200 --name r1 --on h200")
    now = time.time()
    screen = StartScreen("r1", now - 96, 142)
    screen.tell(RunState("starting", now - 96, ranks=tuple(_ranks(now))))
    yield from screen.drawn(now, WIDTH, 12)
    yield Text("")


def _ranks(now: float) -> Iterator[RankRow]:
    for row in first_table(fleet_plan(), Moment(now, now)):
        late = row.host == LATE
        phase = "importing" if late else PHASES[row.engine]
        yield replace(row, phase=phase, since=now - (81 if late else 22))


def _serving() -> Iterator[Text]:
    plan = fleet_plan()
    view = make_view([fleet_snapshot(plan, look) for look in range(6)], (AILING,))
    yield _prompt("dsr1 top r1 --once")
    yield from top_lines(TopFrame("r1", "degraded", 2.0), view, 24)


def _prompt(command: str) -> Text:
    return Text.assemble(("$ ", "dim"), (command, "bold"))


if __name__ == "__main__":
    main()

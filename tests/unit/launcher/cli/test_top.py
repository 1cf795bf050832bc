"""`dsr1 top`: 128 ranks on a screen of 30 lines, as a person sees them."""

import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from contextlib import suppress
from fcntl import ioctl
from pathlib import Path

import pytest
from tests.answers import data_of
from tests.fleet import AILING, fleet_plan, fleet_run, fleet_snapshot

from dsr1.launcher.cli.views.top import TopFrame, sparkline, top_lines
from dsr1.launcher.metrics.store import add_snapshot
from dsr1.launcher.metrics.view import make_view
from dsr1.launcher.metrics.words import show_number
from dsr1.launcher.run.state import RunState
from dsr1.launcher.run.store import Run

PLAN = fleet_plan()
Call = Callable[..., int]
ROOT = Path(__file__).parents[4]
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("DSR1_STATE_DIR", str(tmp_path))
    run = fleet_run(tmp_path, PLAN)
    for look in range(6):
        add_snapshot(run.folder, fleet_snapshot(PLAN, look))
    return run


def lines(height: int | None) -> list[str]:
    view = make_view([fleet_snapshot(PLAN, look) for look in range(6)], (AILING,))
    return [line.plain for line in top_lines(TopFrame("r1", "degraded", 4.0), view, height)]


def test_sixteen_hosts_fit_on_thirty_lines() -> None:
    shown = lines(29)
    assert len(shown) <= 29
    assert max(map(len, shown)) <= 140
    assert sum(line.startswith("node") for line in shown) == 16
    assert shown[0] == "r1: degraded, 16 hosts, 128 ranks; read 4 s ago"
    assert "tokens/s  in 128.0k  out 12.8k  per GPU 100" in shown[1]
    assert next(line for line in shown if line.startswith("node05")).endswith("isn't heard")
    assert "!" in next(line for line in shown if line.startswith("node02"))


def test_what_has_no_room_is_counted() -> None:
    shown = lines(20)
    assert len(shown) == 20
    assert shown[-1] == "and 8 more hosts that are better off"


def test_one_screen_and_json(run: Run, call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("top", "fleet", "--once") == call("top", "fleet", "--json") == 0
    out = capsys.readouterr().out
    told = data_of(out[out.index("{") :])
    assert (told["run"], told["phase"], len(told["hosts"])) == ("fleet", "degraded", 16)
    assert told["service"]["tokens_out"] == 12_800


def test_a_line_for_each_reading_until_the_end(
    run: Run, call: Call, capsys: pytest.CaptureFixture[str]
) -> None:
    run.save(RunState("stopped", 1.0))
    assert call("top", "--ndjson", "--engine", "decode") == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert data_of(line)["engines"][0]["engine"] == "decode"


@pytest.mark.parametrize(
    ("argv", "code", "words"),
    [
        (["--host", "node99"], 2, "--host 'node99': there is none; there are node01"),
        (["--engine", "x"], 2, "there are prefill, decode"),
    ],
)
def test_what_is_not_there(
    run: Run,
    call: Call,
    capsys: pytest.CaptureFixture[str],
    argv: list[str],
    code: int,
    words: str,
) -> None:
    assert call("top", "fleet", "--once", *argv) == code
    assert words in capsys.readouterr().err


def test_a_run_of_which_nothing_was_read(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    call: Call,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("DSR1_STATE_DIR", str(tmp_path))
    fleet_run(tmp_path, PLAN)
    assert call("top", "--once") == 4
    assert "nothing was read of it" in capsys.readouterr().err


def typed(keys: str, size: tuple[int, int], *argv: str) -> str:
    """What the command writes to a terminal of that size, where a person types, till it ends."""
    master, slave = pty.openpty()
    ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
    command = (sys.executable, "-c", "from dsr1.launcher.cli.main import main; main()", *argv)
    paths = ":".join(str(ROOT / part) for part in ("launcher", "hosts", "env", "slurm"))
    sized = {"COLUMNS", "LINES"}  # before the terminal's own size; pytest-xdist sets them
    env = {name: value for name, value in os.environ.items() if name not in sized}
    env |= {"PYTHONPATH": paths, "TERM": "xterm-256color"}
    written = b""
    with subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=env) as child:
        os.close(slave)
        with suppress(OSError):  # its other end is closed
            while data := os.read(master, 1 << 16):
                written += data
                if keys and b"q quit" in written:  # the first screen is there
                    os.write(master, keys.encode())
                    keys = ""
    os.close(master)
    assert child.returncode == 0
    return ESCAPES.sub("", written.decode())


def test_a_person_at_a_terminal(run: Run) -> None:
    """The first key chooses the first engine, the second ends it."""
    first, second = typed("eq", (30, 140), "top", "fleet").split("q quit")[:2]
    assert [f"node{n:02}" in first for n in range(1, 17)] == [True] * 16
    assert len(first.splitlines()) <= 30
    assert "prefill alone" in second


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "-"),
        (0.0, "0"),
        (0.25, "0.25"),
        (0.0331, "0.033"),
        (12.6, "13"),
        (45_600.0, "45.6k"),
        (3e9, "3.0G"),
    ],
)
def test_numbers_are_short(value: float | None, words: str) -> None:
    assert show_number(value) == words


def test_a_trend() -> None:
    assert sparkline((None, 0.0, 5.0, 10.0)) == " ▁▅█"
    assert sparkline((0.0, 0.0)) == "▁▁"
    assert sparkline(()) == "-"

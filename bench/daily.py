"""What a person waits for every day, printed as a table: help, completion, the first words of a
launch, and what the screen of a start costs. Nothing is asserted: machines differ.

usage: python bench/daily.py    (`status` of a run on 64 hosts: bench/fleet.py 64, as root)
"""

import io
import json
import os
import pty
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from dsr1.launcher.cli.views.start import PER_SECOND, StartScreen
from dsr1.launcher.run.folder import RunFolder
from dsr1.launcher.run.ranks import RankRow
from dsr1.launcher.run.state import RunState

DSR1 = str(Path(sys.executable).with_name("dsr1"))
ROUNDS, HOSTS, RANKS = 5, 16, 8
NOBODY = "192.0.2.1,192.0.2.2"  # no host has these addresses (RFC 5737)


def main() -> None:
    for what, wall_s, cpu_s, wanted in rows():
        print(f"{what:<44} {wall_s * 1e3:7.0f} ms  {cpu_s * 1e3:6.0f} ms of CPU  {wanted}")


def rows() -> Iterator[tuple[str, float, float, str]]:
    yield "dsr1 --help", *timed({}, "--help"), "wanted: 80 ms"
    for line in ("dsr1 st", "dsr1 status r", "dsr1 launch --set eng", "dsr1 launch --on h"):
        asked = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split()) - 1)}
        took = timed({"_DSR1_COMPLETE": "complete_bash", **asked})
        yield f"completion of `{line}`", *took, "wanted: 100 ms"
    yield "first words of `dsr1 launch --hosts`", *first_words(), "wanted: 500 ms"
    share = screen_s() * PER_SECOND + reading_s()
    yield "a second of the start screen, 128 ranks", share, share, "wanted: 20 ms"


def timed(env: Mapping[str, str], *words: str) -> tuple[float, float]:
    """Wall seconds and CPU seconds: the least of several, since others use the machine, too."""
    return min(_once(env, *words) for _ in range(ROUNDS))


def _once(env: Mapping[str, str], *words: str) -> tuple[float, float]:
    before, began = _children_s(), time.monotonic()
    subprocess.run((DSR1, *words), env=os.environ | env, stdout=subprocess.DEVNULL, check=True)
    return time.monotonic() - began, _children_s() - before


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def first_words() -> tuple[float, float]:
    """Until a terminal is written to."""
    return min(_first_words() for _ in range(ROUNDS))


def _first_words() -> tuple[float, float]:
    reader, terminal = pty.openpty()
    argv = (DSR1, "launch", "dsr1-dep", "--hosts", NOBODY, "--model", "/m", "--venv", "/v")
    before, began = _children_s(), time.monotonic()
    with tempfile.TemporaryDirectory() as state:
        env = os.environ | {"DSR1_STATE_DIR": state, "TERM": "xterm"}
        child = subprocess.Popen(argv, env=env, stdout=terminal, stderr=terminal, stdin=terminal)
        os.read(reader, 1)
        took_s = time.monotonic() - began
        child.terminate()
        child.wait()
    os.close(reader)
    os.close(terminal)
    return took_s, _children_s() - before


def screen_s() -> float:
    """Of CPU, for one drawing on a terminal of 100 columns and 24 lines."""
    screen, drawn = StartScreen("r1", time.time()), 200
    screen.tell(_state())
    console = Console(file=io.StringIO(), force_terminal=True, width=100, height=24)
    began = time.process_time()
    for _ in range(drawn):
        console.print(screen)
    return (time.process_time() - began) / drawn


def reading_s() -> float:
    """Of CPU, for one reading of the state's file, which is written once a second at most."""
    with tempfile.TemporaryDirectory() as name:
        folder = RunFolder(Path(name))
        (folder.folder / "state.json").write_text(json.dumps(asdict(_state())))
        began = time.process_time()
        for _ in range(50):
            folder._read("state.json", RunState)
        return (time.process_time() - began) / 50


def _state() -> RunState:
    ranks = tuple(
        RankRow("main", host * RANKS + rank, f"node{host}", f"main-{host}", "loading", time.time())
        for host in range(HOSTS)
        for rank in range(RANKS)
    )
    return RunState("starting", time.time(), ranks=ranks)


if __name__ == "__main__":
    main()

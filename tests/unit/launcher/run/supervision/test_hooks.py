"""The recipe's commands for phases: told what happened, bounded in time, never in the way."""

import threading
import time
from pathlib import Path

import pytest
from tests.waiting import HANGS_S

from dsr1.hosts.protocol.identity import read_stat
from dsr1.launcher.health.verdicts import STALLED, SUSPECT, RankHealth
from dsr1.launcher.run.folder import RunFolder
from dsr1.launcher.run.record.history import read_history
from dsr1.launcher.run.settings import HookSettings
from dsr1.launcher.run.state import RunState
from dsr1.launcher.run.supervision.hooks import run_hook, variables

ILL = RankHealth("a", 1, "n1", "a-1", SUSPECT, STALLED, "makes 'no' progress; rm -rf $HOME", 4.0)
DEGRADED = RunState("degraded", 2.0, ailing=(ILL,))


def join() -> None:
    for thread in threading.enumerate():
        if thread is not threading.main_thread() and not thread.daemon:
            thread.join(HANGS_S)


def test_it_is_told_what_happened(tmp_path: Path) -> None:
    script = f'printf "%s|" "$DSR1_RUN" "$DSR1_URL" "$DSR1_PHASE" "$DSR1_REASON" > {tmp_path}/told'
    hooks, run = HookSettings({"degraded": ("sh", "-c", script)}), RunFolder(tmp_path / "r1")
    run_hook(hooks, run, RunState("ready", 1.0), "")
    run_hook(hooks, run, DEGRADED, "http://n1:8000")
    join()
    words = "rank 1 of engine a on n1 makes 'no' progress; rm -rf $HOME"
    assert (tmp_path / "told").read_text() == f"r1|http://n1:8000|degraded|{words}|"


def test_one_that_hangs_ends_with_all_that_it_started(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pid = tmp_path / "pid"
    script = f"sleep 1000 & echo $! > {pid}; wait"
    for limit in (1, 4, 60):  # on a busy machine it may be ended before it has begun
        hooks = HookSettings({"degraded": ("sh", "-c", script)}, limit)
        run_hook(hooks, RunFolder(tmp_path), DEGRADED, "")
        join()
        if pid.exists():
            break
    while (stat := read_stat(int(pid.read_text()))) and stat.alive:  # killed: it goes when it runs
        time.sleep(0.02)
    assert f"hooks.degraded: sh was ended: it ran for {limit} s" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("/nowhere/page",), "hooks.degraded: /nowhere/page can't be run: No such file"),
        (("page\0", "me"), "can't be run: embedded null byte"),
        (("sh", "-c", "exit 3"), "hooks.degraded: sh ended with exit code 3"),
    ],
)
def test_one_that_fails_is_told(
    tmp_path: Path, command: tuple[str, ...], words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    run_hook(HookSettings({"degraded": command}), RunFolder(tmp_path), DEGRADED, "")
    join()
    assert words in capfd.readouterr().err
    (told,) = read_history(RunFolder(tmp_path))
    assert (told.what, words in told.why) == ("hook failed", True)


def test_words_of_a_host_are_no_command_and_no_flood(tmp_path: Path) -> None:
    """Of an engine that fails alone, too."""
    state = RunState("degraded", 2.0, reason="main-r1 is failed: a\0b " + "x" * 10**6)
    told = variables(RunFolder(tmp_path / "r1"), state)
    assert told["DSR1_REASON"].startswith("main-r1 is failed: a b x")
    assert len(told["DSR1_REASON"]) < 10_000
    assert told["DSR1_RUN_FOLDER"] == str(tmp_path / "r1")

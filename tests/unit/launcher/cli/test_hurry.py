"""What a person in a hurry types, and where the output may go."""

import io
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dsr1.launcher.cli.app import app
from dsr1.launcher.cli.main import own_options_first
from dsr1.launcher.cli.views.console import make_console
from dsr1.launcher.cli.views.start import PlainLines
from dsr1.launcher.run.state import RunState

DSR1 = str(Path(sys.executable).with_name("dsr1"))


INTERRUPTED = """
import dsr1.launcher.cli.answers.envelope
import dsr1.launcher.cli.app as app
from dsr1.hosts.errors import LaunchFailed
from dsr1.launcher.cli.main import main

def interrupted(*words, **options):
    try:
        exec("raise KeyboardInterrupt")
    except KeyboardInterrupt:
        raise LaunchFailed("interrupted") from None

app.app = interrupted
main()
"""


def test_an_interrupt_while_a_module_is_loaded_keeps_the_exit_code(tmp_path: Path) -> None:
    """Where a dataclass is being made, say: Python itself would end by SIGINT."""
    (tmp_path / "interrupted.py").write_text(INTERRUPTED)
    argv = (sys.executable, "-m", "interrupted", "ps")
    done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (4, "dsr1: interrupted\n")


def test_a_run_before_its_verb() -> None:
    done = CliRunner().invoke(app, ["r1", "status", "--json"], prog_name="dsr1")
    assert done.exit_code == 2
    assert "Did you mean `dsr1 status r1`?" in done.output
    assert "Did you mean 'status'" in CliRunner().invoke(app, ["statu", "r1"]).output


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("help", "--help"),
        ("help status", "status --help"),
        ("version", "--version"),
        ("logs help", "logs help"),
        ("status r1 --debug", "--debug status r1"),
        ("exec -- help --raw", "exec -- help --raw"),
        ("", ""),
    ],
)
def test_words_in_another_order(typed: str, meant: str) -> None:
    assert own_options_first(typed.split()) == meant.split()


@pytest.mark.parametrize("words", ["ps", "ps --json", "--help", "nonsense"])
def test_a_stream_that_is_closed_or_full_is_no_bug(words: str, tmp_path: Path) -> None:
    """`>&-` closes stdout: what a verb opens must not get its number."""
    env = {"DSR1_STATE_DIR": str(tmp_path)}
    for more in (">&-", ">&- 2>&- <&-", ">/dev/full"):
        line = f"{DSR1} {words} {more}"
        done = subprocess.run(
            ("bash", "-c", line), env=env, capture_output=True, text=True, check=False, timeout=300
        )
        fails = "nonsense" in words or "full" in more
        assert (done.returncode != 0, "Traceback" in done.stderr) == (fails, False), done.stderr


def test_a_terminal_that_says_it_has_no_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "0")
    assert make_console().width == 80


def test_a_count_that_doesnt_move_is_told_once() -> None:
    told = io.StringIO()
    lines = PlainLines(told)
    for done in (0, 0, 1, 2, 2):
        lines.count("asking hosts", done, 2)
    for reason in ("job 3 waits", "", ""):
        lines.tell(RunState("queued", 0.0, reason=reason))
    assert [line.partition(" ")[2] for line in told.getvalue().splitlines()] == [
        "asking hosts 0/2",
        "asking hosts 2/2",
        "job 3 waits",
    ]

"""What shells complete: the index is that of the commands, and no press of a key loads them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from dsr1.launcher.cli.completion.answer import INDEX, answer_shell, split_words
from dsr1.launcher.cli.completion.index import make_index


def answered(line: str, **more: str) -> list[str]:
    words = line.split(" ")
    env = {"_DSR1_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    told = answer_shell(env | more)
    assert told is not None
    return told[0].splitlines()


def test_the_index_is_that_of_the_commands() -> None:
    """`python -m dsr1.launcher.cli.completion.index` writes it anew."""
    assert json.loads(INDEX.read_text()) == make_index()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DSR1_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    for name in ("r1", "r2", "other", "lost+found"):
        (tmp_path / "state/runs" / name).mkdir(parents=True)
    (tmp_path / "config/dsr1").mkdir(parents=True)
    (tmp_path / "config/dsr1/site.yaml").write_text("hosts: {h100: 'a,b', h200: c}\nnonsense: 1\n")
    (tmp_path / "dsr1.yaml").write_text("hosts: {lab: d, h100: e}\n")
    return tmp_path


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("dsr1 stat", ["status"]),
        ("dsr1 --ver", ["--version"]),
        ("dsr1 --debug stat", ["status"]),
        ("dsr1 cache p", ["push", "prune"]),
        ("dsr1 plan --no-f", ["--no-facts"]),
        ("dsr1 status --u", ["--url"]),
        ("dsr1 status o", ["other"]),
        ("dsr1 status --json o", ["other"]),
        ("dsr1 launch dsr1-disagg-h2", ["dsr1-disagg-h200"]),
        ("dsr1 launch --name x dsr1-disagg-h2", ["dsr1-disagg-h200"]),
        ("dsr1 launch --on ", ["lab", "h100", "h200"]),
        ("dsr1 launch --set slurm.part", ["slurm.partition="]),
        ("dsr1 launch --skip-check gpu.xi", ["gpu.xid"]),
        ("dsr1 explain gpu.xi", ["gpu.xid"]),
        ("dsr1 launch --model ", []),
        ("dsr1 nothing ", []),
        ("dsr1 exec r1 -- ls --u", []),
        ("dsr1 'stat", ["status"]),
    ],
)
def test_what_may_stand_there(home: Path, line: str, wanted: list[str]) -> None:
    assert answered(line) == wanted


def test_broken_files_of_a_user_are_silent(home: Path) -> None:
    for text in ("[", "hosts: 3", "hosts: [a]", "\xff", "a: &a [*a]"):
        (home / "dsr1.yaml").write_text(text, "latin-1")
        assert set(answered("dsr1 launch --on ")) >= {"h100", "h200"}


def test_each_shell_is_told_in_its_own_form(home: Path) -> None:
    line = {"_TYPER_COMPLETE_ARGS": "dsr1 status --ur"}
    zsh = answer_shell({"_DSR1_COMPLETE": "complete_zsh", **line})
    assert zsh == ('_arguments \'*: :(("--url":"Print its URL alone, for a script."))\'', 0)
    fish = {"_DSR1_COMPLETE": "complete_fish", **line}
    assert answer_shell(fish) == ("--url\tPrint its URL alone, for a script.", 0)
    asked = {**fish, "_TYPER_COMPLETE_FISH_ACTION": "is-args"}
    assert answer_shell(asked) == ("", 0)
    assert answer_shell({**asked, "_TYPER_COMPLETE_ARGS": "dsr1 status --zzz"}) == ("", 1)
    none = {"_DSR1_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": "dsr1 launch --model "}
    assert answer_shell(none) == ("_files", 0)
    assert answer_shell({"_DSR1_COMPLETE": "source_bash"}) is None


@pytest.mark.parametrize("line", ["", "'", '"a b', "a\\", "dsr1 \x00", "é #x"])
def test_a_line_that_is_none(line: str) -> None:
    split_words(line)
    assert answer_shell({"_DSR1_COMPLETE": "complete_bash", "COMP_WORDS": line}) is not None


def test_no_verb_and_no_model_is_loaded_for_it() -> None:
    code = (
        "import os, sys; from dsr1.launcher.cli.completion.answer import answer_shell;"
        " answer_shell(os.environ); print(sorted({'typer', 'pydantic', 'rich'} & set(sys.modules)))"
    )
    for line in ("dsr1 launch --on h", "dsr1 status r", "dsr1 launch --set e"):
        env = {
            "_DSR1_COMPLETE": "complete_bash",
            "COMP_WORDS": line,
            "PYTHONPATH": ":".join(sys.path),
        }
        env["COMP_CWORD"] = str(len(line.split()) - 1)
        done = subprocess.run((sys.executable, "-c", code), env=env, capture_output=True, text=True)
        assert done.stdout == "[]\n", done.stderr

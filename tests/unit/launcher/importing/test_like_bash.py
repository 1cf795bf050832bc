"""Scripts are read as bash runs them: what it gives to a command is what the reader says, or the
reader says that only a shell knows."""

import random
import subprocess
from pathlib import Path

import pytest
from tests.unit.launcher.importing.scripts import KNOWN, UNKNOWN, make_script

from dsr1.launcher.importing.shell.script import read_script
from dsr1.launcher.importing.shell.words import Word

VARIABLES = {"X": "1 2", "Y": "z", "E": "", "P": "/models/a.B"}
RUN = 'run() { { printf "\\001"; [ $# = 0 ] || printf "%s\\0" "$@"; } >>"$CALLS"; }\n'


def run_by_bash(script: str, arguments: tuple[str, ...], folder: Path) -> list[list[str]]:
    """The words of each `run`."""
    calls = folder / "calls"
    environment = {**VARIABLES, "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "CALLS": str(calls)}
    command = ["bash", "-c", RUN + script, *arguments]
    subprocess.run(command, env=environment, cwd=folder, capture_output=True, timeout=300)
    return [call.split("\0")[:-1] for call in calls.read_text().split("\x01")[1:]]


def read(script: str, arguments: tuple[str, ...]) -> list[list[Word]]:
    commands = read_script(script, VARIABLES, [Word(argument) for argument in arguments])
    calls = []
    for command in commands:
        texts = [word.text for word in command.words]
        if "run" in texts[:2]:
            calls.append(list(command.words[texts.index("run") + 1 :]))
    return calls


@pytest.mark.parametrize("script", KNOWN)
def test_what_can_be_known(script: str, tmp_path: Path) -> None:
    calls = read(script, ("sh", "p 1", "q"))
    assert not any(word.unknown for words in calls for word in words)
    texts = [[word.text for word in words] for words in calls]
    assert texts == run_by_bash(script, ("sh", "p 1", "q"), tmp_path)


@pytest.mark.parametrize("script", UNKNOWN)
def test_what_only_a_shell_knows(script: str) -> None:
    calls = read(script, ("sh", "p 1", "q"))
    assert any(word.unknown for words in calls for word in words)


@pytest.mark.parametrize("arguments", [(), ("sh",), ("sh", "p 1", "q")])
@pytest.mark.parametrize("seed", range(40))
def test_scripts_made_at_random(seed: int, arguments: tuple[str, ...], tmp_path: Path) -> None:
    script = make_script(random.Random(f"{seed} {arguments}"))
    (words,) = read(script, arguments)
    if not any(word.unknown for word in words):
        assert [[word.text for word in words]] == run_by_bash(script, arguments, tmp_path), script

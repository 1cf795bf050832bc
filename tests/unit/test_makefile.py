"""`make prep`, `prep-apply` and `check`: HOSTS is one word to dsr1, and none but the command line's
counts. What continuous integration tries once more."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from tests.docs.blocks import ROOT


def make(*words: str, **env: str) -> str:
    """The last command that make would run."""
    own = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("MAKE", "MFLAGS", "HOSTS"))
    }
    command = ("make", "--dry-run", *words)
    done = subprocess.run(
        command, cwd=ROOT, env=own | env, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()[-1]


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (("prep", "HOSTS=a,b"), 'dsr1 prep  --hosts "$HOSTS"'),
        (("prep",), "dsr1 prep"),
        (
            ("prep-apply", "HOSTS=node[01-16]", "ARGS=--venv /opt/vllm --yes"),
            "--venv /opt/vllm --yes --hosts",
        ),
        (("check", "HOSTS=node[01-16]"), 'dsr1 check  --hosts "$HOSTS"'),
        (("check",), "pytest tests/unit"),
    ],
)
def test_hosts_of_the_command_line(words: tuple[str, ...], command: str) -> None:
    assert command in make(*words)


def test_an_environments_hosts_are_not_meant() -> None:
    assert "pytest tests/unit" in make("check", HOSTS="a,b")
    assert "--hosts" not in make("prep", HOSTS="a,b")


def test_help_lists_them() -> None:
    done = subprocess.run(
        ("make", "help"), cwd=ROOT, capture_output=True, text=True, timeout=300, check=True
    )
    listed = [line.split()[0] for line in done.stdout.splitlines()]
    assert {"prep", "prep-apply"} < set(listed)
    assert listed.count("check") == 2


def test_what_fails_in_a_group_is_tried_once_more(tmp_path: Path) -> None:
    (line,) = (line for line in (ROOT / ".ci/run").read_text().splitlines() if " sed " in line)
    kept = tmp_path / ".cache/pytest/v/cache/lastfailed"
    kept.parent.mkdir(parents=True)
    kept.write_text(
        '{\n  "tests/a.py::test_x[me@host]@slurm": true,\n  "tests/b.py::test_y": true\n}'
    )
    subprocess.run(("sh", "-c", line), cwd=tmp_path, check=True)
    assert set(json.loads(kept.read_text())) == {
        "tests/a.py::test_x[me@host]",
        "tests/b.py::test_y",
    }

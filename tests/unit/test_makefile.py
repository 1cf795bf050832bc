"""`make prep`, `prep-apply` and `check`: HOSTS is one word to dsr1, and none but the command line's
counts."""

import os
import subprocess

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

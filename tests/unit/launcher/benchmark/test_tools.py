"""What a tool's own environment is known by, and why it can't be had."""

from pathlib import Path

import pytest

from dsr1.hosts.errors import LaunchFailed
from dsr1.launcher.benchmark.tools import OwnTool, why_not

TOOL = OwnTool("some-tool", "1.0", ("--version",), "1 MB")


def test_it_is_there_once_its_making_came_to_an_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    TOOL.command("python").parent.mkdir(parents=True)
    TOOL.command("python").touch()
    assert not TOOL.is_ready  # interrupted
    (TOOL.folder / "ready").touch()
    assert TOOL.is_ready
    assert TOOL.set_up() == tmp_path / "dsr1" / "some-tool-1.0"


def test_a_cache_that_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dsr1").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(LaunchFailed, match="some-tool can't be set up: File exists"):
        TOOL.set_up()


def test_pips_errors_are_told_without_its_hints() -> None:
    said = "WARNING: retrying\nERROR: No matching distribution\n[notice] a new release of pip\n"
    assert why_not(said) == "ERROR: No matching distribution"
    assert why_not("") == "it said nothing"

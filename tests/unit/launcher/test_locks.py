"""Who has a lock has it alone until the end of the block."""

import math
from pathlib import Path

import pytest

from dsr1.hosts.errors import RunNotFound
from dsr1.launcher.locks import locked
from dsr1.launcher.run.store import Run


@pytest.mark.parametrize("wait_s", [0.0, 0.1])
def test_one_has_it(wait_s: float, tmp_path: Path) -> None:
    path = tmp_path / "new.lock"
    with locked(path), pytest.raises(BlockingIOError):
        locked(path, wait_s).__enter__()
    with locked(path, math.inf):
        pass


def test_none_is_made_in_place_of_a_folder_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(RunNotFound):
        Run(tmp_path / "r").locked().__enter__()
    assert not (tmp_path / "r").exists()

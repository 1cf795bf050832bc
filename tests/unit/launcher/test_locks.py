"""Who has a lock has it alone, of a folder or a file, until the end of the block."""

from pathlib import Path

import pytest

from dsr1.launcher.locks import locked


@pytest.mark.parametrize("name", [".", "new.lock"])
def test_one_has_it(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    with locked(path), pytest.raises(BlockingIOError):
        locked(path).__enter__()
    with locked(path, wait=True):
        pass

"""What the tests on GPUs share."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.gpu.host import MODEL, PYTHON, Trial
from tests.guard import guarded

from dsr1.launcher.run.stop import stop_run
from dsr1.launcher.run.store import list_runs


@pytest.fixture
def caches(tmp_path: Path) -> Path:
    """What is compiled: nothing yet."""
    return tmp_path / "caches"


@pytest.fixture
def trial(tmp_path: Path, caches: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Trial]:
    """Runs that are left are ended, also when the test process is killed."""
    if not PYTHON or not MODEL:
        pytest.skip("no GPU runtime: set DSR1_GPU_PYTHON and DSR1_GPU_MODEL, see tests/gpu/host.py")
    monkeypatch.setenv("DSR1_STATE_DIR", str(tmp_path / "state"))
    with guarded("runs", tmp_path / "state"):
        yield Trial(caches)
        left = [name for run in list_runs() for name in stop_run(run)]
    assert left == []

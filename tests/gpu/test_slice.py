"""dsr1-slice on a real Hopper GPU, cold, again, and with caches brought to a host that has none.

The first start compiles: ten minutes.
"""

import shutil
from pathlib import Path

import pytest
from tests.gpu.host import REHEARSED, Trial, used_memory

from dsr1.launcher.run.stop import stop_run

pytestmark = [pytest.mark.gpu, pytest.mark.timeout(1800)]


def files(caches: Path) -> set[str]:
    return {
        str(file.relative_to(caches))
        for file in caches.rglob("*")
        if file.is_file() and "/tmp/" not in str(file)
    }


def test_compiled_once_and_never_again(trial: Trial) -> None:
    before, after = used_memory(), {}
    for name in ("cold", "second", "fresh"):
        run = trial.launch(name)
        after[name] = run.state().ready_after
        compiled = files(trial.caches)
        assert stop_run(run) == ()
        assert used_memory() == before
        if name == "cold":
            first = compiled
        else:
            assert {name for name in compiled - first if name.endswith((".cubin", ".so"))} == set()
        if name == "second":
            shutil.rmtree(trial.caches, ignore_errors=bool(REHEARSED))  # none if simulated
    print(after)

"""The fabric's job with ranks that are none: it says why, ends in time, and ends with who ordered
it."""

import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.waiting import HANGS_S

from dsr1.hosts.errors import HostError
from dsr1.hosts.protocol.identity import read_stat
from dsr1.hosts.protocol.jobs.orders import FABRIC, FabricOrder, FabricResult
from dsr1.hosts.transport.local import LocalTransport

ORDER = FabricOrder(
    python=(sys.executable,),
    device="cpu",
    local_ranks=2,
    hosts=2,
    host=0,
    env={"X": "a b';\n"},
    address="127.0.0.1",
    port=1,
    limit_s=30,
)


@pytest.fixture
def local(tmp_path: Path) -> LocalTransport:
    return LocalTransport(tmp_path / "agents", (sys.executable,))


def sleeper(pids: Path) -> tuple[str, ...]:
    """In the place of a Python: writes its pid and its child's down, and does nothing for long."""
    return ("/bin/sh", "-c", f"sleep 600 & echo $$ $! >> {pids}; wait")


def alive(pids: Path) -> list[int]:
    written = [int(line) for line in pids.read_text().split()] if pids.exists() else []
    return [pid for pid in written if (stat := read_stat(pid)) and stat.alive]


def test_without_torch_every_rank_says_so(local: LocalTransport) -> None:
    result = local.run_job("h", FABRIC, ORDER, lambda _: None)
    assert [report.problem for report in result.reports] == [
        "ModuleNotFoundError: No module named 'torch'"
    ] * 2
    assert result.errors == ()


def test_a_python_that_is_not_there(local: LocalTransport) -> None:
    order = replace(ORDER, python=("/none/python",), local_ranks=1)
    result = local.run_job("h", FABRIC, order, lambda _: None)
    assert result.reports == ()
    assert result.errors[0].startswith("/none/python can't be run")


def test_what_does_not_end_is_ended(local: LocalTransport, tmp_path: Path, eventually: Any) -> None:
    order = replace(ORDER, python=sleeper(tmp_path / "pids"), limit_s=1.0)
    result = local.run_job("h", FABRIC, order, lambda _: None)
    assert result == FabricResult((), ("it did not end in time",) * 2)
    eventually(lambda: alive(tmp_path / "pids") == [])


def test_it_ends_with_who_ordered_it(
    local: LocalTransport, tmp_path: Path, eventually: Any
) -> None:
    pids, ended = tmp_path / "pids", threading.Event()

    def order() -> None:
        with pytest.raises(HostError):
            local.run_job("h", FABRIC, replace(ORDER, python=sleeper(pids)), lambda _: None)
        ended.set()

    threading.Thread(target=order, daemon=True).start()
    eventually(lambda: len(alive(pids)) == 4)
    local.close()
    assert ended.wait(HANGS_S)
    eventually(lambda: alive(pids) == [])

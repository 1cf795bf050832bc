"""What is taken of a hang: stacks of real processes, a real flight recorder's file, GPUs."""

import os
import pickle
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from dsr1.hosts.agent.evidence.collectives import read_collectives
from dsr1.hosts.agent.evidence.gpus import describe_state, gpu_states
from dsr1.hosts.agent.evidence.members import list_members, look_again
from dsr1.hosts.agent.evidence.stacks import parse_dump, python_stacks
from dsr1.hosts.protocol.evidence import CollectiveState, GpuState

RECORDED = Path(__file__).parents[1] / "data" / "failures" / "collectives"
# As py-spy 0.4.2 prints it, of a process whose main thread waits for another.
DUMP = """[
 {"thread_name": "poller", "active": true, "frames": [
  {"name": "poll", "short_filename": "nixl.py", "line": 2}]},
 {"thread_name": "idle", "active": false, "frames": [
  {"name": "wait", "short_filename": "x.py", "line": 3}]},
 {"thread_name": "MainThread", "active": false, "frames": [
  {"name": "all_reduce", "short_filename": "distributed_c10d.py", "line": 3245},
  {"name": "execute_model", "short_filename": "gpu_worker.py", "line": 700}]}]"""
STACK = (
    "thread MainThread",
    "all_reduce (distributed_c10d.py:3245)",
    "execute_model (gpu_worker.py:700)",
    "thread poller",
    "poll (nixl.py:2)",
)


@pytest.fixture
def sleeper() -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen((sys.executable, "-c", "import time; time.sleep(600)")) as process:
        yield process
        process.kill()


def program(folder: Path, text: str) -> str:
    path = folder / "py-spy"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_the_main_thread_first_then_those_that_run() -> None:
    assert parse_dump(DUMP.encode()) == STACK
    for nothing in (b"", b"Error: Permission Denied", b"{}", b"[1]", b"null"):
        assert parse_dump(nothing) == ()


def test_whoever_gives_no_stack_in_time_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is asked by its pid; the first never answers."""
    monkeypatch.setattr("dsr1.hosts.agent.evidence.stacks.DUMP_S", 2.0)
    text = f"case $5 in 7) exec sleep 60;; 8) echo no; exit 1;; *) cat <<E\n{DUMP}\nE\nesac"
    assert python_stacks([7, 8, 9], program(tmp_path, text)) == {9: STACK}
    assert python_stacks([9], None) == {}


def test_members_are_looked_at_again(sleeper: "subprocess.Popen[bytes]") -> None:
    members = list_members({"main-0": sleeper.pid})
    again = look_again(members, hang=False)
    assert [(one.pid, one.component) for one in again] == [(sleeper.pid, "main")]


def recorded(cache: Path) -> Path:
    target = cache / "torch" / "comm_lib_trace_rank_5"
    target.parent.mkdir(parents=True)
    shutil.copyfile(RECORDED / "comm_lib_trace_rank_0", target)
    return target


def test_a_real_flight_recorders_file(tmp_path: Path) -> None:
    """Written by torch 2.13 with gloo: two collectives."""
    file = recorded(tmp_path)
    expected = CollectiveState(5, "0", 2, 2, "gloo:barrier", str(file))
    environment = {"XDG_CACHE_HOME": str(tmp_path)}
    assert read_collectives([environment], time.time() - 60, ask=False) == (expected,)
    named = {"TORCH_FR_DUMP_TEMP_FILE": str(file)[:-1]}
    assert read_collectives([named, named], time.time() - 60, ask=False) == (expected,)
    assert read_collectives([named], time.time() + 60, ask=False) == ()


def test_a_recorder_that_has_a_pipe_is_asked(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe_5.pipe"
    os.mkfifo(pipe)

    def record() -> None:
        with pipe.open("rb") as asked:
            asked.read(1)
        recorded(tmp_path)

    thread = threading.Thread(target=record)
    thread.start()
    environment = {
        "XDG_CACHE_HOME": str(tmp_path),
        "TORCH_NCCL_DEBUG_INFO_PIPE_FILE": str(tmp_path / "pipe_"),
    }
    found: tuple[CollectiveState, ...] = ()
    for _ in range(100):  # until the thread listens
        if found := read_collectives([environment], time.time() - 60, ask=True):
            break
        time.sleep(0.1)
    thread.join()
    assert [one.rank for one in found] == [5]


@pytest.mark.parametrize("name", ["**", "[", "a?b[0-9]", "*"])
def test_a_prefix_is_no_pattern(tmp_path: Path, name: str) -> None:
    """What a variable of the run says is a name, whatever is in it."""
    file = recorded(tmp_path)
    odd = tmp_path / f"{name}7"
    shutil.copyfile(file, odd)
    environment = {
        "TORCH_FR_DUMP_TEMP_FILE": str(odd)[:-1],
        "TORCH_NCCL_DEBUG_INFO_PIPE_FILE": str(odd)[:-1],
    }
    assert [one.rank for one in read_collectives([environment], 0.0, ask=True)] == [7]


class Attack:
    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("touch attacked",)


@pytest.mark.parametrize(
    "content",
    [b"", b"\x80\x02}", pickle.dumps(Attack()), pickle.dumps({"entries": []}), pickle.dumps([1])],
)
def test_a_file_that_is_none_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    monkeypatch.chdir(tmp_path)
    recorded(tmp_path).write_bytes(content)
    assert read_collectives([{"XDG_CACHE_HOME": str(tmp_path)}], 0.0, ask=False) == ()
    assert not (tmp_path / "attacked").exists()


class NVMLError(Exception):
    pass


def nvml(index: int) -> object:
    """A stand-in for NVIDIA's library: GPU 0 works, GPU 1 fell off the bus."""

    def handle(asked: int) -> int:
        if asked:
            raise NVMLError("GPU is lost")
        return asked

    return SimpleNamespace(
        NVMLError=NVMLError,
        nvmlDeviceGetHandleByIndex=handle,
        nvmlDeviceGetComputeRunningProcesses=lambda gpu: [SimpleNamespace(pid=42)],
        nvmlDeviceGetMemoryInfo=lambda gpu: SimpleNamespace(used=5, total=80),
        nvmlDeviceGetTotalEccErrors=lambda gpu, kind, counter: 0,
        nvmlDeviceGetUtilizationRates=lambda gpu: SimpleNamespace(gpu=100),
    )


def test_gpus() -> None:
    states = gpu_states([describe_state(nvml(index), index) for index in (0, 1)])
    assert states == (GpuState(0, (42,), 5, 80, 100, 0), GpuState(1, problem="GPU is lost"))

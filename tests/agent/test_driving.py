"""A driver on this machine, by a real agent's job: what it measured comes back, and nothing of it
stays, whatever ends it."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest
from tests.waiting import HANGS_S, begun, until

from dsr1.hosts.errors import HostError
from dsr1.hosts.protocol.jobs.messages import JobRefused, render_order
from dsr1.hosts.protocol.jobs.orders import DRIVE, DriveOrder, DriveResult
from dsr1.hosts.transport.bundle import make_bundle
from dsr1.hosts.transport.local import LocalTransport

RESULT = {
    "start_times": [1.0, 2.0],
    "ttfts": [0.1, 0.0],
    "latencies": [0.2, 0.0],
    "input_lens": [8, 8],
    "output_lens": [4, 0],
    "errors": ["", "Traceback\nOSError: it broke"],
    "generated_texts": ["x", ""],
}
DRIVER = f"""
import json, os, sys, time
folder, given = sys.argv[1:3]
for told in sys.argv[3:]:
    open(told, "w").write(folder)
assert open(folder + "/given.txt").read() == given == os.environ["GIVEN"]
print("100%| | 2/2 [00:00<00:00]", file=sys.stderr)
json.dump({RESULT!r}, open(folder + "/result.json", "w"))
"""
ENDLESS = """
import subprocess, sys, time
child = subprocess.Popen((sys.executable, "-c", "import time; time.sleep(600)", sys.argv[1]))
open(sys.argv[2], "w").write("begun")
time.sleep(600)
"""


def order(source: str, *more: str, limit_s: float = 60.0, cpus: tuple[int, ...] = ()) -> DriveOrder:
    argv = (sys.executable, "-c", source, "{folder}", *more)
    return DriveOrder("vllm", argv, {"GIVEN": "a b"}, {"given.txt": "a b"}, 2, limit_s, "", cpus)


def run(local: LocalTransport, one: DriveOrder) -> DriveResult:
    return local.run_job("h", DRIVE, one, lambda _: None)


@pytest.fixture
def local(tmp_path: Path) -> LocalTransport:
    return LocalTransport(tmp_path / "agents", (sys.executable,))


def with_word(word: str) -> list[int]:
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if word in (process.info["cmdline"] or []):
            found.append(process.pid)
    return found


def test_what_it_measured_comes_back(local: LocalTransport, tmp_path: Path) -> None:
    cpu = min(os.sched_getaffinity(0))
    found = run(local, order(DRIVER, "a b", str(tmp_path / "folder"), cpus=(cpu,)))
    assert found.requests.error == ("", "OSError: it broke")
    assert found.requests.first_s == (0.1, 0.0)
    assert (found.cpus, found.ended) == ((cpu,), "")
    assert not Path((tmp_path / "folder").read_text()).exists()


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (order("print('on'); raise ValueError('no such model')"), "it ended with 1: ValueError"),
        (order("pass"), "its results can't be read: FileNotFoundError"),
        (order("import os; os.kill(os.getpid(), 9)"), "it ended with -9"),
        (order("import time; time.sleep(600)", limit_s=0.5), "it was ended after 0.5 s"),
        (order(DRIVER, "a b", cpus=(4000,)), "--cpus: there is no CPU 4000"),
    ],
)
def test_a_driver_that_fails_is_told_in_words(
    one: DriveOrder, words: str, local: LocalTransport
) -> None:
    with pytest.raises(JobRefused) as refused:
        run(local, one)
    assert words in str(refused.value)


def test_it_ends_with_whoever_ordered_it(tmp_path: Path) -> None:
    """Also by SIGKILL, and also what the driver itself has started."""
    mark, ready = f"mark-{os.getpid()}", tmp_path / "ready"
    argv = (sys.executable, str(make_bundle(tmp_path / "agents")), "job", "drive")
    with begun(argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as job:
        assert job.stdin is not None
        endless = (sys.executable, "-c", ENDLESS, mark, str(ready))
        job.stdin.write(render_order(DriveOrder("vllm", endless, {}, {}, 1, 600.0)))
        job.stdin.flush()
        until(ready.exists)
        assert len(with_word(mark)) >= 2
        job.send_signal(signal.SIGKILL)
        job.wait()
    until(lambda: with_word(mark) == [])


def test_a_closed_connection_ends_it(local: LocalTransport, tmp_path: Path) -> None:
    mark, ready, ends = f"closed-{os.getpid()}", tmp_path / "ready", list[Exception]()
    endless = (sys.executable, "-c", ENDLESS, mark, str(ready))

    def ask() -> None:
        try:
            run(local, DriveOrder("vllm", endless, {}, {}, 1, 600.0))
        except HostError as error:
            ends.append(error)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    try:
        until(ready.exists)
    finally:
        local.close()
    asking.join(HANGS_S)
    assert len(ends) == 1
    until(lambda: with_word(mark) == [])

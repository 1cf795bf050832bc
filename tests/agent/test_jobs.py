"""Long jobs on this machine, by real agents."""

import hashlib
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.hosts.agent.model.test_model import FIRST, make_model
from tests.waiting import HANGS_S

from dsr1.hosts.errors import HostError, InputError
from dsr1.hosts.protocol.jobs.messages import JobProgress, render_order
from dsr1.hosts.protocol.jobs.orders import VERIFY, VerifyOrder
from dsr1.hosts.transport.bundle import make_bundle
from dsr1.hosts.transport.local import LocalTransport
from dsr1.launcher.model.verify import verify_model


def silent(host: str, progress: JobProgress) -> None:
    pass


def make_endless(folder: Path) -> Path:
    """To hash it takes hours: it has a file of 10 TB, all of it a hole."""
    model = make_model(folder)
    with (model / "endless.bin").open("wb") as file:
        file.truncate(10**13)
    return model


@pytest.fixture
def local(tmp_path: Path) -> LocalTransport:
    return LocalTransport(tmp_path / "agents", (sys.executable,))


def test_a_deep_look_hashes_every_file(local: LocalTransport, tmp_path: Path) -> None:
    model = make_model(tmp_path / "R1")
    told = local.run_job("h", VERIFY, VerifyOrder(str(model), deep=True), lambda _: None).facts
    wanted = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in model.iterdir()}
    assert told["model.hashes"].value == wanted


def test_verify_judges_what_the_agent_saw(tmp_path: Path) -> None:
    model = make_model(tmp_path / "R1")
    assert {f.verdict for f in verify_model(str(model), (), sys.executable, True, silent)} == {
        "PASS",
        "SKIP",
    }
    (model / "SHA256SUMS").write_text(f"{'0' * 64}  {FIRST}\n")
    worst, *_ = verify_model(str(model), (), sys.executable, True, silent)
    assert (worst.check, worst.verdict, FIRST in worst.seen) == ("model.hash", "FAIL", True)
    (model / FIRST).unlink()
    worst, *_ = verify_model(str(model), (), sys.executable, False, silent)
    assert (worst.check, worst.seen) == ("model.shards", f"{FIRST}: not there")


def test_a_hub_id_that_is_nowhere_fails_here(tmp_path: Path) -> None:
    worst, *_ = verify_model("nobody/has-this", (), sys.executable, False, silent)
    assert (worst.check, worst.verdict) == ("model.dir", "FAIL")


def test_no_model_is_wrong_input() -> None:
    with pytest.raises(InputError, match="must be its folder on every host"):
        verify_model("", (), sys.executable, False, silent)


def test_a_python_that_is_not_there_is_a_finding() -> None:
    (only,) = verify_model("/models/x", (), "/nowhere/python", False, silent)
    assert (only.check, "/nowhere/python can't be run" in only.seen) == ("host.reach", True)


def test_an_agent_that_breaks_off_is_told_by_its_last_lines(local: LocalTransport) -> None:
    with pytest.raises(
        HostError,
        match=r"h: its agent ended before its job: .*LookupError: no job is called 'nothing'",
    ):
        local.run_job("h", replace(VERIFY, name="nothing"), VerifyOrder("", False), lambda _: None)


def test_a_job_ends_with_whoever_ordered_it(tmp_path: Path) -> None:
    model = make_endless(tmp_path / "R1")
    argv = (sys.executable, str(make_bundle(tmp_path / "agents")), "job", "verify")
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(render_order(VerifyOrder(str(model), deep=True)))
        child.stdin.flush()
        assert b"progress" in child.stdout.readline()
        child.stdin.close()
        assert child.wait(HANGS_S) == 1


def test_closing_ends_a_job_from_another_thread(local: LocalTransport, tmp_path: Path) -> None:
    model, working = make_endless(tmp_path / "R1"), threading.Event()

    def close() -> None:
        working.wait(HANGS_S)
        local.close()

    closer = threading.Thread(target=close)
    closer.start()
    with pytest.raises(HostError, match="ended before its job"):
        local.run_job("h", VERIFY, VerifyOrder(str(model), deep=True), lambda _: working.set())
    closer.join()

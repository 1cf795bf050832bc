"""Real vLLM on the CPU, hurt on each rank while it starts, idles and serves: the right rank, the
right cause, and the line that shows it, in seconds."""

import json
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from tests.answers import data_of
from tests.built import MODEL
from tests.end_to_end.conftest import Dsr1
from tests.end_to_end.deployment import Site, of_run
from tests.waiting import HANGS_S, until

from dsr1.launcher.run.store import Run

pytestmark = [pytest.mark.e2e, pytest.mark.heavy]
# Whether vLLM takes the commands is asked in test_real: that costs as much as a rank.
UNASKED = ("--no-check",)


def events_of(run: Run) -> list[Path]:
    return list(run.folder.glob("hosts/*/events.jsonl"))


def member(run: Run, process: str, component: str) -> int:
    """The pid of a member of a process's tree, as its agent has told it; 0: it is not there
    (yet)."""
    found = 0
    for path in events_of(run):
        for line in path.read_bytes().splitlines():
            told = json.loads(line)
            if (told["event"], told.get("process")) == ("MemberNamed", process):
                found = told["pid"] if told["component"].startswith(component) else found
    return found


def told_first(run: Run) -> tuple[str, str, str]:
    """Of all ends that all agents have told: a dead member before its main's exit."""
    lines = [json.loads(line) for path in events_of(run) for line in path.read_bytes().splitlines()]
    ends = (one for one in lines if one["event"] in ("MemberDied", "Exited"))
    first = min(ends, key=lambda one: float(one["time"]))
    return first["event"], first["process"], first.get("component", "main")


def blamed(run: Run) -> tuple[int | None, str]:
    cause = run.state().cause
    assert cause is not None
    return cause.sign.rank, cause.sign.what


@contextmanager
def load(run: Run) -> Iterator[None]:
    """Requests, one after the other, of which those that fail are as good as the others."""
    service, over = run.plan().service, threading.Event()
    body = {"model": service.model, "prompt": "one two three", "max_tokens": 64}

    def ask() -> None:
        while not over.is_set():
            try:
                httpx.post(f"{service.url}/v1/completions", json=body, timeout=20)
            except httpx.HTTPError:
                over.wait(0.2)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


def test_a_stopped_worker_then_a_killed_one_while_it_serves(
    dsr1: Dsr1, site: Site, newest: Callable[[], Run]
) -> None:
    """Stopped while it is idle, it is told by Dynamo's own questions, and well again once it goes
    on."""
    patient = ("--set", "health={every: 150s, patience: 30}")
    launched = dsr1("launch", "tiny", "--name", "w", *site, *UNASKED, *patient, timeout=HANGS_S)
    assert launched.returncode == 0, launched.stderr
    run = newest()
    stopped, killed = member(run, "main-1", "Worker"), member(run, "main-0", "Worker")
    os.kill(stopped, signal.SIGSTOP)
    until(lambda: run.state().phase == "degraded")
    told = data_of(dsr1("why", "w", "--json").stdout)
    assert (told["sign"]["rank"], told["sign"]["rule"]) == (1, "stuck")
    os.kill(stopped, signal.SIGCONT)
    until(lambda: run.state().phase == "ready")
    with load(run):
        os.kill(killed, signal.SIGKILL)
        until(lambda: run.state().cause is not None)
    assert blamed(run) == (0, "Worker ended by SIGKILL")
    until(lambda: run.state().ended)
    assert told_first(run) == ("MemberDied", "main-0", "Worker_DP0_EP0")
    assert "rank 0 (main): Worker ended by SIGKILL" in dsr1("status", "w").stdout.splitlines()[1]
    assert "rank 0 (main): Worker ended by SIGKILL" in dsr1("why", "w").stdout.splitlines()[0]
    assert of_run(run.folder / "hosts") == []


def test_a_death_at_the_start(
    dsr1: Dsr1, site: Site, state: Path, newest: Callable[[], Run]
) -> None:
    """The screen ends with the cause: the rank, the signal, what to do."""
    outcome: list[str] = []
    launch = threading.Thread(
        target=lambda: outcome.append(
            dsr1("launch", "tiny", *site, *UNASKED, timeout=HANGS_S).stderr
        )
    )
    launch.start()
    until(lambda: any(state.glob("runs/*/hosts/*/events.jsonl")))
    until(lambda: member(newest(), "main-1", "EngineCore") > 0)
    os.kill(member(newest(), "main-1", "EngineCore"), signal.SIGKILL)
    launch.join()
    why = "EngineCore ended by SIGKILL"
    assert blamed(newest()) == (1, why)
    shown = outcome[0].splitlines()
    at = next(place for place, line in enumerate(shown) if line.startswith("logs: "))
    assert f"rank 1 (main): {why} at " in shown[at + 1]
    assert "fix: " in shown[at + 1]


def test_a_broken_model(dsr1: Dsr1, site: Site, newest: Callable[[], Run], tmp_path: Path) -> None:
    """Both ranks fail alike, by themselves; the line that shows it is named."""
    broken = tmp_path / "broken"
    shutil.copytree(MODEL, broken)
    weights = next(broken.glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:1000])
    options = (*site, *UNASKED, "--model", str(broken))
    launched = dsr1("launch", "tiny", *options, timeout=HANGS_S)
    assert launched.returncode == 4
    cause = newest().state().cause
    assert cause is not None
    assert cause.sign.rule == "model.safetensors"
    assert "SafetensorError" in cause.sign.text
    assert cause.sign.line

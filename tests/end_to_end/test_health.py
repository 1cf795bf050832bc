"""Ranks that are asked, before a deployment is ready and while it serves: vLLM's HTTP surface, with
ranks that misbehave when a test says so."""

import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from tests.built import ROOT
from tests.end_to_end.conftest import Dsr1
from tests.waiting import until

from dsr1.launcher.run.record.history import read_history
from dsr1.launcher.run.store import Run


class Fake:
    """A recipe whose vLLM is a fake, and the moods of its ranks."""

    def __init__(self, folder: Path, ports: tuple[int, int]) -> None:
        self._folder = folder
        python = folder / "python"
        python.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT}/tests/fakes exec {sys.executable} "$@"\n')
        python.chmod(0o700)
        self.recipe = folder / "fake.yaml"
        recipe = {
            "name": "fake",
            "stack": "vllm",
            "model": {"path": "/nowhere/model", "served_name": "m"},
            "runtime": {
                "python": str(python),
                "device": "cpu",
                "env": {"FAKE_VLLM": str(folder)},
            },
            "frontend": {"port": ports[1]},
            "ports": {"base": ports[0]},
            "engines": {"main": {"ranks_per_node": 3, "layout": "per_gpu"}},
            "timeouts": {"chat": 3},
            "health": {"every": "3s"},
        }
        self.recipe.write_text(json.dumps(recipe))

    def make(self, rank: int, mood: str) -> None:
        """Empty: well."""
        (self._folder / f"{rank}.new").write_text(mood)
        (self._folder / f"{rank}.new").rename(self._folder / str(rank))


@pytest.fixture
def fake(tmp_path_factory: pytest.TempPathFactory, free_ports: tuple[int, int]) -> Fake:
    return Fake(tmp_path_factory.mktemp("fake"), free_ports)


@pytest.mark.parametrize(
    ("ranks", "mood", "why"),
    [
        ((1,), "garble", "rank 1 of main-1: answers '!?!?' to 'Hello! Who are you?'"),
        ((0, 1, 2), "500", "rank 1 of main-1: HTTP 500: "),
        ((1,), "mute", "rank 1 of main-1: no response for 1 s (timeouts.chat)"),
    ],
)
def test_it_is_not_ready_before_every_rank_is(
    dsr1: Dsr1, fake: Fake, newest: Callable[[], Run], ranks: tuple[int, ...], mood: str, why: str
) -> None:
    """Rank 0, which the gateway's first connection goes to, is well; or all are ill, and nobody
    answers the first chat."""
    for rank in ranks:
        fake.make(rank, mood)
    launched = dsr1("launch", str(fake.recipe), "--no-check", "--set", "timeouts.chat=1")
    assert launched.returncode == 4
    assert why in launched.stderr
    assert "ready after" not in launched.stdout
    state = newest().state()
    assert (state.phase, state.exit_code, state.left) == ("failed", 4, ())


def test_phases_while_it_serves(dsr1: Dsr1, fake: Fake, newest: Callable[[], Run]) -> None:
    """A fault that passes leaves it ready; one that doesn't is told with its rank, and ends it.
    Each change is in the run's history, and a hook hears of the phase."""
    told = fake.recipe.parent / "hook"
    hook = f'hooks.degraded=[sh, -c, "echo $DSR1_PHASE $DSR1_REASON > {told}"]'
    patient = ("--set", "health={every: 100s, patience: 100}", "--set", hook)
    launched = dsr1("launch", str(fake.recipe), "--no-check", "--name", "served", *patient)
    assert launched.returncode == 0, launched.stderr
    run = newest()
    fake.make(2, "sick")
    until(partial(is_told, run, 2, "HTTP 503"))
    status = dsr1("status", "served")
    assert status.returncode == 6
    assert "ranks 0-2: 2 suspect" in status.stdout
    fake.make(2, "")
    until(lambda: run.state().phase != "degraded")
    assert run.state().phase == "ready"
    fake.make(0, "stall")  # who seems unwell is asked at every look
    until(partial(is_told, run, 0, "makes no progress with 1 request"))
    fake.make(0, "garble")
    until(lambda: run.state().ended)
    state = run.state()
    assert (state.phase, state.exit_code) == ("failed", 4)
    assert "rank 0 of engine main on localhost answers '!?!?'" in state.reason
    assert dsr1("status", "served").returncode == 4
    changes = [(one.what, one.rank) for one in read_history(run)]
    passed = [("suspect", 2), ("degraded", None), ("healthy", 2), ("ready", None)]
    stayed = [("suspect", 0), ("degraded", None), ("failed", 0)]
    first = changes.index(("ready", None)) + 1
    assert changes[first : first + 7] == [*passed, *stayed]
    assert changes[-1] == ("failed", None)
    assert told.read_text().startswith("degraded rank 0 of engine main on localhost makes no")


def is_told(run: Run, rank: int, why: str) -> bool:
    state = run.state()
    told = [(row.rank, why in row.why) for row in state.ailing]
    assert not state.ended, state.reason
    return state.phase == "degraded" and told == [(rank, True)]

"""A job that starts its successor before its end."""

import signal
from pathlib import Path

import pytest
from tests.waiting import until

from dsr1.hosts.errors import InputError
from dsr1.launcher.batch.handover import Handover, claim_successor
from dsr1.launcher.batch.main import StopSignals
from dsr1.launcher.batch.script import BatchSite, make_spec
from dsr1.launcher.operate.status import find_any, stop_any
from dsr1.launcher.recipe.load import load_recipe
from dsr1.launcher.run.state import RunState
from dsr1.launcher.run.store import Run, new_run
from dsr1.launcher.run.supervision.supervisor import Supervisor

OVERLAPS = ("slurm.nodes=1", "slurm.resubmit=2", "slurm.overlap=600")
RECIPE = load_recipe("dsr1-dep", OVERLAPS)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Where there is no Slurm."""
    monkeypatch.setenv("DSR1_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    made = new_run("r1")
    made.claim(RECIPE, "ready")
    return made


class Asked(Supervisor):
    """It is told to stop, and writes down why."""

    def __init__(self) -> None:
        self.why: list[str] = []

    def request_stop(self, why: str = "asked to stop") -> None:
        self.why.append(why)


def test_the_warning_comes_so_much_earlier() -> None:
    assert make_spec(RECIPE, BatchSite("python", "/s"), "r1").warn_s == 120 + 600
    with pytest.raises(InputError, match="give resubmit, too"):
        load_recipe("dsr1-dep", ("slurm.overlap=600",))
    with pytest.raises(InputError, match=r"time"):
        make_spec(load_recipe("dsr1-dep", (*OVERLAPS, "slurm.time='5'")), BatchSite("p", "/s"))


def test_its_name_leads_to_whoever_has_taken_over(run: Run) -> None:
    second = claim_successor(run)
    assert (second.name, second.state().phase, run.successor()) == ("r1-2", "queued", "r1-2")
    assert find_any("r1").name == "r1"
    run.save(RunState("stopped", 1.0, reason="handed over to r1-2"))
    assert find_any("r1").name == "r1-2"
    third = claim_successor(second)
    assert third.name == "r1-3"
    second.save(RunState("stopped", 1.0))
    assert find_any("r1").name == "r1-3"
    third.discard()
    assert find_any("r1").name == "r1-2"
    new_run("r1-3").claim(RECIPE, "ready")  # the name is free again, and this is somebody else's
    assert find_any("r1").name == "r1-2"
    assert stop_any(second) == ()
    assert new_run("r1-3").state().phase == "ready"


def test_a_name_that_only_looks_like_a_successors(run: Run) -> None:
    other = new_run("r1-2")
    other.claim(RECIPE, "ready")
    assert claim_successor(run).name == "r1-3"
    assert claim_successor(other).name == "r1-2-2"


def test_one_that_can_not_be_submitted_leaves_it_to_serve_until_its_end(run: Run) -> None:
    handover, supervisor = Handover(run, 1, (), 0.2), Asked()
    handover.begin(supervisor, "the job's time limit is near")
    handover.begin(supervisor, "again")
    until(lambda: bool(supervisor.why))
    assert supervisor.why == ["the job's time limit is near"]
    assert not handover.is_followed
    assert not new_run("r1-2").folder.exists()


def test_the_last_has_no_successor(run: Run) -> None:
    handover, supervisor = Handover(run, 3, (), 0.0), Asked()
    handover.begin(supervisor, "the job's time limit is near")
    until(lambda: bool(supervisor.why))
    assert run.successor() == ""


def test_a_warning_begins_it_and_an_order_to_stop_does_not_wait(run: Run) -> None:
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    try:
        ending = StopSignals()
        ending.supervisor = supervisor = Asked()
        ending.handover = Handover(run, 3, (), 1000.0)
        signal.raise_signal(signal.SIGUSR1)
        assert (supervisor.why, ending.warned_only) == ([], True)
        signal.raise_signal(signal.SIGINT)
        assert (supervisor.why, ending.warned_only) == (["asked to stop"], False)
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)

"""What a launch does to runs before it has started anything: its own, and another of the same
name."""

import os
import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from dsr1.hosts.errors import CheckFailed, HostError, InputError, LaunchFailed
from dsr1.hosts.inventory.access import Access
from dsr1.launcher.operate.status import phases, refuse_unplanned, run_status
from dsr1.launcher.plan.plan import PREVIEW_RUN_ID
from dsr1.launcher.recipe.load import load_recipe
from dsr1.launcher.recipe.models import Recipe
from dsr1.launcher.run.backend import LaunchRequest
from dsr1.launcher.run.launch import failure, launch_run, prepare_run
from dsr1.launcher.run.local import LocalBackend
from dsr1.launcher.run.signals import deferred_interrupt
from dsr1.launcher.run.spawn import await_save, take_over
from dsr1.launcher.run.ssh import SshBackend
from dsr1.launcher.run.state import RunState
from dsr1.launcher.run.stop import stop_run
from dsr1.launcher.run.store import Run, list_runs, new_run


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DSR1_STATE_DIR", str(tmp_path))
    return tmp_path


@pytest.fixture(autouse=True)
def interruptible() -> Iterator[None]:
    """Also where pytest itself is a background job, which is started with SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def recipe() -> Recipe:
    return load_recipe("dsr1-slice", ["model.path=/models/r1"])


def fail(error: BaseException) -> Callable[[], None]:
    def act() -> None:
        raise error

    return act


def interrupt() -> None:
    signal.raise_signal(signal.SIGINT)


def launch(recipe: Recipe, survey: Callable[[], None]) -> Run:
    """The given takes the survey's place, and no launch goes on after it."""

    def prepare(_: Run) -> None:
        survey()
        raise AssertionError("the survey should have ended the launch")

    return launch_run(recipe, "r1", prepare, lambda _: None)


def test_a_taken_name_is_refused_before_anything_is_asked(recipe: Recipe) -> None:
    other = new_run("r1")
    other.claim(recipe, "ready")
    before = other.state()
    with pytest.raises(InputError, match="there is a run of that name"):
        launch(recipe, interrupt)
    assert other.state() == before


def test_a_spare_that_is_a_host_already_is_refused_before_anything_is_asked(recipe: Recipe) -> None:
    spared = recipe.model_copy(update={"spares": ["b", "c"]})
    accesses = (Access("a", "192.0.2.1"), Access("b", "192.0.2.2"))
    with pytest.raises(InputError, match="spares: b: named in --hosts, too"):
        SshBackend().launch(LaunchRequest(spared, "r1", accesses), lambda _: None)
    assert list_runs() == []


def test_a_launch_is_planned_with_the_identity_of_its_run(recipe: Recipe) -> None:
    run = new_run("r1")
    request = LaunchRequest(recipe, "r1")
    prepare_run(run, recipe, partial(LocalBackend().prepare, request, ()))
    plan, identity = run.plan(), run.run_id()
    assert plan.run_id == identity != PREVIEW_RUN_ID
    assert plan.service.namespace == f"r1_{identity}"
    assert {host.run_id for host in plan.hosts} == {identity}


def test_who_waits_for_one_that_was_stopped_is_told_so() -> None:
    told = str(failure(new_run("r1"), RunState("stopped", 1.0, reason="asked to stop")))
    assert told.startswith("r1: stopped: asked to stop\nlogs: ")
    assert str(failure(new_run("r1"), RunState("failed", 1.0, reason="x"))).startswith("r1: x\n")


def test_an_interrupted_survey_leaves_no_run(recipe: Recipe) -> None:
    with pytest.raises(LaunchFailed, match="r1: interrupted; nothing was started"):
        launch(recipe, interrupt)
    assert list_runs() == []


@pytest.mark.parametrize(
    "error", [CheckFailed("unfit"), HostError("a: silent"), InputError("no"), OSError("full")]
)
def test_a_failed_survey_leaves_no_run(recipe: Recipe, error: Exception) -> None:
    with pytest.raises(type(error)):
        launch(recipe, fail(error))
    assert list_runs() == []


def test_a_run_that_still_asks_its_hosts_is_told_as_starting(recipe: Recipe) -> None:
    def look() -> None:
        (run,) = list_runs()
        assert run.supervisor() == os.getpid()
        assert phases([run]) == {"r1": "starting"}
        assert run_status(run).alive == ()
        with pytest.raises(LaunchFailed, match="starting, and has no processes"):
            refuse_unplanned(run)
        raise InputError("seen")

    with pytest.raises(InputError, match="seen"):
        launch(recipe, look)


def test_a_run_whose_launch_died_asking_is_abandoned_and_can_be_stopped(recipe: Recipe) -> None:
    run = new_run("r1")
    run.claim(recipe, "starting")
    assert phases([run]) == {"r1": "abandoned"}
    with pytest.raises(
        LaunchFailed, match=r"r1: abandoned, .* its launch died before anything .* `dsr1 stop r1`"
    ):
        refuse_unplanned(run)
    with pytest.raises(InputError, match="before anything was started"):
        take_over(run)
    assert stop_run(run) == ()
    assert run.state().phase == "stopped"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_would_end_a_launch_waits_until_its_start_is_on_record(number: signal.Signals) -> None:
    told: list[int] = []
    before = signal.signal(number, lambda number, _: told.append(number))
    try:
        with deferred_interrupt():
            signal.raise_signal(number)
            assert told == []
        assert told == [number]
    finally:
        signal.signal(number, before)


def test_taking_over_is_given_up_when_the_new_supervisor_saves_nothing(recipe: Recipe) -> None:
    """This process stands for one that lives and can't save: on a full disk, or with hosts that
    don't answer."""
    run = new_run("r1")
    run.claim(recipe, "ready")
    run.record_supervisor(os.getpid())
    before = run.save_mark()
    words = rf"\(pid {os.getpid()}\) has saved no state for 0\.1 s; .* `dsr1 stop r1` ends it"
    with pytest.raises(LaunchFailed, match=words):
        await_save(run, before, 0.1)
    run.save(run.state())  # in which nothing is new
    await_save(run, before, 0.1)

"""A run's folder may be removed, and its name be another run's, while it is ended or judged: that one
is left alone, and what is watched again meanwhile is ended, too."""

import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.waiting import begun, until

from dsr1.hosts.errors import InputError
from dsr1.hosts.protocol.identity import read_stat
from dsr1.launcher.operate.removal import remove_run
from dsr1.launcher.recipe.load import load_recipe
from dsr1.launcher.run.state import RunState
from dsr1.launcher.run.stop import stop_run
from dsr1.launcher.run.store import Run

RECIPE = load_recipe("dsr1-slice", ["model.path=/models/r1"])
SLEEPS = ("sleep", "1000")
REMOVED = """trap 'rm -rf "$1"; exit' TERM; echo; while :; do sleep 0.01; done"""
REPLACED = """trap 'rm -rf "$1"; mv "$2" "$1"; exit' TERM; echo; while :; do sleep 0.01; done"""


@pytest.fixture
def own(tmp_path: Path) -> Run:
    run = claimed(tmp_path / "runs" / "r")
    (run.folder / "hosts" / "localhost").mkdir(parents=True)
    return run


def claimed(folder: Path, phase: str = "ready") -> Run:
    run = Run(folder)
    run.claim(RECIPE, phase)
    (run.folder / "secrets" / "key").write_text("secret")
    return run


@pytest.fixture
def sleeper() -> Iterator["subprocess.Popen[bytes]"]:
    with begun(SLEEPS) as process:
        yield process


def lives(pid: int) -> bool:
    stat = read_stat(pid)
    return stat is not None and stat.alive


def test_a_run_that_takes_the_name_of_one_that_is_stopped_is_let_be(
    own: Run, sleeper: "subprocess.Popen[bytes]", tmp_path: Path
) -> None:
    """Its predecessor is removed, and it is launched, the moment that the supervisor ends."""
    other = claimed(tmp_path / "other", "starting")
    other.record_supervisor(sleeper.pid)
    script = ("sh", "-c", REPLACED, "sh", str(own.folder), str(other.folder))
    with begun(script, stdout=subprocess.PIPE) as supervisor:
        own.record_supervisor(supervisor.pid)
        assert supervisor.stdout
        supervisor.stdout.readline()  # it has its trap
        assert stop_run(Run(own.folder)) == ()
    assert lives(sleeper.pid)
    now = Run(own.folder)
    assert (now.state().phase, now.secrets()) == ("starting", {"key": "secret"})


def test_a_folder_that_goes_while_it_is_stopped_does_not_come_back(own: Run) -> None:
    """A launch that is stopped while it still starts discards its run."""
    with begun(("sh", "-c", REMOVED, "sh", str(own.folder)), stdout=subprocess.PIPE) as launch:
        own.record_supervisor(launch.pid)
        assert launch.stdout
        launch.stdout.readline()  # it has its trap
        assert stop_run(Run(own.folder)) == ()
    assert not own.folder.exists()


def test_one_that_is_watched_again_while_it_is_stopped_is_ended_too(
    own: Run, sleeper: "subprocess.Popen[bytes]"
) -> None:
    found: list[tuple[str, ...]] = []
    stopping = threading.Thread(target=lambda: found.append(stop_run(Run(own.folder))))
    with ExitStack() as held:
        held.enter_context(own.locked())  # as `dsr1 supervise` does
        stopping.start()
        until(lambda: any(own.folder.parent.glob(".programs/*.pyz")), "its hosts are asked")
        own.record_supervisor(sleeper.pid)
    stopping.join()
    assert (found, own.state().phase) == ([()], "stopped")
    assert not lives(sleeper.pid)


def test_a_launch_that_rolls_itself_back_is_not_ended_by_that(own: Run) -> None:
    own.record_supervisor(os.getpid())
    assert stop_run(own) == ()


def test_what_is_removed_is_what_was_judged(own: Run) -> None:
    own.save(RunState("stopped", 1.0))
    refused: list[InputError] = []

    def remove() -> None:
        try:
            remove_run(Run(own.folder))
        except InputError as error:
            refused.append(error)

    removing = threading.Thread(target=remove)
    with ExitStack() as held:
        held.enter_context(own.locked())  # as another `dsr1 rm` or `launch --replace` does
        removing.start()
        shutil.rmtree(own.folder)
        other = claimed(own.folder, "starting")
    removing.join()
    assert len(refused) == 1
    assert Run(own.folder).run_id() == other.run_id()


def test_a_launch_takes_back_its_own_claim_alone(own: Run) -> None:
    shutil.rmtree(own.folder)
    other = claimed(own.folder)
    own.discard()
    assert Run(own.folder).run_id() == other.run_id()
    other.discard()
    assert not own.folder.exists()

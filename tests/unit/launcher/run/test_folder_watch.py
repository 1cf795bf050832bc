"""A supervisor hears by its run's folder what it can't be told otherwise."""

import shutil
from pathlib import Path

import pytest

from dsr1.launcher.recipe.load import load_recipe
from dsr1.launcher.run.store import Run
from dsr1.launcher.run.supervision.folder_watch import GONE_LOOKS, FolderWatch
from dsr1.launcher.run.supervision.messages import FolderGone, StopRequested


@pytest.fixture
def run(tmp_path: Path) -> Run:
    made = Run(tmp_path / "r")
    made.claim(load_recipe("dsr1-dep"), "ready")
    return made


def test_who_is_asked_to_stop_stops_until_that_is_forgotten(run: Run) -> None:
    watch = FolderWatch(run)
    watch.look()
    run.ask_to_stop()
    with pytest.raises(StopRequested, match="asked to stop"):
        watch.look()
    run.forget_asked_stop()
    watch.look()


def test_a_folder_that_is_gone_for_long(run: Run) -> None:
    watch = FolderWatch(run)
    shutil.rmtree(run.folder)
    for _ in range(GONE_LOOKS - 1):
        watch.look()
    with pytest.raises(FolderGone, match="was removed on"):
        watch.look()


def test_a_folder_that_is_another_runs_is_gone_at_once(run: Run) -> None:
    watch = FolderWatch(run)
    shutil.rmtree(run.folder)
    with pytest.raises(FolderGone):
        watch.look_once()
    Run(run.folder).claim(load_recipe("dsr1-dep"), "starting")
    with pytest.raises(FolderGone):
        watch.look()

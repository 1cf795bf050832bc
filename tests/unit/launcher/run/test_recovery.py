"""A run is ended by whatever of its files can be read."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from dsr1.hosts.errors import LaunchFailed
from dsr1.hosts.inventory.access import Access
from dsr1.hosts.inventory.host import Host
from dsr1.launcher.operate.status import run_status
from dsr1.launcher.plan.plan import make_plan
from dsr1.launcher.recipe.load import load_recipe
from dsr1.launcher.run.ranks import RankRow
from dsr1.launcher.run.recovery import (
    RecoveryInfo,
    hosts_to_end,
    parse_recovery_info,
    read_recovery_info,
)
from dsr1.launcher.run.state import RunState
from dsr1.launcher.run.stop import host_names, stop_run
from dsr1.launcher.run.store import Run, new_run

WAYS = (Access("a", "a.example"), Access("b", "b.example", port=22))
UNREADABLE = [
    "",
    "{",
    "[]",
    "7",
    '{"hosts": 5}',
    '{"hosts": ["a"]}',
    '{"hosts": [{"name": "a"}]}',
    "\udcff",
]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    run = Run(tmp_path)
    run.save(RunState("ready", 1.0))
    return run


def plan_on(run: Run, *hosts: Host) -> None:
    recipe = load_recipe("dsr1-slice", ["model.path=/models/r1"])
    run.save_plan(make_plan(recipe, hosts, "r", str(run.folder)))


def write(run: Run, name: str, text: str) -> None:
    (run.folder / name).write_text(text, errors="surrogateescape")


def test_settings_of_another_version_still_tell_the_way() -> None:
    hosts = [asdict(way) | {"color": "red"} for way in WAYS]
    told = {"python": "/v/bin/python", "hosts": hosts, "replaced": ["c"], "new": {"x": 1}}
    assert parse_recovery_info(json.dumps(told)) == RecoveryInfo("/v/bin/python", WAYS, ("c",))


@pytest.mark.parametrize("text", UNREADABLE)
def test_settings_that_tell_no_way_count_as_none(run: Run, text: str) -> None:
    write(run, "settings.json", text)
    assert read_recovery_info(run) is None


@pytest.mark.parametrize("text", ["", "{}", '{"hosts": 1}'])
def test_without_a_plan_every_host_with_a_way_is_asked(run: Run, text: str) -> None:
    write(run, "plan.json", text)
    assert hosts_to_end(run, RecoveryInfo("python", WAYS, ("c",))) == ("a", "b", "c")


@pytest.mark.parametrize("text", UNREADABLE)
def test_a_run_here_is_stopped_whatever_its_settings_say(run: Run, text: str) -> None:
    write(run, "settings.json", text)
    write(run, "plan.json", "{")
    write(run, "run-id", "0" * 32)
    (run.folder / "hosts" / "localhost").mkdir(parents=True)
    assert stop_run(run) == ()
    assert run.state().phase == "stopped"


def test_a_run_here_is_stopped_without_its_settings(run: Run) -> None:
    plan_on(run, Host("localhost", "127.0.0.1"))
    assert stop_run(run) == ()


def test_other_machines_without_a_way_to_them_may_still_run(run: Run) -> None:
    plan_on(run, Host("far", "10.0.0.1"))
    (left,) = stop_run(run)
    assert left.startswith("far: how it is reached can't be read from ")
    assert run.state().phase == "ready"


@pytest.mark.parametrize(("left", "told"), [((), 0), (("far: main-0",), 1)])
def test_what_its_supervisor_has_ended_is_over(run: Run, left: tuple[str, ...], told: int) -> None:
    plan_on(run, Host("far", "10.0.0.1"))
    run.save(RunState("stopped", 1.0, left=left))
    assert len(stop_run(run)) == told


@pytest.fixture
def emptied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Somebody has left its state and its identity alone."""
    monkeypatch.setenv("DSR1_STATE_DIR", str(tmp_path))
    run = new_run("r")
    run.claim(load_recipe("dsr1-dep"), "starting")
    return run


def ranks_on(host: str) -> RunState:
    row = RankRow("main", 0, host, "main-0", "ready", 1.0)
    return RunState("ready", 1.0, ranks=(row,))


def test_a_folder_that_was_emptied_is_no_proof(emptied: Run) -> None:
    """Over SSH it is its settings and its plan that tell where it runs."""
    emptied.save(ranks_on("far"))
    (left,) = stop_run(emptied)
    assert "where it runs (far, by its state) can't be read" in left
    assert "`dsr1 stop r --hosts ...`" in left
    assert emptied.state().phase == "ready"
    with pytest.raises(LaunchFailed, match=r"where it runs \(far, by its state\) can't be read"):
        run_status(emptied)
    (emptied.folder / "state.json").unlink()
    (left,) = stop_run(emptied)
    assert "where it runs can't be read" in left


def test_on_this_machine_its_processes_are_asked_for_without_their_folder(emptied: Run) -> None:
    emptied.save(ranks_on("localhost"))
    assert hosts_to_end(emptied, RecoveryInfo()) == ("localhost",)
    assert host_names(emptied) == ("localhost",)
    assert stop_run(emptied) == ()


def test_a_launch_that_was_asking_its_hosts_had_begun_nothing(emptied: Run) -> None:
    assert stop_run(emptied) == ()

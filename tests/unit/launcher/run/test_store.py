"""What a run's folder keeps."""

import os
import re
import shutil
from pathlib import Path

import pytest

from dsr1.hosts.errors import InputError, LaunchFailed
from dsr1.hosts.inventory.host import this_machine
from dsr1.hosts.protocol.facts.fact import Fact
from dsr1.launcher.cli.smoke import smoke
from dsr1.launcher.operate.status import phases
from dsr1.launcher.plan.plan import make_plan
from dsr1.launcher.recipe.load import load_recipe
from dsr1.launcher.run.folder import SCHEMA_FILE
from dsr1.launcher.run.state import RunState
from dsr1.launcher.run.stop import stop_run
from dsr1.launcher.run.store import Run, find_run, list_runs, new_run


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


def test_facts_that_a_run_was_planned_from(run: Run) -> None:
    facts = {"a": {"clock.now": Fact(1.5, "time"), "ib.ports": Fact(None, "sysfs", "gone")}}
    run.save_facts(facts)
    assert run.facts() == facts


@pytest.mark.parametrize("text", ["", "[]", '{"a": 1}', '{"a": {"b": 1}}', "\udcff"])
def test_facts_that_cannot_be_read_name_their_file(run: Run, text: str) -> None:
    (run.folder / "facts.json").write_text(text, errors="surrogateescape")
    with pytest.raises(LaunchFailed, match=r"facts\.json: can't be read"):
        run.facts()


@pytest.mark.parametrize("name", ["a\n", "-a", "", "a b", "é", "a" * 64, "../a", "a\x1b"])
def test_a_name_ends_where_it_ends(name: str) -> None:
    with pytest.raises(InputError):
        new_run(name)


@pytest.mark.parametrize("text", ["[" * 10**5, '{"a":' * 10**5, "1e999", "9" * 5000])
def test_what_nests_without_end_names_its_file(run: Run, text: str) -> None:
    (run.folder / "state.json").write_text(text)
    with pytest.raises(LaunchFailed, match=r"state\.json: can't be read"):
        run.state()


@pytest.fixture
def three(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Run]:
    """Claimed a second after another, the last of them the newest."""
    monkeypatch.setenv("DSR1_STATE_DIR", str(tmp_path))
    runs = [new_run(name) for name in ("c", "a", "b")]
    for second, run in enumerate(runs):
        run.claim(load_recipe("dsr1-slice", ["model.path=/models/r1"]), "starting")
        os.utime(run.folder / "recipe.json", (1000 + second, 1000 + second))
    return runs


def test_the_newest_run_is_the_one_launched_last(three: list[Run]) -> None:
    """Whatever else is written into the folder of an older one."""
    for run in reversed(three):
        run.save(RunState("ready", 1.0))
        run.record_supervisor(os.getpid())
    assert [run.name for run in list_runs()] == ["c", "a", "b"]
    assert find_run(None).name == "b"


def test_a_run_without_a_recipe_goes_by_its_folder(three: list[Run]) -> None:
    (three[2].folder / "recipe.json").unlink()
    os.utime(three[2].folder, (1000.5, 1000.5))
    assert [run.name for run in list_runs()] == ["c", "b", "a"]


def test_a_run_that_goes_while_one_looks_is_no_error(
    three: list[Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    is_dir = Path.is_dir

    def vanishing(path: Path) -> bool:
        seen = is_dir(path)
        if path == three[0].folder:
            shutil.rmtree(path)
        return seen

    monkeypatch.setattr(Path, "is_dir", vanishing)
    assert [run.name for run in list_runs()] == ["c", "a", "b"]


@pytest.mark.parametrize("text", [None, "", "[]", '{"color": "red"}', "\udcff"])
def test_a_recipe_that_cannot_be_read_names_its_file(run: Run, text: str | None) -> None:
    if text is not None:
        (run.folder / "recipe.json").write_text(text, errors="surrogateescape")
    with pytest.raises(LaunchFailed, match=r"recipe\.json: can't be read"):
        run.recipe()


def test_the_recipe_is_read_as_it_was_written(three: list[Run]) -> None:
    assert three[0].recipe() == load_recipe("dsr1-slice", ["model.path=/models/r1"])


@pytest.mark.parametrize("phase", ["stopped", "failed"])
def test_smoke_says_that_a_run_has_ended(three: list[Run], phase: str) -> None:
    three[2].save(RunState(phase, 1.0, reason="asked to stop"))
    with pytest.raises(LaunchFailed, match=f"b: {phase}, and no longer serves. asked to stop"):
        smoke("b")


def test_every_claim_makes_an_identity_and_keeps_it(three: list[Run]) -> None:
    """A name can be had again, once the folder is gone; the identity can't."""
    first = three[0].run_id()
    assert re.fullmatch("[0-9a-f]{32}", first)
    three[0].save(RunState("failed", 2.0))
    assert Run(three[0].folder).run_id() == first
    three[0].discard()
    three[0].claim(load_recipe("dsr1-slice", ["model.path=/models/r1"]), "starting")
    assert len({first, *(run.run_id() for run in three)}) == 4


@pytest.mark.parametrize("text", [None, "", "0" * 31, "0" * 31 + "\n", "G" * 32, "\udcff"])
def test_an_identity_that_cannot_be_read_names_its_file(run: Run, text: str | None) -> None:
    if text is not None:
        (run.folder / "run-id").write_text(text, errors="surrogateescape")
    with pytest.raises(LaunchFailed, match=r"run-id: can't be read"):
        run.run_id()


def test_a_folder_of_a_newer_dsr1_is_named_as_such_and_can_be_stopped(three: list[Run]) -> None:
    folder = three[0].folder
    three[0].save(RunState("ready", 1.0))
    for text, newer in (("1", False), ("2", True), ("99\n", True), ("", False), ("x", False)):
        (folder / SCHEMA_FILE).write_text(text)
        run = Run(folder)
        if newer:
            with pytest.raises(LaunchFailed, match=r"is of a newer dsr1 \(schema \d+; this one"):
                run.state()
            assert (run.run_id(), phases([run])) == (three[0].run_id(), {run.name: "unreadable"})
        else:
            assert run.state().phase == "ready"
    (folder / SCHEMA_FILE).write_text("2")
    (folder / "hosts" / "localhost").mkdir(parents=True)  # else nothing tells where it runs
    assert stop_run(Run(folder)) == ()
    (folder / SCHEMA_FILE).unlink()  # from before there was one
    assert Run(folder).state().ended


@pytest.mark.parametrize(
    "plan",
    [
        "",
        "[]",
        "{}",
        '{"hosts": 1, "service": 1}',
        '{"hosts": [1], "service": {}}',
        '{"hosts": [{}], "service": null}',
        '{"hosts": [{"host": []}], "service": {"host": 1}}',
    ],
)
def test_parts_of_a_plan_that_is_none_are_refused_in_words(run: Run, plan: str) -> None:
    (run.folder / "plan.json").write_text(plan)
    for ask in (run.host_names, run.service):
        with pytest.raises(LaunchFailed, match=r"plan\.json: can't be read: "):
            ask()


def test_parts_of_a_plan_are_those_of_the_whole(run: Run) -> None:
    recipe = load_recipe("dsr1-slice", ["model.path=/m"])
    plan = make_plan(recipe, this_machine(1, 1), run.name, str(run.folder))
    run.save_plan(plan)
    assert run.host_names() == tuple(host.host for host in plan.hosts)
    assert run.service() == plan.service

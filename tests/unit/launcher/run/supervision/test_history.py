"""What has become of a run, line by line."""

from pathlib import Path

import pytest

from dsr1.hosts.inventory.host import Host
from dsr1.launcher.health.verdicts import FAILED, STALLED, SUSPECT, HealthReport, RankHealth
from dsr1.launcher.plan.plan import make_plan
from dsr1.launcher.recipe.load import parse_recipe
from dsr1.launcher.run.folder import RunFolder
from dsr1.launcher.run.record import history
from dsr1.launcher.run.record.history import Change, changes_between, read_history, record
from dsr1.launcher.run.settings import HookSettings
from dsr1.launcher.run.state import RunState
from dsr1.launcher.run.store import new_run
from dsr1.launcher.run.supervision.state_writer import StateWriter

ILL = RankHealth("a", 1, "n1", "a-1", SUSPECT, STALLED, "makes no progress", 4.0)
GONE = RankHealth("a", 1, "n1", "a-1", FAILED, STALLED, "makes no progress", 4.0)
READY = RunState("ready", 1.0)
DEGRADED = RunState("degraded", 2.0, ailing=(ILL,))


def whats(before: RunState, after: RunState) -> list[tuple[str, str, int | None]]:
    return [(one.what, one.engine, one.rank) for one in changes_between(before, after, 9.0)]


def test_verdicts_and_phases_are_changes() -> None:
    failed = RunState("degraded", 3.0, ailing=(GONE,))
    assert whats(READY, DEGRADED) == [("suspect", "a", 1), ("degraded", "", None)]
    assert whats(DEGRADED, DEGRADED) == []
    assert whats(DEGRADED, failed) == [("failed", "a", 1)]
    assert whats(failed, READY) == [("healthy", "a", 1), ("ready", "", None)]


def test_a_change_says_who_and_why() -> None:
    suspect, phase = changes_between(READY, DEGRADED, 9.0)
    words = "rank 1 of engine a on n1 makes no progress"
    assert suspect == Change(9.0, "supervisor", "suspect", "makes no progress", "a", 1, "n1")
    assert phase == Change(9.0, "supervisor", "degraded", words)
    (ended,) = changes_between(READY, RunState("failed", 1.0, reason="because"), 9.0)
    assert ended.why == "because"


def test_it_is_kept_bounded_and_read_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "MOST_BYTES", 400)
    run = RunFolder(tmp_path)
    changes = [Change(float(n), "dsr1 stop", "stopped", "a\n'b' \N{SNOWMAN}") for n in range(20)]
    for change in changes:
        record(run, change)
    with (tmp_path / "history.jsonl").open("a") as torn:
        torn.write('{"time": 3, "wh')
    kept = read_history(run)
    assert kept == changes[-len(kept) :]
    assert 2 <= len(kept) < 20
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 1200


def test_a_folder_that_is_gone_costs_the_line(tmp_path: Path) -> None:
    record(RunFolder(tmp_path / "gone"), Change(1.0, "supervisor", "failed"))
    assert read_history(RunFolder(tmp_path / "gone")) == []


def test_what_is_noted_before_it_is_saved_is_a_change_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DSR1_STATE_DIR", str(tmp_path))
    text = "name: t\nmodel: {path: /m}\nengines: {a: {nodes: 1, ranks_per_node: 2}}\n"
    recipe, run = parse_recipe(text, "t.yaml"), new_run("r1")
    run.claim(recipe, "ready")
    plan = make_plan(recipe, [Host("n1", "10.0.0.1", "eth0")], "r1", "/r")
    writer = StateWriter(run, plan, HookSettings())
    writer.note_ailing(HealthReport((ILL,)))
    assert read_history(run) == []
    writer.save(phase="degraded")
    writer.save()
    assert [(one.what, one.rank) for one in read_history(run)] == [
        ("suspect", 1),
        ("degraded", None),
    ]

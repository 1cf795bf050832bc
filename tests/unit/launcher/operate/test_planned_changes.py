"""What a change of the plan would do to a run, and what it can't do."""

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from dsr1.hosts.errors import InputError, LaunchFailed
from dsr1.hosts.inventory.access import Access
from dsr1.hosts.inventory.host import Host
from dsr1.launcher.lifecycle.changes import ADD, REMOVE, START, STOP
from dsr1.launcher.operate.scaling import parse_scale, want_scale
from dsr1.launcher.operate.updating import Update, plan_update
from dsr1.launcher.plan.plan import make_plan
from dsr1.launcher.preflight.survey_result import Survey
from dsr1.launcher.recipe.load import parse_recipe
from dsr1.launcher.recipe.models import Recipe
from dsr1.launcher.run.prepare import make_run_secrets, make_settings
from dsr1.launcher.run.state import RunState
from dsr1.launcher.run.store import Run, new_run
from dsr1.launcher.run.supervision.engine_events import make_engines

ACCESSES = tuple(Access(f"n{number}", f"n{number}") for number in range(5))
HOSTS = tuple(Host(f"n{number}", f"10.0.0.{number}", "eth0") for number in range(5))
SERVED = """
name: t
model: {path: /models/R1}
frontend: {replicas: 2}
spares: [n4]
engines:
  prefill: {role: prefill, nodes: 1}
  decode: {role: decode, nodes: 1, replicas: 2}
"""
Serving = Callable[..., Run]


def changed(*settings: str) -> Recipe:
    return parse_recipe(SERVED, "t.yaml", settings)


@pytest.fixture
def serving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Serving:
    """A run that serves, as its folder tells, on its three hosts and so many more."""
    monkeypatch.setenv("DSR1_STATE_DIR", str(tmp_path))

    def make(idle: int = 0, recipe: Recipe | None = None) -> Run:
        run, recipe = new_run("t"), recipe or changed()
        run.claim(recipe, "starting")
        survey = Survey(HOSTS[: 3 + idle], HOSTS[4:], ACCESSES, {})
        plan = make_plan(recipe, survey.hosts, "t", str(run.folder), run_id=run.run_id())
        settings = make_settings(recipe, survey, ())
        run.fill(plan, settings, make_run_secrets(plan, survey, recipe))
        engines = tuple(make_engines(plan, settings, time.time()).values())
        run.save(RunState("ready", time.time(), ready_after=90.0, engines=engines))
        run.record_supervisor(os.getpid())
        return run

    return make


def steps_of(update: Update) -> list[tuple[str, str]]:
    return [(step.what, step.engine) for step in update.steps]


def hosts_of(update: Update, engine: str) -> set[str]:
    return {one.host for one in update.goal.after.plan.processes if one.group == engine}


def test_what_differs_is_exchanged_one_after_the_other(serving: Serving) -> None:
    run, recipe = serving(), changed("engines.decode.max_num_seqs=64", "restart.max=2")
    update = plan_update(run, recipe, ())
    assert steps_of(update) == [
        (STOP, "decode-r0"),
        (START, "decode-r0"),
        (STOP, "decode-r1"),
        (START, "decode-r1"),
    ]
    assert [one.key for one in update.differences] == ["restart.max", "engines.decode.max_num_seqs"]
    assert (update.alone, update.starts, update.start_s) == ((), 2, 90.0)
    assert update.goal.after.settings.restarts == 2
    assert run.recipe() == changed()


def test_on_a_free_host_the_new_one_serves_first(serving: Serving) -> None:
    update = plan_update(serving(idle=1), changed("engines.decode.max_num_seqs=64"), ())
    assert steps_of(update) == [
        (ADD, "decode-r2"),
        (REMOVE, "decode-r0"),
        (ADD, "decode-r3"),
        (REMOVE, "decode-r1"),
    ]
    left = hosts_of(update, "decode-r2") | hosts_of(update, "decode-r3")
    assert hosts_of(update, "decode-r2") == {"n3"}
    assert len(left) == 2


def test_more_and_fewer_and_others(serving: Serving) -> None:
    run = serving(idle=1)
    update = plan_update(run, changed("engines.decode.replicas=1"), ())
    assert steps_of(update) == [(REMOVE, "decode-r1")]
    update = plan_update(run, changed("engines.decode.replicas=3"), ())
    assert steps_of(update) == [(ADD, "decode-r2")]
    wide = changed("engines.decode.replicas=1", "engines.decode.nodes=2")
    update = plan_update(run, wide, ())
    assert steps_of(update)[0] == (REMOVE, "decode-r1")
    assert (STOP, "decode-r0") in steps_of(update)
    assert len(hosts_of(update, "decode-r0")) == 2


def test_frontends_are_exchanged_too_and_a_lone_engine_is_told(serving: Serving) -> None:
    run = serving()
    update = plan_update(run, changed("frontend.router_mode=kv"), ())
    assert steps_of(update) == [
        (STOP, "frontend-0"),
        (START, "frontend-0"),
        (STOP, "frontend-1"),
        (START, "frontend-1"),
    ]
    update = plan_update(run, changed("engines.prefill.max_num_seqs=9"), ())
    assert update.alone == ("prefill",)
    assert steps_of(plan_update(run, changed("hooks.ready=[echo]"), ())) == []


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("model.path=/models/other", "model.path is /models/R1, and the recipe has /models/other"),
        ("engines.decode.max_model_len=9", "engines.decode.max_model_len is not set"),
        (
            "engines.decode.args.block-size=9;engines.prefill.args.block-size=9",
            "engines.prefill.args.block-size is not set",
        ),
        (
            "engines.decode.args.kv-cache-dtype=fp8;engines.prefill.args.kv-cache-dtype=fp8",
            "in the middle of it",
        ),
        ("ports.base=9000", "ports.base"),
        ("frontend.port=9000", "gateway would have to be started anew"),
        ("frontend.replicas=3", "would have to be started anew"),
        ("engines.decode.replicas=4", "decode-r3 needs 1 hosts with 8 free GPUs"),
    ],
)
def test_what_can_not_be_changed(serving: Serving, setting: str, words: str) -> None:
    with pytest.raises(InputError) as refused:
        plan_update(serving(idle=1), changed(*setting.split(";")), ())
    assert words in str(refused.value)


def test_a_spare_comes_where_it_is_named(serving: Serving) -> None:
    run = serving()
    change = want_scale(run, {"decode": 3}, ACCESSES[4:], "dsr1 scale")
    goal = run.change_goal()
    assert change
    assert goal
    assert [(step.what, step.engine) for step in change.steps] == [(ADD, "decode-r2")]
    assert goal.after.settings.spares == ()
    assert goal.after.settings.machines[-1].name == "n4"
    assert goal.before.settings.spares == HOSTS[4:]
    with pytest.raises(InputError, match=r"scale of decode-r2, which .* wants, is going on"):
        want_scale(run, {"decode": 1}, (), "dsr1 scale")


def test_one_that_does_not_serve_goes_first(serving: Serving) -> None:
    run = serving()
    state = run.state()
    engines = tuple(
        replace(one, state=replace(one.state, phase="failed")) if one.name == "decode-r0" else one
        for one in state.engines
    )
    run.save(replace(state, engines=engines))
    change = want_scale(run, {"decode": 1}, (), "dsr1 scale")
    assert change
    assert [(step.what, step.engine) for step in change.steps] == [(REMOVE, "decode-r0")]


@pytest.mark.parametrize(
    ("wanted", "hosts", "words"),
    [
        ("decode=0", (), "one at least has to serve"),
        ("aggregated=2", (), "is no engine of t's recipe; it has prefill, decode"),
        ("decode=3", (), "Give more with --hosts \\+HOST"),
        ("decode=3", ACCESSES[:1], "n0: is a host of t already"),
        ("decode=999999999999", (), "is more than dsr1 places"),
    ],
)
def test_refused(serving: Serving, wanted: str, hosts: tuple[Access, ...], words: str) -> None:
    with pytest.raises(InputError, match=words):
        want_scale(serving(), parse_scale([wanted]), hosts, "dsr1 scale")


@pytest.mark.parametrize("wanted", ["decode", "decode=", "=3", "decode=-1", "decode=x", "decode=٣"])
def test_no_number_of_replicas(wanted: str) -> None:
    with pytest.raises(InputError, match="ENGINE=REPLICAS"):
        parse_scale([wanted])


def test_enough_of_it(serving: Serving) -> None:
    assert want_scale(serving(), {"decode": 2}, (), "dsr1 scale") is None


@pytest.mark.parametrize("text", ['{"what": "restart", "engines": ["a"]}', "", "[", "null"])
def test_a_change_of_another_version_is_none(serving: Serving, text: str) -> None:
    run = serving()
    (run.folder / "change.json").write_text(text)
    assert run.wanted_change() is None
    assert want_scale(run, {"decode": 1}, (), "dsr1 scale") is not None


def test_without_a_supervisor_nothing_is_changed(serving: Serving) -> None:
    run = serving()
    (run.folder / "supervisor.json").unlink()
    with pytest.raises(LaunchFailed, match="dsr1 supervise t"):
        want_scale(run, {"decode": 1}, (), "dsr1 scale")
    assert run.wanted_change() is None


def test_one_that_took_all_hosts_keeps_its_own(serving: Serving) -> None:
    """Else the hosts that come would be dealt anew among all."""
    alone = parse_recipe("name: t\nmodel: {path: /m}\nengines: {main: {}}", "t.yaml")
    run = serving(recipe=alone, idle=-1)
    assert plan_update(run, alone, ()).differences == ()
    assert steps_of(plan_update(run, alone, ())) == []
    with pytest.raises(InputError, match="main-r1 needs 2 hosts"):
        want_scale(run, {"main": 2}, ACCESSES[4:], "dsr1 scale")

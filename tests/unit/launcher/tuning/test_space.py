"""What may be tried: mappings that dsr1's own checks let pass, and deployments that use all hosts."""

import json
from pathlib import Path

import pytest

from dsr1.hosts.errors import InputError
from dsr1.launcher.recipe.load import RecipeChanges, resolve_recipe
from dsr1.launcher.tuning.choose import choose, predict
from dsr1.launcher.tuning.goal import TuneGoal
from dsr1.launcher.tuning.knobs import KNOBS, variants
from dsr1.launcher.tuning.mapping.dimensions import R1_CONFIG, read_model_config
from dsr1.launcher.tuning.mapping.recipe import apply_changes
from dsr1.launcher.tuning.prediction.recorded import recorded_tables
from dsr1.launcher.tuning.space import Space, deployments, make_space
from dsr1.launcher.tuning.store import Prediction

GOAL = TuneGoal(4000, 1000, 5000, 60)


def space_of(recipe: str, hosts: int, gpu: str, *settings: str) -> Space:
    given = resolve_recipe(recipe, RecipeChanges(settings=settings))
    return make_space(given, read_model_config(given.recipe), hosts, gpu)


def labels(space: Space, engine: str) -> set[str]:
    return {option.part.mapping.label for option in space.options[engine]}


def test_what_fits_is_tried() -> None:
    """80 GB hold R1 on 16 GPUs at least, 141 GB on 8."""
    assert labels(space_of("dsr1-dep", 2, "h100"), "main") == {
        "dep16", "dp16", "dep8xtp2", "dp8xtp2", "dep4xtp4", "dp4xtp4",
    }  # fmt: skip
    assert {"tp8", "tep8", "dep8", "dep16"} <= labels(space_of("dsr1-dep", 2, "h200"), "main")


def test_what_is_dropped_says_why() -> None:
    dropped = {one.what: one.why for one in space_of("dsr1-disagg-h200", 4, "h200").dropped}
    assert dropped["decode tep4"].startswith("memory: decode: 72 experts")
    assert "no multiple of the 128 of an FP8 block" in dropped["prefill dp32"]


@pytest.mark.parametrize(("recipe", "hosts"), [("dsr1-dep", 2), ("dsr1-disagg-h200", 4)])
def test_every_deployment_is_a_recipe_that_uses_all_hosts(recipe: str, hosts: int) -> None:
    given = resolve_recipe(recipe, RecipeChanges())
    found = list(deployments(space_of(recipe, hosts, "h200")))
    assert len(found) == len({one.name for one in found}) > 10
    assert {one.gpus for one in found} == {hosts * 8}
    for one in found[::7]:
        engines = apply_changes(given, one.changes).recipe.engines
        assert {part.engine: part.replicas for part in one.parts} == {
            name: engine.replicas for name, engine in engines.items()
        }


def test_one_host_is_shared_by_both_roles(tmp_path: Path) -> None:
    """Of a model with a third of R1's layers, which four GPUs hold."""
    config = {**json.loads(R1_CONFIG.read_text()), "num_hidden_layers": 20}
    (tmp_path / "config.json").write_text(json.dumps(config))
    found = list(deployments(space_of("dsr1-disagg-8gpu", 1, "h200", f"model.path={tmp_path}")))
    assert {part.gpus for one in found for part in one.parts} == {4}


@pytest.mark.parametrize(
    ("recipe", "hosts", "words"),
    [
        ("dsr1-disagg-h200", 1, "needs 4 hosts of 8 GPUs"),
        ("tiny", 1, "runtime.device: is cpu"),
    ],
)
def test_what_has_no_place_is_refused(
    recipe: str, hosts: int, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DSR1_TINY_MODEL", "/m/DeepSeek-R1")
    monkeypatch.setenv("DSR1_TINY_VENV", "/v")
    with pytest.raises(InputError, match=words):
        space_of(recipe, hosts, "h200")


def test_knobs_are_turned_one_at_a_time_and_alike_on_both_sides() -> None:
    given = resolve_recipe("dsr1-disagg-h200", RecipeChanges())
    space = space_of("dsr1-disagg-h200", 4, "h200")
    made = {one.knob: one for one in variants(space.given, given.recipe)}
    assert set(made) <= set(KNOBS)
    assert {one.key for one in made["fp8 KV cache"].changes} == {
        "engines.prefill.args.kv-cache-dtype",
        "engines.decode.args.kv-cache-dtype",
    }
    for one in made.values():
        apply_changes(given, one.changes)


def predicted(space: Space) -> Prediction:
    return predict(space, "recorded", dict(recorded_tables("h200")), {}, GOAL)


def test_the_recipe_and_a_wide_layout_are_among_the_first() -> None:
    """Although what is known of wide ones argues against them."""
    given = resolve_recipe("dsr1-disagg-h200", RecipeChanges())
    space = space_of("dsr1-disagg-h200", 4, "h200")
    prediction = predicted(space)
    chosen = choose(space, prediction, GOAL, given)
    first = chosen.candidates[:3]
    assert first[0].name == next(iter(prediction.curves))
    assert any(one.is_given for one in first)
    assert any(one.is_wide for one in first)
    assert all(sweep.start >= 1 for sweep in chosen.sweeps)


def test_without_a_prediction_the_widest_come_first() -> None:
    given = resolve_recipe("dsr1-dep", RecipeChanges())
    space = space_of("dsr1-dep", 2, "h200")
    chosen = choose(space, Prediction("", {}, {}, {}), GOAL, given)
    assert chosen.sweeps[0].candidate == "dep16"
    assert [one.is_given for one in chosen.candidates].count(True) >= 1

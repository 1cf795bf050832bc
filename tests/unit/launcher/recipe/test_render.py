"""A resolved recipe reads back as the same, and says where every value came from."""

import json

import pytest

from dsr1.launcher.recipe.load import RecipeChanges, built_in_recipes, parse_recipe, resolve_recipe
from dsr1.launcher.recipe.render import render_resolved, resolved_values

HOSTILE = (
    "a b",
    "';id",
    "x,y",
    '{"a": "b"}',
    "# no comment",
    "a: b",
    "- a",
    "1e3",
    "yes",
    "é\u2028",
    "a\nb",
    "*x",
    "!t",
)


@pytest.mark.parametrize("name", sorted(built_in_recipes()))
def test_it_reads_back_as_the_same(name: str) -> None:
    resolved = resolve_recipe(name, RecipeChanges(model="/m", venv="/v"))
    assert parse_recipe(render_resolved(resolved), "again") == resolved.recipe


@pytest.mark.parametrize("value", HOSTILE)
def test_hostile_values_read_back_too(value: str) -> None:
    settings = (
        f"engines.main.env.A={json.dumps(value)}",
        f"engines.main.args={{load-format: {json.dumps(value)}}}",
    )
    resolved = resolve_recipe("dsr1-dep", RecipeChanges(settings=settings))
    assert resolved.recipe.engines["main"].env == {"A": value}
    assert parse_recipe(render_resolved(resolved), "again") == resolved.recipe


def test_what_is_vllms_own_is_kept_whole() -> None:
    raw = "{kv_connector: X, kv_connector_extra_config: {a: null, b: [], c: {}}}"
    resolved = resolve_recipe(
        "dsr1-dep", RecipeChanges(settings=(f"engines.main.kv_transfer={raw}",))
    )
    assert parse_recipe(render_resolved(resolved), "again") == resolved.recipe


def test_where_each_value_came_from() -> None:
    changes = RecipeChanges(("h200",), ("engines.main.max_num_seqs=200",), venv="/v")
    lines = render_resolved(resolve_recipe("dsr1-dep", changes)).splitlines()
    said = {line.split("#")[0].strip(): line.rpartition("#")[2].strip() for line in lines}
    assert said["max_num_seqs: 200"] == "--set engines.main.max_num_seqs=200"
    assert said["max_model_len: 131072"].startswith("dsr1-dep.yaml:")
    assert said["max_model_len: 131072"].endswith("(profile h200)")
    assert said["venv: /v"] == "--venv"
    assert said["port: 8000"] == "default"


def test_as_json_too() -> None:
    told = resolved_values(resolve_recipe("dsr1-disagg-h100", RecipeChanges()))
    assert told["recipe"]["engines"]["decode"]["max_num_seqs"] == 64
    assert told["sources"]["engines.decode.max_num_seqs"].endswith("(profile h100)")
    assert told["sources"]["name"] == "dsr1-disagg-h100.yaml:3"

"""A flag has one name whatever its spelling, and one row, from which everything else is read."""

import re
from pathlib import Path

import pytest

from dsr1.hosts.errors import InputError
from dsr1.hosts.inventory.host import Host, this_machine
from dsr1.launcher.importing.vllm.arguments import known_flags
from dsr1.launcher.importing.vllm.flag_handlers import HANDLERS
from dsr1.launcher.plan.plan import make_plan
from dsr1.launcher.preflight.draft import make_draft
from dsr1.launcher.preflight.requirements import make_requirements
from dsr1.launcher.recipe.engine import Dbo, Engine
from dsr1.launcher.recipe.flag_table import BY_NAME, RECIPE_FLAGS, SHORT_NAMES
from dsr1.launcher.recipe.flags import check_flags, flag_name
from dsr1.launcher.recipe.load import RecipeChanges, parse_recipe, resolve_recipe
from dsr1.launcher.recipe.models import Recipe
from dsr1.launcher.recipe.render import render_resolved

PAGE = Path(__file__).parents[4] / "docs" / "recipes.md"
TWO = (Host("a", "10.0.0.1", "eth0"), Host("b", "10.0.0.2", "eth1"))


def recipe_with(args: str, more: str = "") -> Recipe:
    text = f"name: t\nmodel: {{path: /m}}\nengines:\n  main: {{{more}args: {{{args}}}}}\n"
    return parse_recipe(text, "t.yaml")


def command(recipe: Recipe, hosts: tuple[Host, ...] = TWO) -> str:
    return " ".join(make_plan(recipe, hosts, "r", "/r").processes[-1].argv)


@pytest.mark.parametrize("key", ["load-format", "load_format", "--load-format", "--load_format"])
def test_every_spelling_of_dummy_weights_is_seen(key: str) -> None:
    recipe = recipe_with(f"{key}: dummy")
    assert recipe.is_meaningless
    assert not recipe.reads_weights
    assert not make_requirements(make_draft(recipe, TWO)).weights
    assert command(recipe).count("--load-format dummy") == 1


@pytest.mark.parametrize("key", ["distributed_timeout_seconds", "--distributed-timeout-seconds"])
def test_a_timeout_of_the_recipes_is_given_once(key: str) -> None:
    found = re.findall(r"--distributed\S+ \d+", command(recipe_with(f"{key}: 60")))
    assert found == ["--distributed-timeout-seconds 60"]


@pytest.mark.parametrize(
    "args",
    [
        "no-enable-chunked-prefill: true",
        "--no_enable_chunked_prefill: true",
        "enable_chunked_prefill: false",
    ],
)
def test_prompts_must_fit_whole_without_chunks(args: str) -> None:
    sizes = "max_num_batched_tokens: 64, max_model_len: 128, "
    with pytest.raises(InputError, match="without chunked prefill it must reach max_model_len"):
        recipe_with(args, sizes)
    assert recipe_with("no-enable-chunked-prefill: false", sizes)


@pytest.mark.parametrize(
    ("args", "written"),
    [
        ("no-x: true", "--no-x"),
        ("no-x: false", "--x"),
        ("no_x: true", "--no-x"),
        ("x: false", "--no-x"),
        ("x: null", ""),
        ("-q: fp8", "--quantization fp8"),
        ("-O: 2", "--optimization-level 2"),
        ("some_config.key_of.Model_A: 1", "--some-config.key_of.Model_A 1"),
    ],
)
def test_a_flag_is_written_by_its_one_name(args: str, written: str) -> None:
    words = command(recipe_with(args, "ranks_per_node: 1, "), this_machine(1, 8))
    assert words.partition(" --enable-expert-parallel")[2] == f" {written}".rstrip()


@pytest.mark.parametrize(
    ("args", "first", "second", "name"),
    [
        ("load_format: auto, load-format: dummy", "load_format", "load-format", "load-format"),
        ("--seed: 1, seed: 1", "--seed", "seed", "seed"),
        ("x: true, no-x: false", "x", "no-x", "x"),
        ("-q: a, quantization: b", "-q", "quantization", "quantization"),
    ],
)
def test_a_flag_given_twice_names_both_keys(args: str, first: str, second: str, name: str) -> None:
    wanted = f"t.yaml:4: engines.main.args: '{first}' and '{second}' are one flag, --{name}: keep"
    with pytest.raises(InputError, match=re.escape(wanted)):
        recipe_with(args)
    with pytest.raises(ValueError, match="are one flag"):
        Engine(args={first: "a", second: "b"} if name != "x" else {"x": True, "no-x": False})


@pytest.mark.parametrize(
    "key",
    [
        "max_model_len",
        "--max-model-len",
        "-tp",
        "-dp",
        "-cc",
        "compilation-config.mode",
        "--kv_transfer_config.kv_role",
        "no-enable-eplb",
    ],
)
def test_a_flag_with_a_key_of_its_own_is_refused_in_every_spelling(key: str) -> None:
    with pytest.raises(InputError, match="is set by the recipe's own key"):
        recipe_with(f"{key}: true")


@pytest.mark.parametrize("key", ["Load-Format", "load format", "-x", "---x", "a=b", "", "é"])
def test_what_vllm_takes_for_no_flag_is_refused(key: str) -> None:
    with pytest.raises(InputError, match="is not a flag's name"):
        recipe_with(f"{key!r}: true")


def test_a_no_form_takes_no_value() -> None:
    with pytest.raises(InputError, match="'no-x' takes no value but true or false"):
        recipe_with("no-x: 3")


def test_overrides_are_read_with_their_dotted_part() -> None:
    (engine,) = recipe_with("hf_overrides: {a: 1, b: {c: 2}}, hf-overrides.b.d: 3").engines.values()
    assert engine.overrides == {"a": 1, "b": {"c": 2, "d": 3}}


def test_a_later_layer_changes_what_an_earlier_one_spelled_otherwise(tmp_path: Path) -> None:
    base, own = tmp_path / "base.yaml", tmp_path / "own.yaml"
    base.write_text(
        "name: base\nmodel: {path: /m}\n"
        "engines: {main: {args: {load_format: dummy, --seed: 1, no-x: true, y: 1}}}\n"
        "profiles: {p: {engines: {main: {args: {--load_format: p}}}}}\n"
    )
    own.write_text("name: own\nextends: base.yaml\nengines: {main: {args: {load-format: auto}}}\n")
    changes = RecipeChanges(
        settings=(
            "engines.main.args.--no-x=false",
            "engines.main.args.y=null",
            "frontend.args={a_b: 1}",
        )
    )
    found = resolve_recipe(str(own), changes)
    assert found.recipe.engines["main"].args == {
        "load-format": "auto",
        "seed": 1,
        "x": True,
        "y": None,
    }
    assert found.recipe.frontend.args == {"a-b": 1}
    shown = render_resolved(found)
    assert re.search(rf"load-format: auto +# {own}:3", shown)
    assert re.search(rf"seed: 1 +# {base}:3", shown)
    assert re.search(r"x: true +# --set engines\.main\.args\.--no-x=false", shown)
    profile = resolve_recipe(str(base), RecipeChanges(profiles=("p",)))
    assert profile.recipe.engines["main"].args["load-format"] == "p"


def test_names_are_what_they_are() -> None:
    """Checking twice changes nothing, and no flag of vLLM's or Dynamo's is refused as none."""
    for program in ("worker", "frontend"):
        known = known_flags(program)
        assert all(flag_name(name) == name for name in known.kinds)
        free = dict.fromkeys((name for name in known.kinds if name not in BY_NAME), True)
        assert check_flags(check_flags(free)) == free


def test_short_names_are_those_of_vllm() -> None:
    assert {**known_flags("worker").shorts, "-O": "optimization-level"} == SHORT_NAMES


OF_SERVERS = ("host", "port", "ssl-certfile", "ssl-keyfile", "api-key")
"""Of `vllm serve`, which Dynamo's workers have not."""


def test_one_row_ties_the_recipes_key_vllms_flag_and_the_import() -> None:
    assert len(BY_NAME) == len(RECIPE_FLAGS)
    sections = {"model", "frontend", "ports"}
    known = {*OF_SERVERS, *known_flags("worker").kinds, *known_flags("frontend").kinds}
    for row in RECIPE_FLAGS:
        first, _, inner = row.key.partition(".")
        assert first in Engine.model_fields or (inner and first in sections), row
        assert not inner or first in sections or inner in Dbo.model_fields, row
        assert not row.attribute or hasattr(Engine(), row.attribute), row
        assert row.name in known, row
        assert (row.name in HANDLERS) == (row.kind != "dsr1's own"), row
    assert HANDLERS.keys() - BY_NAME.keys() == {"attention-config", "pipeline-parallel-size"}


def test_the_page_has_every_key_of_an_engine_with_its_flags() -> None:
    table = PAGE.read_text().partition("## Engines\n")[2].partition("\n## ")[0]
    rows = [line.split("|")[1:3] for line in table.splitlines() if line.startswith("| `")]
    documented = {
        key: set(re.findall(r"`--([\w-]+)`", flags))
        for keys, flags in rows
        for key in re.findall(r"`(\w+)`", keys)
    }
    assert documented.keys() == Engine.model_fields.keys()
    for row in RECIPE_FLAGS:
        key = row.key.partition(".")[0]
        assert key not in documented or row.name in documented[key], row
    assert {flag for flags in documented.values() for flag in flags} <= BY_NAME.keys()


def test_every_field_of_an_engine_is_in_the_table_or_dsr1s_own() -> None:
    keys = {row.key.partition(".")[0] for row in RECIPE_FLAGS}
    assert Engine.model_fields.keys() - keys == {"replicas", "args", "env"}

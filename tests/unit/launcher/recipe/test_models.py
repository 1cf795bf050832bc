"""A recipe's errors name the line, the key and what is allowed."""

import pytest

from dsr1.hosts.errors import InputError
from dsr1.launcher.recipe.load import RecipeChanges, built_in_recipes, parse_recipe, resolve_recipe

GOOD = "name: a\nmodel: {path: /m}\nengines:\n  main: {nodes: 1}\n"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (GOOD + "engine: 1\n", r"f\.yaml:5: engine: unknown key \(did you mean engines\?\)"),
        (
            "name: a\nmodel: {path: /m}\nengines:\n  main:\n    max_num_seq: 3\n",
            r":5: engines\.main\.max_num_seq: unknown",
        ),
        (GOOD.replace("nodes: 1", "nodes: two"), r":4: engines\.main\.nodes: .*'two'"),
        (GOOD + "name: b\n", "f.yaml:5: key 'name' appears twice"),
        (GOOD + "spares: [node3, '$(id)']\n", "spares: .*is not a host's name"),
        (GOOD + "security: no way\n", "security: must be 'tls' or 'off'"),
        (GOOD + "spares: [a, a]\n", "spares: a named more than once"),
        ("- 1\n", "a recipe is a mapping"),
        ("a: [\n", r"f\.yaml:\d+: not YAML"),
        ("name: a\nengines: {main: {}}\n", "model: is missing"),
        (
            GOOD.replace("nodes: 1", "args: {data-parallel-rank: 1}"),
            "recipe's own key: layout: per_gpu",
        ),
        (
            GOOD.replace("nodes: 1", "max_num_seqs: 512, all2all_backend: deepep_low_latency"),
            "at least max_num_seqs",
        ),
        (GOOD + "ports:\n  ? [a, b]\n  : 2\n", r"f\.yaml:6: a list or a mapping can't be a key"),
        (GOOD + "? {a: b}\n: 2\n", r"f\.yaml:5: a list or a mapping can't be a key"),
        (
            GOOD.replace("nodes: 1", "args: {hf-overrides: {1: 2}}"),
            r"f\.yaml:4: key '1' is not text",
        ),
        (GOOD + "on: 1\n", r"f\.yaml:5: key 'on' is not text to YAML; put it in quotes"),
        (GOOD + "timeouts: {ready: .inf}\n", r"f\.yaml:5: timeouts\.ready: .*finite"),
        (GOOD + "health: {every: 1s, patience: 9}\n", r"f\.yaml:5: health: .*1\.8s at least"),
        (GOOD + "health: {patience: 0}\n", r"f\.yaml:5: health\.patience: "),
        (GOOD + "health: off\n", r"f\.yaml:5: health: "),
        (GOOD + "hooks: {failed: page me}\n", r"f\.yaml:5: hooks\.failed: "),
        (GOOD + "hooks: {failed: [a], timeout: 1h}\n", r"f\.yaml:5: hooks\.timeout: .*50"),
        (GOOD + "timeouts: {ready: .nan}\n", r"f\.yaml:5: timeouts\.ready: "),
        (GOOD + "timeouts: {ready: 1e300}\n", r"f\.yaml:5: timeouts\.ready: .* 2592000"),
        (GOOD.replace("nodes: 1", "nodes: 1000000000"), r"engines\.main\.nodes: .* 1024 "),
        (GOOD.replace("nodes: 1", "replicas: 1000000000"), r"engines\.main\.replicas: .* 1024 "),
        (
            GOOD.replace("nodes: 1", "ranks_per_node: 1000"),
            r"engines\.main\.ranks_per_node: .* 64 ",
        ),
        (
            GOOD.replace("nodes: 1", "data_parallel_size: 1000000"),
            r"engines\.main\.data_parallel_size: .* 16384 ",
        ),
        (
            GOOD.replace("nodes: 1", "nodes: 1024, replicas: 2"),
            "ask for 2048 nodes in all; dsr1 places at most 1024",
        ),
        (
            GOOD.replace("nodes: 1", "nodes: 1024, ranks_per_node: 64"),
            "ask for 65536 ranks in all; .* 16384",
        ),
        (
            GOOD.replace("nodes: 1", "replicas: 4, data_parallel_size: 16384"),
            "ask for 65536 ranks in all",
        ),
        (
            GOOD.replace("main", "frontend") + "frontend: {replicas: 2}\n",
            r"engines\.frontend: is the name of a process beside the engines",
        ),
        (GOOD + "frontend: {replicas: 1000000}\n", r"frontend\.replicas: .* 1024 "),
        ("a: &x [1]\nb: *x\n", "aliases"),
    ],
)
def test_bad_recipes_say_where_and_what(text: str, wanted: str) -> None:
    with pytest.raises(InputError, match=wanted):
        parse_recipe(text, "f.yaml")


@pytest.mark.parametrize("word", ["off", "'off'", "OFF"])
def test_off_is_a_word_though_yaml_has_it_for_false(word: str) -> None:
    assert parse_recipe(f"{GOOD}security: {word}\n", "f.yaml").security == "off"


def test_changes_reach_any_key() -> None:
    recipe = parse_recipe(GOOD, "f.yaml", ["engines.main.max_num_seqs=7", "frontend.port=9000"])
    assert (recipe.engines["main"].max_num_seqs, recipe.frontend.port) == (7, 9000)


@pytest.mark.parametrize("name", sorted(built_in_recipes()))
def test_built_in_recipes_are_good(name: str) -> None:
    assert resolve_recipe(name, RecipeChanges(model="/m", venv="/v")).recipe.name == name


def test_unset_variable_is_named() -> None:
    with pytest.raises(InputError, match=r"needs the environment variable NOT_SET_ANYWHERE"):
        parse_recipe(GOOD.replace("/m", "$NOT_SET_ANYWHERE/m"), "f.yaml")


@pytest.mark.parametrize(
    ("speculation", "drafts"),
    [
        ("{method: eagle3, model: /models/draft, num_speculative_tokens: 3}", ("/models/draft",)),
        ("{model: org/draft, num_speculative_tokens: 3}", ("org/draft",)),
        ("{method: deepseek_mtp, model: /m, num_speculative_tokens: 1}", ()),
        ("{method: ngram, num_speculative_tokens: 3}", ()),
        ("{model: /m}", ()),
        ("{model: 7}", ()),
    ],
)
def test_models_that_draft(speculation: str, drafts: tuple[str, ...]) -> None:
    recipe = parse_recipe(GOOD, "f.yaml", [f"engines.main.args.speculative-config={speculation}"])
    assert recipe.draft_models == drafts
    dotted = [f"engines.main.args.speculative-config.model={drafts[0]}"] if drafts else []
    assert parse_recipe(GOOD, "f.yaml", dotted).draft_models == drafts[: len(dotted)]

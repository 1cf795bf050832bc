"""Recipes in layers: extends, profiles, --set; which value wins and where it is said to come
from."""

from pathlib import Path

import pytest

from dsr1.hosts.errors import InputError
from dsr1.launcher.recipe.layers import location_of
from dsr1.launcher.recipe.load import RecipeChanges, resolve_recipe

BASE = """name: base
model: {path: /m}
engines:
  main:
    nodes: 1
    max_num_seqs: 64
    env: {A: a, B: b}
profiles:
  small:
    engines:
      main: {max_num_seqs: 8}
"""
OWN = """name: own
extends: base.yaml
engines:
  main:
    env: {B: c}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "base.yaml").write_text(BASE)
    (tmp_path / "own.yaml").write_text(OWN)
    return tmp_path


def test_a_recipe_keeps_what_it_extends(folder: Path) -> None:
    """A file that is extended lies beside the one that names it."""
    found = resolve_recipe(str(folder / "own.yaml"), RecipeChanges())
    main = found.recipe.engines["main"]
    assert (found.recipe.name, main.max_num_seqs, main.env) == ("own", 64, {"A": "a", "B": "c"})
    assert location_of(found.tree, ("engines", "main", "max_num_seqs")) == f"{folder}/base.yaml:6"
    assert location_of(found.tree, ("engines", "main", "env", "B")) == f"{folder}/own.yaml:5"


def test_profile_then_setting_then_option(folder: Path) -> None:
    changes = RecipeChanges(
        ("small",), ("engines.main.env.A=z", "runtime.venv=/x"), model="/n: 1", venv="/v"
    )
    found = resolve_recipe(str(folder / "own.yaml"), changes)
    main = found.recipe.engines["main"]
    assert (main.max_num_seqs, main.env["A"], found.recipe.model.path) == (8, "z", "/n: 1")
    assert found.recipe.runtime.venv == "/v"
    assert (
        location_of(found.tree, ("engines", "main", "max_num_seqs"))
        == f"{folder}/base.yaml:11 (profile small)"
    )
    assert location_of(found.tree, ("engines", "main", "env", "A")) == "--set engines.main.env.A=z"
    assert location_of(found.tree, ("runtime", "venv")) == "--venv"
    assert location_of(found.tree, ("frontend", "port")) == f"{folder}/own.yaml"


def test_a_sites_own_file_is_a_profile(folder: Path) -> None:
    site = folder / "site.yaml"
    site.write_text("runtime:\n  env: {HF_HOME: /scratch}\nports: {base: 21000}\n")
    found = resolve_recipe(str(folder / "own.yaml"), RecipeChanges((str(site),)))
    assert (found.recipe.ports.base, found.recipe.runtime.env) == (21000, {"HF_HOME": "/scratch"})
    assert location_of(found.tree, ("ports", "base")) == f"{site}:3"


def test_a_setting_replaces_a_mapping_whole(folder: Path) -> None:
    found = resolve_recipe(
        str(folder / "own.yaml"), RecipeChanges(settings=("engines.main={nodes: 2}",))
    )
    assert (found.recipe.engines["main"].nodes, found.recipe.engines["main"].env) == (2, {})


def test_the_models_own_config_tells_its_experts(folder: Path) -> None:
    model = folder / "m"
    model.mkdir()
    (model / "config.json").write_text('{"n_routed_experts": 16}')
    found = resolve_recipe(str(folder / "own.yaml"), RecipeChanges(model=str(model)))
    assert found.recipe.model.routed_experts == 16
    (model / "config.json").write_bytes(b"\xff[")
    assert (
        resolve_recipe(
            str(folder / "own.yaml"), RecipeChanges(model=str(model))
        ).recipe.model.routed_experts
        is None
    )


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("name: a\nextends: own.yaml\n", r"own.yaml:2: extends: .* extends what extends it"),
        ("name: a\nextends: nowhere\n", "no recipe 'nowhere'"),
        ("name: a\nextends: [base.yaml]\n", "own.yaml:2: extends: is"),
        (
            "name: a\nextends: base.yaml\nprofile: smal\n",
            r"own.yaml:3: profile: no such profile \(did you mean small",
        ),
        ("name: a\nextends: base.yaml\nprofiles: {x: 3}\n", "own.yaml:3: profiles.x: is 3"),
        ("name: a\nextends: base.yaml\nprofiles: 3\n", "own.yaml:3: profiles: is 3"),
        (
            (
                "name: a\nextends: base.yaml\nprofile: x\nprofiles: {x: {engines: {main: {nods:"
                " 3}}}}\n"
            ),
            r"own.yaml:4 \(profile x\): engines.main.nods: unknown key \(did you mean nodes",
        ),
        ("name: a\nextends: base.yaml\nengines: {main: 3}\n", "own.yaml:3: engines.main: "),
        (
            "name: a\nextends: base.yaml\nprofile: own.yaml\n",
            "own.yaml:2: extends: is for a recipe",
        ),
    ],
)
def test_layers_that_are_none(folder: Path, text: str, wanted: str) -> None:
    (folder / "own.yaml").write_text(text)
    with pytest.raises(InputError, match=wanted):
        resolve_recipe(str(folder / "own.yaml"), RecipeChanges())


@pytest.mark.parametrize("setting", ["a", "=1", "a..b=1", "name.x=1", "engines.main.env.A.b=1"])
def test_settings_that_are_none(folder: Path, setting: str) -> None:
    with pytest.raises(InputError, match=f"--set {setting.split('=')[0]}"):
        resolve_recipe(str(folder / "own.yaml"), RecipeChanges(settings=(setting,)))


def test_a_chain_of_recipes_has_an_end(folder: Path) -> None:
    for number in range(40):
        (folder / f"c{number}.yaml").write_text(f"name: c\nextends: c{number + 1}.yaml\n")
    with pytest.raises(
        InputError, match=r"c33\.yaml:2: extends: c34\.yaml is more than 32 recipes below"
    ):
        resolve_recipe(str(folder / "c0.yaml"), RecipeChanges())


def test_a_file_without_end_is_no_recipe() -> None:
    with pytest.raises(InputError, match="larger than"):
        resolve_recipe("/dev/zero", RecipeChanges())


def test_a_recipe_can_be_looked_at_without_its_variables() -> None:
    assert (
        resolve_recipe("tiny", RecipeChanges(keep_unset=True)).recipe.model.path
        == "$DSR1_TINY_MODEL"
    )
    with pytest.raises(InputError, match="needs the environment variable DSR1_TINY_MODEL"):
        resolve_recipe("tiny", RecipeChanges())


def test_yaml_that_is_too_deep_is_an_error_like_any_other(folder: Path) -> None:
    (folder / "own.yaml").write_text("a: " + "[" * 100_000)
    with pytest.raises(InputError, match=r"own\.yaml"):
        resolve_recipe(str(folder / "own.yaml"), RecipeChanges())


@pytest.mark.parametrize(
    "written", ["010", "1.10", "yes", "0x10", "1_000", "2024-01-01", "1e3", '"010"']
)
def test_a_variable_is_text_as_it_is_written(folder: Path, written: str) -> None:
    wanted = written.strip('"')
    (folder / "own.yaml").write_text(OWN.replace("B: c", f"B: {written}"))
    assert (
        resolve_recipe(str(folder / "own.yaml"), RecipeChanges()).recipe.engines["main"].env["B"]
        == wanted
    )
    for setting in (f"engines.main.env.A={written}", f"engines.main.env={{A: {written}}}"):
        found = resolve_recipe(str(folder / "own.yaml"), RecipeChanges(settings=(setting,)))
        assert found.recipe.engines["main"].env["A"] == wanted


def test_an_engine_may_be_called_env(folder: Path) -> None:
    (folder / "own.yaml").write_text("name: a\nmodel: {path: /m}\nengines:\n  env: {nodes: 2}\n")
    assert (
        resolve_recipe(str(folder / "own.yaml"), RecipeChanges()).recipe.engines["env"].nodes == 2
    )


def test_a_setting_may_be_empty_text(folder: Path) -> None:
    found = resolve_recipe(
        str(folder / "own.yaml"), RecipeChanges(settings=("engines.main.env.A=",))
    )
    assert found.recipe.engines["main"].env["A"] == ""


@pytest.mark.parametrize(
    ("setting", "wanted"),
    [
        ("engines.main.args={a: 1, a: 2}", "key 'a' appears twice"),
        ("engines.main.args={a: &x [1], b: *x}", r"aliases \(\*name\) are not allowed"),
        ("engines.main.args={a: !!python/object/apply:os.system [id]}", "tags .* not allowed"),
        ("engines.main.args={a: .nan}", "engines.main.args.a: "),
        ("engines.main.args={a: {b: .inf}}", "must become JSON"),
        ("engines.main.compilation_config={a: 2024-01-01}", "must become JSON .*quotes"),
        ("engines.main.kv_transfer={kv_connector: X, a: !!set {b}}", "tags .* not allowed"),
        ("name=Ä", "a name has lower case"),
        ("engines.main.nodes=0", r"nodes: must be more than 0 or 'all' \(seen: 0\)$"),
        ("engines.main.max_model_len=4294967296", "max_model_len: must be less than"),
        ("engines.main.nodes=1.5", r"must be a whole number or 'all' \(seen: 1.5\)$"),
        ("engines.main.env=x", r"env: must be a mapping of keys and values \(seen: 'x'\)$"),
        ("spares=a", r"spares: must be a list \(seen: 'a'\)$"),
        ("restart.max=x", r"restart.max: must be a whole number \(seen: 'x'\)$"),
        ("timeouts.ready=1w", "timeouts.ready: must be a span of time in seconds, or with a unit"),
        ("timeouts.ready=99d", r"timeouts.ready: must be at most 2592000 "),
        ("ports.base=1", r"ports.base: must be at least 1024 \(seen: 1\)$"),
        ("ENGINES.x=1", "^--set ENGINES.x=1: ENGINES: unknown key"),
    ],
)
def test_a_setting_is_as_strict_as_a_file(folder: Path, setting: str, wanted: str) -> None:
    with pytest.raises(InputError, match=wanted):
        resolve_recipe(str(folder / "own.yaml"), RecipeChanges(settings=(setting,)))


@pytest.mark.parametrize("keep_unset", [False, True])
@pytest.mark.parametrize("key", ["model.path", "runtime.python", "runtime.venv"])
@pytest.mark.parametrize(
    "value", ["$HF_TOKEN", "/m/${HF_TOKEN}", "~/${DBPASSWORD:-x}", "/a/$PLAIN/b", "$API_KEY"]
)
def test_no_secret_becomes_a_path(
    folder: Path, monkeypatch: pytest.MonkeyPatch, key: str, value: str, keep_unset: bool
) -> None:
    """Which would stand in plans, arguments and logs."""
    for name in ("HF_TOKEN", "DBPASSWORD", "API_KEY"):
        monkeypatch.setenv(name, "sekrit2")
    monkeypatch.setenv("PLAIN", "hf_Sekrit2Sekrit2")
    part, _, name = key.partition(".")
    (folder / "own.yaml").write_text(f"extends: dsr1-dep\nname: own\n{part}:\n  {name}: {value}\n")
    with pytest.raises(InputError, match=rf"own\.yaml:4: {key}: .* looks like a secret") as caught:
        resolve_recipe(str(folder / "own.yaml"), RecipeChanges(keep_unset=keep_unset))
    assert "ekrit2" not in str(caught.value)


def test_nor_does_one_by_an_option(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "sekrit2")
    with pytest.raises(InputError, match="looks like a secret"):
        resolve_recipe("dsr1-dep", RecipeChanges(model="/m/$HF_TOKEN"))

"""explain, schema, what the shell completes, and the words for input that is nearly right."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dsr1.launcher.cli.about.explain import read_sections
from dsr1.launcher.cli.about.schema import FORMS, make_schema
from dsr1.launcher.cli.main import main
from dsr1.launcher.cli.options import completion
from dsr1.launcher.preflight.preflight import CHECKS
from dsr1.launcher.recipe.load import BUILT_IN, built_in_recipes, load_recipe
from dsr1.launcher.run.store import new_run

Call = Callable[..., tuple[int, str, str]]
SCHEMA_FILE = BUILT_IN / "recipe.schema.json"


@pytest.fixture
def call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Call:
    monkeypatch.setenv("DSR1_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("DSR1_TINY_MODEL", raising=False)
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["dsr1", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return run


def test_every_check_is_explained(call: Call) -> None:
    assert set(CHECKS) <= set(read_sections())
    code, said, _ = call("explain", "gpu.xid")
    assert (code, said.splitlines()[0], "fell off the bus" in said) == (0, "gpu.xid", True)
    assert call("explain", "gpu")[1].count("\n\ngpu.") > 10


@pytest.mark.parametrize("form", FORMS)
def test_a_schema_is_of_every_key(call: Call, form: str) -> None:
    told = json.loads(call("schema", form)[1])
    assert told == json.loads(json.dumps(make_schema(form)))
    assert set(FORMS[form].model_fields) <= set(told["properties"])
    assert told["additionalProperties"] is False


def test_built_in_recipes_name_their_schema_to_editors() -> None:
    """`dsr1 schema > FILE` writes it anew; a copy of a recipe elsewhere needs one beside it."""
    line = f"# yaml-language-server: $schema={SCHEMA_FILE.name}"
    recipes = list(BUILT_IN.glob("*.yaml"))
    assert [one.name for one in recipes if one.read_text().splitlines()[0] != line] == []
    assert json.loads(SCHEMA_FILE.read_text()) == json.loads(json.dumps(make_schema("recipe")))


NEARLY = (
    (("explain", "gpu.xi"), "did you mean gpu.xid?"),
    (("schema", "sit"), "did you mean site?"),
    (("plan", "deepseek-ai/DeepSeek-R1"), "is a model, not a recipe; did you mean --model"),
    (("plan", "--no-facts", "--set", "model=/m"), "write model: {path: /m}"),
    (("plan", "--no-facts", "--set", "ports=21000"), "write ports: {base: 21000}"),
    (("check", "--only", "gpuu"), "'gpuu' is no check (did you mean gpu or gpu.count?)"),
    (("check", "--only", "zzz"), "kinds are gpu"),
    (("plan", "tiny", "--no-facts"), "`make model` in a checkout"),
    (("plan", "--no-facts", "--set", "runtime.python=apptainer exec x.sif python"), "containers"),
    (("plan", "--no-facts", "--set", "runtime.python=/usr/bin/docker run x python"), "containers"),
    (("plan", "--no-facts", "--set", "runtime.python=python3 -u"), "must be one program"),
    (("plan", "no/such.yaml"), "no/such.yaml: can't be read"),
    (("plan", "folder"), "is a model's folder"),
)


@pytest.mark.parametrize(("words", "said"), NEARLY)
def test_what_is_nearly_right_gets_the_way_out(
    call: Call, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/config.json").write_text("{}")
    code, _, told = call(*words)
    assert (code, said in told, told.startswith("dsr1: ")) == (2, True, True), told
    assert len(told) < 500


def test_a_python_in_a_folder_with_a_blank_is_one() -> None:
    recipe = load_recipe("dsr1-dep", ["runtime.python=/opt/my env/bin/python"])
    assert recipe.runtime.interpreter == "/opt/my env/bin/python"


def test_what_the_shell_completes(call: Call, tmp_path: Path) -> None:
    new_run("r1").claim(load_recipe("dsr1-dep"), "starting")
    (tmp_path / "dsr1.yaml").write_text("hosts: {h100: a, h200: b}\n")
    assert completion.complete_runs("r") == ["r1"]
    assert completion.complete_recipes("dsr1-d") == [
        n for n in built_in_recipes() if n.startswith("dsr1-d")
    ]
    assert completion.complete_sets("h1") == ["h100"]
    assert completion.complete_checks("gpu")[:2] == ["gpu", "gpu.count"]
    assert completion.complete_keys("timeouts.re") == ["timeouts.ready="]
    assert "engines.main.max_num_seqs=" in completion.complete_keys("engines.")
    (tmp_path / "dsr1.yaml").write_text("hosts: [\n")
    assert completion.complete_sets("") == []

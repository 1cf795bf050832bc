"""Hostile values of a manifest reach the recipe as they are, and no shell, comment or terminal on
the way."""

import sys
from pathlib import Path

import pytest
import yaml

from dsr1.launcher.cli.main import main
from dsr1.launcher.importing.importer import import_manifest
from dsr1.launcher.importing.proof import prove
from dsr1.launcher.importing.rendering import one_line, render_imported_recipe, render_notes
from dsr1.launcher.recipe.load import parse_recipe

HOSTILE = (
    "$(id)",
    "';id",
    '"; id; "',
    "`id`",
    "a b",
    "x,y",
    '{"a": 1}',
    "one\ntwo",
    "\x85\u2028x",
    "\x1b[2J",
    "# x",
    "!x",
)


def manifest(value: str, as_script: bool = False) -> str:
    words = ["--model", "/m", "--served-model-name", value, "--load-format", value]
    container = {
        "image": value,
        "workingDir": value,
        "env": [
            {"name": "A", "value": value},
            {"name": "B", "valueFrom": {"secretKeyRef": {"name": value, "key": value}}},
        ],
        "command": ["python3", "-m", "dynamo.vllm"],
        "args": words,
    }
    if as_script:
        container |= {
            "command": ["sh", "-c"],
            "args": ['python3 -m dynamo.vllm --model /m --load-format "$A"'],
        }
    spec = {
        "services": {
            f"W{value}": {"componentType": "worker", "extraPodSpec": {"mainContainer": container}}
        }
    }
    head = {"apiVersion": "nvidia.com/v1alpha1", "kind": "DynamoGraphDeployment"}
    metadata = {"name": value, "annotations": {value: value}}
    return yaml.safe_dump({**head, "metadata": metadata, "spec": spec, value: value})


@pytest.mark.parametrize("as_script", [False, True])
@pytest.mark.parametrize("value", HOSTILE)
def test_values_come_out_as_they_went_in(value: str, as_script: bool) -> None:
    result = import_manifest(manifest(value, as_script), "f.yaml")
    rendered = render_imported_recipe(result, f"f{value}.yaml")
    prove(result, rendered, "f.yaml")
    (engine,) = parse_recipe(rendered, "r.yaml").engines.values()
    assert engine.env == {"A": value}
    assert engine.args["load-format"] == ({"a": 1} if value.startswith("{") else value)
    assert all(line.startswith("#") for line in rendered.split("name: ")[0].splitlines())
    assert all(one_line(line).isprintable() for line in render_notes(result.notes))


@pytest.mark.parametrize("value", HOSTILE)
def test_messages_stay_on_their_lines(
    value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "m.yaml"
    file.write_text(manifest(value).replace("load-format", "no-such-flag"))
    monkeypatch.setattr(sys, "argv", ["dsr1", "import", str(file)])
    with pytest.raises(SystemExit):
        main()
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 2
    assert error.replace("\n", "").isprintable()


def test_secrets_in_clear_are_not_copied() -> None:
    text = manifest("x").replace("name: A\n", "name: HF_TOKEN\n")
    result = import_manifest(text.replace("value: x", "value: hf_in_clear"), "f.yaml")
    assert "hf_in_clear" not in render_imported_recipe(result, "f.yaml")
    assert any("HF_TOKEN: a secret" in note.text for note in result.notes)

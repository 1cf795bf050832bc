"""A secret of a manifest is in no note and no recipe, however it is written."""

import json
from typing import Any

import pytest

from dsr1.launcher.importing.importer import Imported, import_manifest
from dsr1.launcher.importing.rendering import render_imported_json, render_imported_recipe
from dsr1.launcher.importing.shell.secrecy import conceal, is_secret

SECRET = "hf_SECRETVALUE"


def imported(keep_unknown: bool = False, **container: Any) -> Imported:
    worker = {"componentType": "worker", "extraPodSpec": {"mainContainer": container}}
    head = {
        "apiVersion": "nvidia.com/v1alpha1",
        "kind": "DynamoGraphDeployment",
        "metadata": {"name": "a"},
    }
    return import_manifest(
        json.dumps({**head, "spec": {"services": {"decode": worker}}}), "f.yaml", "", keep_unknown
    )


@pytest.mark.parametrize(
    "command",
    [
        f"HF_TOKEN={SECRET} huggingface-cli download x",
        f"curl -H 'Authorization: Bearer {SECRET}' https://x",
        "curl -H 'Authorization: Basic SECRETVALUE' https://x",
        "curl -H 'X-Api-Key: SECRETVALUE' https://x",
        "curl -u me:SECRETVALUE https://x",
        "git clone https://me:SECRETVALUE@host/x",
        "fetch --token SECRETVALUE",
        "fetch --api-key=SECRETVALUE",
        "fetch --password 'my SECRETVALUE'",
        "DB_PASS='my SECRETVALUE'",
        "DB_PASS=SECRETVALUE; fetch x-$DB_PASS",
        "export DB_PASS=SECRETVALUE; fetch --model $DB_PASS",
        "bash -c 'HF_TOKEN=SECRETVALUE fetch --secret SECRETVALUE'",
        """curl -d '{"api_key": "SECRETVALUE"}' https://x""",
        f"echo {SECRET} >/x",
        f"echo x >/x-{SECRET}",
        "fetch $(curl --token SECRETVALUE)",
        "false && export DB_PASS=SECRETVALUE",
        "cat >x <<EOF\nSECRETVALUE\nEOF",
        "export A=$(curl --token SECRETVALUE)",
    ],
)
def test_a_secret_in_a_script_is_copied_nowhere(command: str) -> None:
    script = f"{command}\nexec python3 -m dynamo.vllm --model m"
    result = imported(command=["bash", "-c"], args=[script])
    assert result.recipe["model"]["path"] == "m"
    assert "SECRETVALUE" not in render_imported_recipe(result, "d.yaml") + render_imported_json(
        result
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DB_PASS", "sekrit2"),
        ("SSH_PASSPHRASE", "sekrit2"),
        ("GITHUB_PAT", "sekrit2"),
        ("PRIVATE_KEY_PEM", "sekrit2"),
        ("PLAIN", "hf_Sekrit2abc"),
        ("PLAIN", "sk-sekrit2abc"),
        ("PLAIN", "ghp_sekrit2abc"),
        ("PLAIN", "postgres://me:sekrit2@host/x"),
        ("DB_PASSWORD", "sekrit2${MORE}"),
    ],
)
def test_a_secret_variable_is_asked_for(name: str, value: str) -> None:
    result = imported(args=["--model", "m"], env=[{"name": name, "value": value}])
    text = render_imported_recipe(result, "d.yaml")
    assert f"{name}: a secret" in text
    assert "ekrit2" not in text


@pytest.mark.parametrize(
    "flag", [["--api-key", "sekrit2"], ["--hub-token=sekrit2"], ["--odd", "hf_sekrit2"]]
)
def test_a_secret_flag_is_not_passed_on(flag: list[str]) -> None:
    result = imported(keep_unknown=True, args=["--model", "m", *flag])
    text = render_imported_recipe(result, "d.yaml")
    assert "a secret, which is not copied" in text
    assert "sekrit2" not in text


@pytest.mark.parametrize(
    "name", ["PATH", "VLLM_COMPASS", "MAX_TOKENS", "KEY_PATH", "TOKENIZERS_PARALLELISM"]
)
def test_other_names_are_none(name: str) -> None:
    assert not is_secret(name, "hf_transfer")


@pytest.mark.parametrize(
    "text", ["pip install hf_transfer", "a --max-num-tokens 8", "disk-cache-folder", "X=1"]
)
def test_other_texts_stay(text: str) -> None:
    assert conceal(text) == text

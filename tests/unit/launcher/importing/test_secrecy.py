"""A secret of a manifest is in no note and no recipe, however it is written."""

import json
import shlex
from typing import Any

import pytest

from dsr1.launcher.importing.importer import Imported, import_manifest
from dsr1.launcher.importing.rendering import imported_values, render_imported_recipe
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
    assert "SECRETVALUE" not in render_imported_recipe(result, "d.yaml") + str(
        imported_values(result)
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


JWT_TEXT = (
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0"
    ".SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c"
)
PEM_TEXT = "-----BEGIN RSA PRIVATE KEY-----\nMIIsekrit2\nsekrit2==\n-----END RSA PRIVATE KEY-----"
FORMS = {
    "a password, no underscore": ("DBPASSWORD", "sekrit2"),
    "a key that signs": ("SIGNING_KEY", "sekrit2"),
    "a key, in one word": ("encryptionKey", "sekrit2"),
    "a camel": ("clientSecret", "sekrit2"),
    "a JWT": ("PLAIN", JWT_TEXT),
    "a name that says JWT": ("SERVICE_JWT", "sekrit2"),
    "a PEM": ("PLAIN", PEM_TEXT),
    "a PEM in one line": ("PLAIN", PEM_TEXT.replace("\n", "\\n")),
    "an OpenSSH key": ("PLAIN", PEM_TEXT.replace("RSA", "OPENSSH")),
    "a SAS": ("PLAIN", "https://x.blob.core.windows.net/a?sv=2022&sp=r&sig=sekrit2%2Fsekrit2%3D"),
    "a name that says SAS": ("AZURE_SAS", "sekrit2"),
    "an Azure connection": ("PLAIN", "AccountName=a;AccountKey=sekrit2==;EndpointSuffix=x"),
    "a shared access key": ("PLAIN", "Endpoint=sb://x/;SharedAccessKey=sekrit2="),
    "an ADO connection": ("PLAIN", "Server=x;User=sa;Password=sekrit2;"),
    "a URL's password": ("PLAIN", "redis://:sekrit2@host:6379/0"),
    "a URL's password with a slash": ("PLAIN", "postgres://u:sek/rit2sekrit2@host/x"),
    "a signed address": ("PLAIN", "https://s3/x?X-Amz-Signature=sekrit2&a=b"),
    "a token in an address": ("PLAIN", "https://x/y?access_token=sekrit2"),
    "JSON": ("PLAIN", '{"user": "a", "password": "sekrit2"}'),
    "JSON below": ("PLAIN", '{"auth": {"client_secret": "sekrit2 \\" sekrit2"}}'),
    "JSON in quotes of one kind": ("PLAIN", "{'api_key': 'sekrit2'}"),
    "YAML": ("PLAIN", "user: a\npassword: sekrit2\n"),
    "a header": ("PLAIN", "Authorization: token sekrit2"),
    "a cookie": ("PLAIN", "Cookie: session=sekrit2"),
    "AWS": ("PLAIN", "AKIASEKRIT2SEKRIT22"),
    "a session of AWS": ("AWS_SESSION_TOKEN", "sekrit2"),
    "GitLab": ("PLAIN", "glpat-sekrit2sekrit2"),
    "NGC": ("PLAIN", "nvapi-sekrit2sekrit2"),
    "Google": ("PLAIN", "AIzaSekrit2Sekrit2Sekrit2Sekrit2Sekrit2"),
    "Slack": ("PLAIN", "xoxb-sekrit2-sekrit2"),
    "a hook of Slack": ("PLAIN", "https://hooks.slack.com/services/T0/B0/sekrit2sekrit2"),
    "Stripe": ("PLAIN", "sk_live_sekrit2sekrit2"),
    "PyPI": ("PLAIN", "pypi-sekrit2sekrit2"),
    "npm": ("PLAIN", "//registry.npmjs.org/:_authToken=sekrit2"),
    "npm, spaced": ("PLAIN", "//registry.npmjs.org/:_authToken=  sekrit2"),
    "Vault": ("PLAIN", "hvs.sekrit2sekrit2"),
    "a token, no underscore": ("GITHUBTOKEN", "sekrit2"),
    "a password of a database": ("PGPASSWORD", "sekrit2"),
    "a short name for it": ("MYSQL_PWD", "sekrit2"),
}


@pytest.mark.parametrize("form", FORMS)
def test_no_form_of_a_secret_is_copied(form: str) -> None:
    """As a variable, as a flag's value, and in a script."""
    name, value = FORMS[form]
    by_env = imported(args=["--model", "m"], env=[{"name": name, "value": value}])
    flag = f"--{name.lower().replace('_', '-')}" if name != "PLAIN" else "--odd"
    by_flag = imported(keep_unknown=True, args=["--model", "m", flag, value])
    script = f"export {name}={shlex.quote(value)}\nexec python3 -m dynamo.vllm --model m"
    by_script = imported(command=["bash", "-c"], args=[script])
    for result in (by_env, by_flag, by_script):
        text = render_imported_recipe(result, "d.yaml") + str(imported_values(result))
        assert "ekrit2" not in text.lower()
        assert JWT_TEXT[-20:] not in text


@pytest.mark.parametrize(
    "command",
    [
        "mysql -uroot -psekrit2 db",
        "/usr/bin/mysqldump -psekrit2",
        "sshpass -p sekrit2 ssh host",
        "docker login -u a -p sekrit2 registry",
        "redis-cli -a sekrit2 ping",
        "curl -u me:sekrit2 https://x",
        "smbclient -U 'me%sekrit2' //x",
        "openssl rsa -passin pass:sekrit2",
        """curl -d '{"token": "sekrit2"}' https://x""",
        "curl 'https://x?api_key=sekrit2'",
        "az login -p sekrit2",
    ],
)
def test_a_secret_of_a_command_is_in_no_note(command: str) -> None:
    script = f"{command}\nexec python3 -m dynamo.vllm --model m"
    result = imported(command=["bash", "-c"], args=[script])
    assert "sekrit2" not in render_imported_recipe(result, "d.yaml") + str(imported_values(result))


@pytest.mark.parametrize(
    "flag", [["--api-key", "sekrit2"], ["--hub-token=sekrit2"], ["--odd", "hf_sekrit2"]]
)
def test_a_secret_flag_is_not_passed_on(flag: list[str]) -> None:
    result = imported(keep_unknown=True, args=["--model", "m", *flag])
    text = render_imported_recipe(result, "d.yaml")
    assert "a secret, which is not copied" in text
    assert "sekrit2" not in text


@pytest.mark.parametrize(
    "name",
    [
        *("PATH", "PWD", "OLDPWD", "VLLM_COMPASS", "MAX_TOKENS", "KEY_PATH", "NCCL_IB_PKEY"),
        *("TOKENIZERS_PARALLELISM", "PUBLIC_KEY", "BYPASS", "MONKEY", "eos-token-id", "tokenizer"),
        *("max-num-batched-tokens", "PAD_TOKEN", "HASH_KEY"),
    ],
)
def test_other_names_are_none(name: str) -> None:
    assert not is_secret(name, "hf_transfer")


@pytest.mark.parametrize(
    "text", ["pip install hf_transfer", "a --max-num-tokens 8", "disk-cache-folder", "X=1"]
)
def test_other_texts_stay(text: str) -> None:
    assert conceal(text) == text


def test_a_line_of_slashes_is_looked_through_at_once() -> None:
    """Twice as long takes twice as long, and not four times."""
    assert conceal("/" * 60_000 + ":_authToken=sekrit2").endswith("=***")

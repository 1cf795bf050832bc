"""A bundle: all that tells of a run, and none of the secrets, users and addresses planted in it."""

import json
import re
import tarfile
from pathlib import Path

import pytest

from dsr1.hosts.errors import InputError
from dsr1.launcher.operate.bundle.archive import make_redactor, write_bundle
from dsr1.launcher.operate.bundle.capped_log import HEAD_BYTES, TAIL_BYTES, CappedLog
from dsr1.launcher.operate.bundle.redaction import Redactor, secret_values
from dsr1.launcher.recipe.load import load_recipe
from dsr1.launcher.run.state import RunState
from dsr1.launcher.run.store import Run

PLANTED = {
    "hf": "hf_abcdefghijklmnopqrstuvwxyz",
    "env": "s3cr3t-of-the-environment",
    "aws": "AKIAABCDEFGHIJKLMNOP",
    "jwt": "eyJhbGciOiJI.eyJzdWIiOiIx.SflKxwRJSMeKKF2QT4",
    "bearer": "abcDEF123456789",
    "password": "hunter2hunter2",
    "key": "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC",
    "run": "made-by-the-run-for-itself",
    "flag": "sesame-open-up",
    "user": "mmustermann",
    "account": "deployer77",
    "ipv4": "10.20.30.41",
    "ipv6": "fe80::1ff:fe23:4567:890a",
    "gid": "fe80:0000:0000:0000:0a1b:2c3d:4e5f:6071",
    "mac": "0a:1b:2c:3d:4e:5f",
    "mail": "max.mustermann@example.com",
    "target": "gpu-login.cluster.example.org",
}
LOG = f"""(Worker_DP0 pid=1) ERROR 11-26 11:49:53 [x.py:1] Connection closed by peer [10.20.30.41]:9
again {PLANTED["ipv4"]}, via {PLANTED["ipv6"]}, gid {PLANTED["gid"]}
HF_TOKEN={PLANTED["hf"]} token {PLANTED["hf"]}
{{"name": "MY_API_KEY", "value": "{PLANTED["password"]}"}} https://bob:{PLANTED["password"]}@host/x
Authorization: Bearer {PLANTED["bearer"]} --api-key {PLANTED["flag"]} {PLANTED["aws"]}
"--hf-token", "{PLANTED["flag"]}" {PLANTED["jwt"]} {PLANTED["env"]} {PLANTED["run"]}
-----BEGIN PRIVATE KEY-----
{PLANTED["key"]}
-----END PRIVATE KEY-----
/home/{PLANTED["user"]}/models {PLANTED["mail"]} {PLANTED["mac"]} ssh {PLANTED["account"]}@there
ssh {PLANTED["target"]}
max_num_batched_tokens=256 tokenizer='/opt/r1' 127.0.0.1:8000 vLLM 0.31.0 at 11:49:53
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("SOME_SECRET", PLANTED["env"])
    monkeypatch.setenv("USER", PLANTED["user"])
    made = Run(tmp_path / "runs" / "r")
    made.claim(load_recipe("dsr1-dep"), "starting")
    (made.folder / "secrets" / "tls.key").write_text(PLANTED["run"])
    logs = made.folder / "hosts" / "node1" / "logs"
    logs.mkdir(parents=True)
    (logs / "main-0.log").write_text(LOG)
    access = {"name": "node1", "target": PLANTED["target"], "user": PLANTED["account"]}
    (made.folder / "note.json").write_text(json.dumps({"hosts": [access]}))
    made.save(RunState("failed", 1.0, reason=f"{PLANTED['ipv4']} went"))
    return made


def redactor() -> Redactor:
    secrets, users = (PLANTED["env"], PLANTED["run"]), (PLANTED["user"], PLANTED["account"])
    return Redactor(secrets, users, (PLANTED["target"],))


def test_planted_secrets_are_replaced_and_the_rest_stays() -> None:
    text = redactor().redact(LOG)
    assert [name for name, planted in PLANTED.items() if planted in text] == []
    assert "max_num_batched_tokens=256 tokenizer='/opt/r1' 127.0.0.1:8000" in text
    assert "vLLM 0.31.0 at 11:49:53" in text
    assert "ERROR 11-26 11:49:53 [x.py:1] Connection closed by peer [" in text


@pytest.mark.parametrize(
    "line",
    [
        "SIGNING_KEY={}",
        "export SESSION_JWT='{}'",
        '"STORE_DSN": "{}"',
        '{{"name": "AZURE_SAS", "value": "{}"}}',
        "DBPASS={}",
        "--signing-key {}",
        '"--cookie", "{}"',
    ],
)
def test_secrets_of_every_name_that_import_knows(line: str) -> None:
    assert "0pen-sesame" not in redactor().redact(line.format("0pen-sesame"))


@pytest.mark.parametrize(
    "line", ["VLLM_PORT=29500", "CACHE_KEY=abc-def", "EOS_TOKEN=7", "--max-num-seqs 64", "PWD=/x"]
)
def test_other_values_stay(line: str) -> None:
    assert redactor().redact(line) == line


def test_the_same_thing_gets_the_same_word() -> None:
    text = redactor().redact(LOG)
    assert re.search(r"\[(address\d+)\]:9\nagain \1,", text)
    assert "/home/user" in text


def test_values_of_secret_variables_are_known_wherever_they_stand() -> None:
    assert secret_values({"HF_TOKEN": "abc", "PATH": "/bin", "TOKENIZERS_PARALLELISM": "x"}) == [
        "abc"
    ]


def test_root_and_open_addresses_stay(run: Run) -> None:
    assert make_redactor(run).redact("root 0.0.0.0 127.0.0.1") == "root 0.0.0.0 127.0.0.1"


def test_a_bundle_of_a_failed_launch(run: Run, tmp_path: Path) -> None:
    target = tmp_path / "b.tar.gz"
    assert write_bundle(run, target) > 5
    with tarfile.open(target) as archive:
        files = {one.name: archive.extractfile(one) for one in archive.getmembers()}
        texts = {name: file.read().decode() for name, file in files.items() if file}
    assert {
        "dsr1-bundle/README.txt",
        "dsr1-bundle/versions.txt",
        "dsr1-bundle/recipe.json",
        "dsr1-bundle/state.json",
        "dsr1-bundle/logs/node1/main-0.log",
        "dsr1-bundle/why.txt",
    } <= texts.keys()
    assert "its peer closed the connection" in texts["dsr1-bundle/why.txt"]
    whole = "\n".join((*texts, *texts.values()))
    known = {name: text for name, text in PLANTED.items() if name not in ("target", "account")}
    assert [name for name, planted in known.items() if planted in whole] == []
    with pytest.raises(InputError, match="is there already"):
        write_bundle(run, target)


def test_a_capped_log_keeps_both_ends_and_the_cause() -> None:
    log = CappedLog()
    for number in range(200_000):
        log.feed(f"INFO line {number} of many that say nothing at all")
        if number == 100_000:
            log.feed("RuntimeError: CUDA error: device-side assert triggered")
    text = log.text()
    assert len(text) < HEAD_BYTES + TAIL_BYTES + (64 << 10)
    assert "INFO line 0 of" in text
    assert "INFO line 199999 of" in text
    assert "device-side assert" in text
    assert "INFO line 99990 of" in text
    assert "INFO line 100050 of" in text
    assert "INFO line 50000 of" not in text
    assert "lines are left out here" in text

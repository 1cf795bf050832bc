"""What `dsr1 import` takes for known and for today's, held against the installed vLLM and
Dynamo."""

import json
from pathlib import Path

import pytest
from tests.answers import data_of
from tests.built import MODEL, PYTHON
from tests.end_to_end.conftest import Dsr1

from dsr1.hosts.agent.runtime.runtime import ask_runtime
from dsr1.hosts.protocol.runtime import CommandLine, RuntimeQuestion

pytestmark = pytest.mark.e2e

OLD = (
    *(
        "--is-decode-worker",
        "--max-model-len",
        "256",
        "--max-num-seqs",
        "4",
        "--enforce-eager",
        "--swap-space",
        "16",
    ),
    *(
        "--compilation_config",
        '{"pass_config":{"enable_noop":true},"level":0}',
        "--connector",
        "none",
    ),
    *("--kernel-config.enable_flashinfer_autotune=False", "--disable-log-requests"),
)
MANIFEST = {
    "apiVersion": "nvidia.com/v1alpha1",
    "kind": "DynamoGraphDeployment",
    "metadata": {"name": "old"},
    "spec": {
        "services": {
            "Worker": {
                "componentType": "worker",
                "extraPodSpec": {
                    "mainContainer": {
                        "args": ["--model", str(MODEL), *(w for w in OLD if "decode" not in w)]
                    }
                },
            }
        }
    },
}


@pytest.mark.heavy
def test_an_old_manifest_is_accepted_after_its_import(
    runtime: None, dsr1: Dsr1, tmp_path: Path
) -> None:
    (tmp_path / "deploy.yaml").write_text(json.dumps(MANIFEST))
    done = dsr1("import", str(tmp_path / "deploy.yaml"), "-o", str(tmp_path / "r.yaml"))
    assert done.returncode == 0, done.stderr
    planned = dsr1("plan", str(tmp_path / "r.yaml"), "--set", "runtime.device=cpu", "--json")
    assert planned.returncode == 0, planned.stderr
    (host,) = data_of(planned.stdout)["hosts"]
    argv = next(
        process["argv"] for process in host["processes"] if "dynamo.vllm" in process["argv"]
    )
    commands = (
        CommandLine("imported", "dynamo.vllm", tuple(argv[argv.index("dynamo.vllm") + 1 :])),
        CommandLine("as it was", "dynamo.vllm", ("--model", str(MODEL), *OLD)),
    )
    python, modules = (str(PYTHON),), ("dynamo.vllm", "dynamo.frontend")
    told = ask_runtime(RuntimeQuestion(python, str(MODEL), modules, commands), tmp_path)
    assert {said.name: said.verdict for said in told.verdicts} == {
        "imported": "accepted",
        "as it was": "refused",
    }, told.verdicts
    assert [parser.problem for parser in told.parsers] == ["", ""]
